"""
Stop a deployed Colima on purpose, and start it again: what would change, and why it may not, in words.
"""

from __future__ import annotations

from collections.abc import Mapping

from facts.colima import ProfileState, StraysState
from facts.docker import EngineState
from facts.launchd import JobState
from operations import colima, docker, launchd, strays
from settings import Settings


def stop_names(
    settings: Settings, job: JobState | None, running: StraysState | None
) -> dict[str, str | None]:
    """What each operation of deploys/stop.py would change; None: nothing."""
    return {
        "daemon": launchd.describe_stop(job, settings.label) if job else None,
        "strays": strays.describe(running) if running else None,
    }


def start_refusal(settings: Settings, job: JobState | None, profile: ProfileState | None) -> str | None:
    """Why Colima cannot be started as it was deployed; None: it can."""
    label = settings.label
    if job is None:
        return f"launchd's answer about {label} cannot be read. Look: sudo launchctl print system/{label}"
    if profile is None:
        return f"Lima's answer about profile {settings.colima_profile} cannot be read"
    if why := launchd.unstartable(job):
        return f"{label} cannot be started: {why}. Run deploy.py"
    if profile.unfinished is not None:
        return f"a reset of profile {settings.colima_profile} was interrupted. Run deploy.py, which ends it"
    if not profile.provisioned:
        return f"profile {settings.colima_profile} has never come up. Run deploy.py, which makes it"
    return None


def start_names(
    settings: Settings,
    job: JobState,
    profile: ProfileState,
    engine: EngineState | None,
    notes: Mapping[str, str] | None,
) -> dict[str, str | None]:
    """What each operation of deploys/start.py would change; None: nothing."""
    starts = not job.running
    return {
        "daemon": launchd.describe_start(job, settings.label),
        "vm": colima.describe(profile, starts, first=False),
        "gates": docker.describe(engine, notes, starts, settings.wait_stable_required),
    }
