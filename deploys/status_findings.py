"""What is wrong with the Docker of a Mac, and what is to be minded, judged from facts alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploys.diagnostics import mask, secrets_of
from deploys.faults import log_faults
from deploys.warnings import older, upgrade_warnings, warnings
from facts.colima import QEMU, RUNNING, GuestState, LogState, ProfileState
from facts.diagnosis import DiagnosisState
from facts.docker import Container, DockerConfigState, EngineState
from facts.homebrew import FormulaeState
from facts.launchd import JobState
from facts.mac import MacState
from facts.pulse import BACKING_OFF, GAVE_UP, MISSING, PulseState
from facts.util import plain
from operations import containers
from operations.util.installer import Installer, Installers
from operations.util.words import GIB, gib
from settings import Settings

LOW_ON_HOST = 10 * GIB
FULL_IN_GUEST = 0.9
CLOCK_OFF = 2  # seconds
DAY = 86400
REASON_LENGTH = 200

# The words of a Report's state.
HEALTHY = "healthy"
DEGRADED = "degraded"  # Docker answers, and not all is as it should be
STARTING = "starting"
STOPPED = "stopped"  # on purpose: the job is unloaded or disabled
DOWN = "down"
ABSENT = "absent"  # nothing was deployed
UNKNOWN = "unknown"
UNREACHABLE = "unreachable"

DEPLOY, RECOVER, START = "deploy.py", "deploys/recover.py", "deploys/start.py"
DIAGNOSE = "deploys/diagnose.py"
RESTART = f"{DEPLOY} --data restart=true"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or to be minded, and what to run next, where that is known."""

    text: str
    next: str | None = None


@dataclass(frozen=True)
class Containers:
    """The containers by name."""

    declared: tuple[str, ...]  # by installers
    well: tuple[str, ...]
    failed: dict[str, str]  # and why
    unowned: tuple[str, ...]  # of an installer that is there no more
    others: tuple[str, ...]


# What the facts of Seen are called where they cannot be read.
WORDS = {
    "mac": "the Mac",
    "job": "launchd's job",
    "profile": "Lima's instance",
    "engine": "Docker",
    "diagnosis": "what is wrong",
    "guest": "the guest",
    "pulse_job": "the pulse's job",
    "pulse": "the pulse's notes",
    "log": "Colima's log",
    "formulae": "what Homebrew has installed",
}


@dataclass(frozen=True)
class Seen:
    """The facts of a host; None is unreadable."""

    mac: MacState | None = None
    job: JobState | None = None
    profile: ProfileState | None = None
    engine: EngineState | None = None
    diagnosis: DiagnosisState | None = None
    guest: GuestState | None = None
    pulse_job: JobState | None = None
    pulse: PulseState | None = None
    log: LogState | None = None
    formulae: FormulaeState | None = None
    docker_config: DockerConfigState | None = None

    @property
    def good(self) -> bool:
        """Whether Docker was used."""
        return self.diagnosis is not None and self.diagnosis.good

    @property
    def containers(self) -> Mapping[str, Container]:
        """Those that Docker lists; none where it does not."""
        return (self.engine.containers if self.engine else None) or {}

    @property
    def state(self) -> str:
        """The word of its state, whatever else is wrong."""
        if self.job is None or self.diagnosis is None or None in (self.mac, self.profile, self.engine):
            return UNKNOWN
        if not self.job.loaded and self.job.plist_file is None:
            return ABSENT
        if self.diagnosis.good:
            return HEALTHY
        if self.job.off:
            return STOPPED
        return STARTING if self.diagnosis.passing and self.job.running else DOWN


def _wrong(installer: Installer, container: Container | None) -> str | None:
    """What is wrong with an installer's container. One that was not detached may end, and well."""
    if container is None:
        return "is not there"
    ended_well = not installer.detached and (container.state, container.exit_code) == ("exited", 0)
    if container.state == "running" or ended_well:
        return None
    return f"is {container.state} (exit code {container.exit_code})"


def containers_of(installers: Installers, engine: EngineState | None) -> Containers | None:
    """The containers, as far as Docker lists them. Smoke tests leave none behind."""
    present = engine.containers if engine else None
    if present is None:
        return None
    declared = {each.container: each for each in installers.all if not each.smoke_test}
    wrong = {name: _wrong(each, present.get(name)) for name, each in declared.items()}
    failed = {name: why for name, why in wrong.items() if why is not None}
    # A file that cannot be read may be the one that describes it.
    unowned = () if installers.faults else tuple(containers.unowned(installers, engine))
    return Containers(
        declared=tuple(declared),
        well=tuple(name for name in declared if name not in failed),
        failed=failed,
        unowned=unowned,
        others=tuple(sorted(present.keys() - declared.keys() - set(unowned))),
    )


def wrong(
    settings: Settings, installers: Installers, seen: Seen, found: Containers | None
) -> Iterator[Finding]:
    """What makes a host unhealthy."""
    if unreadable := [words for name, words in WORDS.items() if getattr(seen, name) is None]:
        yield Finding("cannot be read: " + ", ".join(unreadable))
    yield from _of_docker(settings, seen)
    pending = _pending(installers, seen)
    for name, why in found.failed.items() if found else ():
        # A deploy leaves some alone, such as one that is paused.
        then = DEPLOY if name in pending else f"{DEPLOY} --data reinstall={name}"
        yield Finding(f"container {name} {why}", then)
    if settings.pulse and seen.state not in (STOPPED, ABSENT):
        yield from _of_pulse(seen)


def minded(
    settings: Settings,
    installers: Installers,
    seen: Seen,
    found: Containers | None,
    maintenance: dict[str, Any] | None,
) -> Iterator[Finding]:
    """What of the Mac, the VM, Colima and the containers does not make a host unhealthy, today."""
    yield from _of_mac(settings, seen)
    yield from _of_guest(seen)
    yield from _of_log(settings, seen)
    if seen.formulae is not None and (why := older(seen.formulae)):
        yield Finding(why, RESTART)
    if found is not None:
        yield from _of_containers(installers, seen, found)
    if maintenance is not None:
        yield from _of_maintenance(maintenance)


def _pending(installers: Installers, seen: Seen) -> Mapping[str, str]:
    """Why the next deploy would touch a container, by its name."""
    return {each.installer.container: each.why for each in containers.pending(installers, seen.engine, None)}


def _of_docker(settings: Settings, seen: Seen) -> Iterator[Finding]:
    """What is wrong with the job, the VM and Docker."""
    job, profile, diagnosis, label = seen.job, seen.profile, seen.diagnosis, settings.label
    if seen.state == ABSENT:
        yield Finding(f"nothing was deployed here: there is no job {label}", DEPLOY)
    elif job is not None and job.off:
        runs = ", and Docker runs without it" if seen.good else ""
        how = f"is disabled{runs}: it will not start at a boot" if job.disabled else f"is not loaded{runs}"
        yield Finding(f"the job {label} {how}", START)
    elif diagnosis is not None and not diagnosis.good:
        # Silence that is nothing but an answer lost is named among what cannot be read.
        if seen.engine is not None and job is not None:
            then = RECOVER if diagnosis.steps else DEPLOY if diagnosis.refused else None
            yield Finding(diagnosis.found, then)
        if diagnosis.fatal:
            hidden = mask(diagnosis.fatal, secrets_of(settings))
            yield Finding(f"Colima says: {plain(textwrap.shorten(hidden, REASON_LENGTH, placeholder=' ..'))}")
    elif job is not None and not job.running:
        ended = f"launchd calls it {job.state} (last exit: {job.last_exit or 'unknown'})"
        yield Finding(f"Docker answers, and the job {label} does not run: {ended}", DEPLOY)
    elif profile is not None and profile.status != RUNNING:
        yield Finding(f"Lima calls {profile.instance} {profile.status or 'no instance'}", RECOVER)
    elif profile is not None and profile.vm_type != QEMU:
        yield Finding(f"the VM runs on {profile.vm_type}, not on {QEMU}", DEPLOY)


def _of_pulse(seen: Seen) -> Iterator[Finding]:
    """What is wrong with the pulse, and what it does about Docker's silence."""
    if seen.pulse_job is not None and seen.pulse_job.off:
        how = "is disabled" if seen.pulse_job.disabled else "is not loaded"
        yield Finding(f"the pulse {how}: nothing brings Docker back when it fails", DEPLOY)
    elif (pulse := seen.pulse) is not None:
        reason = f": {pulse.reason}" if pulse.reason else ""
        if pulse.state == GAVE_UP:
            yield Finding(f"the pulse gave up{reason}", RECOVER)
        elif pulse.state == BACKING_OFF and not seen.good:
            yield Finding(f"the pulse has taken a step ({pulse.step}) and waits before the next{reason}")
        elif pulse.state == MISSING and not seen.good:
            yield Finding(f"the pulse has missed Docker {pulse.misses} times in a row{reason}")


def _of_mac(settings: Settings, seen: Seen) -> Iterator[Finding]:
    if (mac := seen.mac) is None:
        return
    home = seen.profile.home if seen.profile is not None else None
    yield from map(Finding, warnings(settings, mac, home, seen.docker_config, seen.formulae))
    for what, how in upgrade_warnings(mac, seen.formulae, settings.homebrew_user):
        yield Finding(f"{what}; {how}")
    if mac.volume_free is not None and mac.volume_free < LOW_ON_HOST:
        left = f"{gib(mac.volume_free)} GiB of disk left"
        yield Finding(f"this Mac has {left}, and the VM's disk grows as it fills")


def is_full(disk: Mapping[str, int]) -> bool:
    """Whether what Docker can use of a guest's disk is as good as used up."""
    return disk["used"] > FULL_IN_GUEST * (disk["used"] + disk["free"])


def _of_guest(seen: Seen) -> Iterator[Finding]:
    if (guest := seen.guest) is None:
        return
    if (disk := guest.disk) is not None and is_full(disk.to_json()):
        left = f"{gib(disk.free)} of {gib(disk.size)} GiB left"
        yield Finding(f"Docker's disk has {left}: raise COLIMA_DISK, or remove images and volumes")
    if (off := guest.clock_off) is not None and abs(off) > CLOCK_OFF:
        way = f"{abs(off)} s {'behind' if off < 0 else 'ahead of'} the Mac's"
        how = "Lima corrects that every 10 s. If it stays so, restart the VM"
        yield Finding(f"the guest's clock is {way}. {how}", RESTART)


def _of_log(settings: Settings, seen: Seen) -> Iterator[Finding]:
    yield from map(Finding, log_faults(settings, seen.log))
    if seen.log is not None and seen.log.size > settings.log_max_mb * 1_000_000:
        yield Finding(f"{settings.log_path} has {seen.log.size / 1e6:.0f} MB, above LOG_MAX_MB")


def _of_containers(installers: Installers, seen: Seen, found: Containers) -> Iterator[Finding]:
    pending = _pending(installers, seen)
    for each in installers.all:
        name, file = each.container, f"containers/{each.file}"
        if name in found.well and name in pending:
            yield Finding(f"container {name} is not as {file} says: {pending[name]}", DEPLOY)
        present = seen.containers.get(name)
        if present and present.restart_policy == "no" and each.detached and not each.removed:
            why = "has no restart policy and will not return after a reboot"
            yield Finding(f"container {name} {why}: write --restart into {file}", DEPLOY)
    for name in found.unowned:
        why = "was made by an installer that is no longer in containers/"
        yield Finding(f"container {name} {why}", f"{DEPLOY} --data remove_unowned=true")


def _of_maintenance(last: dict[str, Any]) -> Iterator[Finding]:
    """What to mind of it: that it fails, or is late by another period and a day."""
    if last["trouble"] is not None:
        yield Finding(
            f"the last maintenance of Docker failed, and is tried once a day: {last['trouble']}", DIAGNOSE
        )
    elif last["ago"] is not None and last["ago"] > (2 * last["every_days"] + 1) * DAY:
        late = f"Docker has not been maintained for {last['ago'] // DAY} days"
        yield Finding(f"{late}; MAINTAIN_EVERY_DAYS is {last['every_days']}", DIAGNOSE)
