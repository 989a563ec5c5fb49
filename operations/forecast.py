"""
What each operation would change and why, as its name, so that a person can read `--dry`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pyinfra import host
from pyinfra.context import ctx_host

from facts.colima import ColimaProfile, Strays
from facts.docker import DockerEngine
from facts.launchd import Definitions, JobState, LaunchdJob, Milestones
from facts.mac import Homebrew
from facts.power import Power
from files import text
from operations import colima, containers, docker, homebrew, launchd, power, prune, reset, rivals, strays
from operations.preflight import Target
from operations.util import ahead
from operations.util.fleet import leave_if_failed
from operations.util.installer import Installers
from operations.util.plist import pulse_label, pulse_plist
from operations.util.remote import ask, hosts_of_run, is_read, together
from settings import Settings


@dataclass(frozen=True)
class Names:
    """The operations' names where nothing would change: the desired state alone."""

    power: str = "Keep the Mac awake"
    dependencies: str = "Keep colima, docker and qemu installed"
    hygiene: str = "Keep Colima started by nothing else"
    guard: str = "Confirm the full reset"
    state: str = "Keep one state directory, as it is"
    strays: str = "Keep Colima run by nothing but launchd"
    supervision: str = "Keep Colima supervised by launchd"
    provisioning: str = "Keep Colima's VM running"
    gates: str = "See Docker ready"
    pulse: str = "Keep the pulse"
    prune: str = "Keep Docker pruned after a start"
    containers: str = "Keep the containers of the installers"


# By the hosts' names: what each would change.
_said: dict[str, Names] = {}


@dataclass(frozen=True)
class Words:
    """One operation of one host in words, from the name that pyinfra has for it, which hosts may share."""

    host: str
    name: str

    @property
    def _own(self) -> tuple[str, str]:
        """What is kept by it, and what it would change."""
        name = self.name.removeprefix("deploy.py | ")
        said = _said.get(self.host, Names())
        for each in fields(Names):
            if name in (each.default, getattr(said, each.name)):
                return str(each.default), str(getattr(said, each.name))
        return name, name

    @property
    def state(self) -> str:
        """What is so after it: "Colima supervised by launchd"."""
        return re.sub(r"^(Keep|See|Confirm) ", "", self._own[0])

    @property
    def change(self) -> str:
        """What it would change, and why: "Restart Colima: memory 2 -> 4 GiB"."""
        return self._own[1]


def _starts(target: Target, plist: dict[str, Any], job: JobState | None) -> launchd.Convergence | None:
    """What this run would do to the daemon; None when launchd is not heard."""
    restart = target.settings.restart or target.replaced
    return launchd.converge(job, plist, text("launch"), restart=restart) if job else None


def _pulse(settings: Settings, job: JobState | None) -> str | None:
    """What this run would do to the pulse; None: nothing, or launchd is not heard."""
    label = pulse_label(settings.label)
    if job is None:
        return None
    if not settings.pulse:
        return None if launchd.is_absent(job) else f"Remove the pulse: LaunchDaemon {label}"
    change = launchd.converge(job, pulse_plist(settings), text("pulse"))
    return launchd.describe(job, label, change, "the pulse")


def refusal(target: Target, plist: dict[str, Any]) -> str | None:
    """Why nobody could be asked about the prune that this run ends in; None: somebody could, or none is due.

    What is previewed is not refused: it may be no more than a dry run.
    """
    settings = target.settings
    why = prune.fault(prune.mode_in_force(settings), settings.force_yes)
    if why is None or is_read():
        return None
    job, notes = together((LaunchdJob, {"label": settings.label}), (Milestones, {"label": settings.label}))
    change = _starts(target, plist, job)
    return why if change is None or change.load or prune.DUE in (notes or {}) else None


def told(described: Mapping[str, str | None]) -> dict[str, str]:
    """What becomes the names of operations, of what each would change: nothing where nobody reads them before
    it happens, or where there are several hosts.

    pyinfra's tables have a line an operation, with one host's name for all: each host says its own here.
    """
    if not is_read():
        return {}
    found = {operation: name for operation, name in described.items() if name is not None}
    if hosts_of_run() == 1:
        return found
    for name in found.values():
        host.log(name)
    return {}


def ask_ahead(target: Target) -> None:
    """Ask what the operations will ask first, all at once, where nothing comes between: with `-y`."""
    if is_read():
        return
    settings = target.settings
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    notes = (Milestones, {"label": label})
    ahead.ask(
        ((ColimaProfile, {"user": user, "profile": profile}), notes),
        (
            (Homebrew, {}),
            (Definitions, {"user": user}),
            (Strays, {"user": user, "profile": profile, "label": label}),
        ),
        (
            (LaunchdJob, {"label": label, "runs": "launch"}),
            (LaunchdJob, {"label": pulse_label(label), "runs": "pulse"}),
        ),
        ((DockerEngine, {"user": user, "profile": profile}),),
    )


def names(target: Target, plist: dict[str, Any], installers: Installers) -> Names:
    """Name the operations by what they would change now.

    With `-y` nobody reads a name before it happens, so the facts are saved; the operations say what they do.
    """
    if not is_read():
        return Names()
    settings = target.settings
    user = settings.homebrew_user
    definitions, job, engine, notes, running, pulse = together(
        (Definitions, {"user": user}),
        (LaunchdJob, {"label": settings.label}),
        (DockerEngine, {"user": user, "profile": settings.colima_profile}),
        (Milestones, {"label": settings.label}),
        (Strays, {"user": user, "profile": settings.colima_profile, "label": settings.label}),
        (LaunchdJob, {"label": pulse_label(settings.label), "runs": "pulse"}),
    )
    leave_if_failed()
    change = _starts(target, plist, job)
    starts = change is None or change.load
    others = rivals.judged(definitions or [], settings.label, user, target.user.home, settings.colima_profile)
    described = {
        "power": power.describe(ask(Power, _sudo=False)) if settings.power == "server" else None,
        "dependencies": homebrew.describe(target.mac.homebrew),
        "hygiene": rivals.describe(others, settings.clean_other_colima_daemons),
        "supervision": launchd.describe(job, settings.label, change) if job and change else None,
        "state": reset.describe(target.place, settings, target.profile),
        "strays": strays.describe(running) if running and not target.replaced else None,
        "provisioning": colima.describe(target.profile, starts, first=target.first_start),
        "gates": docker.describe(engine, notes, starts, settings.wait_stable_required),
        "pulse": _pulse(settings, pulse),
        "prune": prune.describe(notes, starts, prune.mode_in_force(settings)),
        "containers": containers.describe(
            installers,
            None if target.replaced else engine,
            {} if starts else notes,
            containers.Choices.of(settings),
        ),
    }
    if settings.full_reset:
        for line in reset.forecast(host, target.place, settings.backup):
            host.log(line)
    found = {operation: name for operation, name in described.items() if name is not None}
    _said[ctx_host.get().name] = Names(**found)
    return Names(**told(described))
