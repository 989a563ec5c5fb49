"""
What each operation would change and why, as its name, so that a person can read `--dry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyinfra import host, state

from facts.docker import DockerEngine
from facts.launchd import Definitions, LaunchdJob, Milestones
from files import text
from operations import colima, containers, docker, homebrew, launchd, prune, rivals
from operations.preflight import Target
from operations.util.installer import Installers
from operations.util.remote import together


@dataclass(frozen=True)
class Names:
    """The operations' names where nothing would change: the desired state alone."""

    dependencies: str = "Keep colima, docker and qemu installed"
    hygiene: str = "Keep Colima started by nothing else"
    supervision: str = "Keep Colima supervised by launchd"
    provisioning: str = "Keep Colima's VM running"
    gates: str = "See Docker ready"
    prune: str = "Keep Docker pruned after a start"
    containers: str = "Keep the containers of the installers"


def is_read() -> bool:
    """Whether someone reads the forecast and is asked before it happens: not with `-y`."""
    return bool(state.should_check_for_changes())


def names(target: Target, plist: dict[str, Any], installers: Installers, prune_mode: str) -> Names:
    """Name the operations by what they would change now; `prune_mode` is the one in force.

    With `-y` nobody reads a name before it happens, so the facts are saved; the operations say what they do.
    """
    if not is_read():
        return Names()
    settings = target.settings
    user = settings.homebrew_user
    definitions, job, engine, notes = together(
        (Definitions, {"user": user}),
        (LaunchdJob, {"label": settings.label}),
        (DockerEngine, {"user": user, "profile": settings.colima_profile}),
        (Milestones, {"label": settings.label}),
    )
    change = launchd.converge(job, plist, text("launch"), restart=settings.restart) if job else None
    starts = change is None or change.load
    others = rivals.judged(definitions or [], settings.label, user, target.user.home, settings.colima_profile)
    described = {
        "dependencies": homebrew.describe(target.mac.homebrew),
        "hygiene": rivals.describe(others, settings.clean_other_colima_daemons),
        "supervision": launchd.describe(job, settings.label, change) if job and change else None,
        "provisioning": colima.describe(target.profile, starts),
        "gates": docker.describe(engine, notes, starts, settings.wait_stable_required),
        "prune": prune.describe(notes, starts, prune_mode),
        "containers": containers.describe(installers, engine, {} if starts else notes),
    }
    found = {operation: name for operation, name in described.items() if name is not None}
    if len(state.inventory) == 1:
        return Names(**found)
    # pyinfra's tables have a line an operation, with one host's name for all: each says its own here.
    for name in found.values():
        host.log(name)
    return Names()
