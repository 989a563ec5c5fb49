"""How the Docker of a Mac is, judged from facts alone and without touching anything."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from pyinfra.api import Host

from deploys.diagnostics import mask, secrets_of
from deploys.faults import log_faults, mac_faults
from deploys.status_ports import Published, published
from deploys.warnings import older, warnings
from facts.colima import (
    QEMU,
    RUNNING,
    ColimaProfile,
    Guest,
    GuestState,
    Log,
    LogState,
    ProfileState,
)
from facts.diagnosis import Diagnosis, DiagnosisState
from facts.docker import Container, DockerConfig, DockerConfigState, DockerEngine, EngineState
from facts.homebrew import Formulae, FormulaeState
from facts.launchd import JobState, LaunchdJob
from facts.mac import Mac, MacState
from facts.pulse import BACKING_OFF, GAVE_UP, MISSING, Pulse, PulseState
from facts.util import plain
from operations import containers
from operations.util import internals
from operations.util.ahead import together
from operations.util.installer import Installer, Installers
from operations.util.plist import pulse_label
from operations.util.words import GIB, gib
from settings import Fault, Settings

LOW_ON_HOST = 10 * GIB
FULL_IN_GUEST = 0.9
CLOCK_OFF = 2  # seconds
DAY = 86400
REASON_LENGTH = 200

# The words of Report.state.
HEALTHY = "healthy"
DEGRADED = "degraded"  # Docker answers, and not all is as it should be
STARTING = "starting"
STOPPED = "stopped"  # on purpose: the job is unloaded or disabled
DOWN = "down"
ABSENT = "absent"  # nothing was deployed
UNKNOWN = "unknown"
UNREACHABLE = "unreachable"

Part = dict[str, Any] | None

DEPLOY, RECOVER, START = "deploy.py", "deploys/recover.py", "deploys/start.py"
DIAGNOSE = "deploys/diagnose.py"


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


@dataclass(frozen=True)
class Report:
    """How a host is: what `--json` prints of it. What could not be read is None.

    Times are in seconds, sizes in bytes.
    """

    host: str
    state: str
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    daemon: Part = None
    vm: Part = None
    docker: Part = None
    containers: Containers | None = None
    ports: tuple[Published, ...] = ()
    last_boot: Part = None
    pulse: Part = None
    maintenance: Part = None
    colima: Part = None
    log_size: int | None = None
    mac: Part = None
    history: Part = None

    @property
    def healthy(self) -> bool:
        return self.state == HEALTHY

    def to_json(self) -> dict[str, Any]:
        """The report without its host's name."""
        record = asdict(self)
        del record["host"]
        return {"healthy": self.healthy, **record}


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


def judge(host: str, settings: Settings, installers: Installers, seen: Seen) -> Report:
    """Judge a host from its facts. A pure function."""
    job, profile, engine, guest, diagnosis = seen.job, seen.profile, seen.engine, seen.guest, seen.diagnosis
    unreadable = [words for name, words in WORDS.items() if getattr(seen, name) is None]
    faults = [Finding("cannot be read: " + ", ".join(unreadable))] if unreadable else []
    state = _state(seen)
    faults += _of_docker(settings, seen, state)
    pending = {each.installer.container: each.why for each in containers.pending(installers, engine, None)}
    found = _containers(installers, engine)
    for name, why in found.failed.items() if found else ():
        # A deploy leaves some alone, such as one that is paused.
        then = DEPLOY if name in pending else f"{DEPLOY} --data reinstall={name}"
        faults.append(Finding(f"container {name} {why}", then))
    if settings.pulse and state not in (STOPPED, ABSENT):
        faults += _of_pulse(seen)
    minded = [*_of_mac(settings, seen)]
    if found and engine and engine.containers is not None:
        minded += _of_containers(installers, found, engine.containers, pending)
    age = seen.formulae.age if seen.formulae else None
    parts: dict[str, Part] = {"last_boot": _last_boot(seen)}
    if job is not None:
        parts["daemon"] = {
            "loaded": job.loaded,
            "enabled": not job.disabled,
            "running": job.running,
            "pid": job.pid,
            "restarts": max(job.runs - 1, 0),
            "seconds": age if job.pid is not None else None,
            "last_exit": job.last_exit,
        }
    if profile is not None:
        parts["vm"] = {
            "instance": profile.instance,
            "status": profile.status,
            "type": profile.vm_type,
            "cpus": profile.cpus,
            "memory": profile.memory,
            "disk": asdict(guest.disk) if guest and guest.disk else None,
        }
    if engine is not None and diagnosis is not None:
        parts["docker"] = {
            "silence": None if diagnosis.good else diagnosis.found,
            "version": engine.version,
            "seconds": guest.docker_seconds if guest and diagnosis.good else None,
        }
    if settings.pulse:
        parts["pulse"] = {
            "loaded": not _is_off(seen.pulse_job) if seen.pulse_job else None,
            "state": seen.pulse.state if seen.pulse else None,
            "reason": seen.pulse.reason if seen.pulse else None,
        }
        parts["maintenance"] = maintenance = _maintenance(settings, seen)
        if maintenance:
            minded += _of_maintenance(maintenance)
    if (pulse := seen.pulse) is not None:
        parts["history"] = {
            "since": pulse.since,
            "boots": list(map(asdict, pulse.reports)),
            "events": list(map(asdict, pulse.events)),
        }
    if seen.mac is not None:
        parts["mac"] = {"volume_free": seen.mac.volume_free}
    if (formulae := seen.formulae) is not None:
        outdated = None if formulae.newer is None else bool(formulae.newer)
        others = {name: formulae.version(name) for name in ("lima", "qemu")}
        parts["colima"] = {"installed": formulae.version("colima"), **others, "outdated": outdated}
    return Report(
        host=host,
        state=DEGRADED if state == HEALTHY and faults else state,
        faults=tuple(faults),
        warnings=tuple(minded),
        containers=found,
        ports=published(settings, (engine.containers if engine else None) or {}),
        log_size=seen.log.size if seen.log else None,
        **parts,
    )


def _is_off(job: JobState) -> bool:
    return job.disabled or not job.loaded


def _state(seen: Seen) -> str:
    if seen.job is None or seen.diagnosis is None or None in (seen.mac, seen.profile, seen.engine):
        return UNKNOWN
    if not seen.job.loaded and seen.job.plist_file is None:
        return ABSENT
    if seen.diagnosis.good:
        return HEALTHY
    if _is_off(seen.job):
        return STOPPED
    return STARTING if seen.diagnosis.passing and seen.job.running else DOWN


def _of_docker(settings: Settings, seen: Seen, state: str) -> Iterator[Finding]:
    """What is wrong with the job, the VM and Docker."""
    job, profile, diagnosis, label = seen.job, seen.profile, seen.diagnosis, settings.label
    if state == ABSENT:
        yield Finding(f"nothing was deployed here: there is no job {label}", DEPLOY)
    elif job is not None and _is_off(job):
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
    if seen.pulse_job is not None and _is_off(seen.pulse_job):
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


def _wrong(installer: Installer, container: Container | None) -> str | None:
    """What is wrong with an installer's container. One that was not detached may end, and well."""
    if container is None:
        return "is not there"
    ended_well = not installer.detached and (container.state, container.exit_code) == ("exited", 0)
    if container.state == "running" or ended_well:
        return None
    return f"is {container.state} (exit code {container.exit_code})"


def _containers(installers: Installers, engine: EngineState | None) -> Containers | None:
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


def _of_containers(
    installers: Installers, found: Containers, present: Mapping[str, Container], pending: Mapping[str, str]
) -> Iterator[Finding]:
    """What to mind of containers that run."""
    for each in installers.all:
        name, container, file = each.container, present.get(each.container), f"containers/{each.file}"
        if name in found.well and name in pending:
            yield Finding(f"container {name} is not as {file} says: {pending[name]}", DEPLOY)
        if container and container.restart_policy == "no" and each.detached and not each.removed:
            why = "has no restart policy and will not return after a reboot"
            yield Finding(f"container {name} {why}: write --restart into {file}", DEPLOY)
    for name in found.unowned:
        why = "was made by an installer that is no longer in containers/"
        yield Finding(f"container {name} {why}", f"{DEPLOY} --data remove_unowned=true")


def _of_mac(settings: Settings, seen: Seen) -> Iterator[Finding]:
    """What of the Mac, the VM and Colima does not make a host unhealthy, today."""
    mac, log, formulae = seen.mac, seen.log, seen.formulae
    if mac is not None:
        home = seen.profile.home if seen.profile is not None else None
        yield from map(Finding, warnings(settings, mac, home, seen.docker_config, formulae))
        if mac.volume_free is not None and mac.volume_free < LOW_ON_HOST:
            left = f"{gib(mac.volume_free)} GiB of disk left"
            yield Finding(f"this Mac has {left}, and the VM's disk grows as it fills")
    disk = seen.guest.disk if seen.guest else None
    if disk is not None and disk.used > FULL_IN_GUEST * (disk.used + disk.free):
        left = f"{gib(disk.free)} of {gib(disk.size)} GiB left"
        yield Finding(f"Docker's disk has {left}: raise COLIMA_DISK, or remove images and volumes")
    off = seen.guest.clock_off if seen.guest else None
    if off is not None and abs(off) > CLOCK_OFF:
        way = f"{abs(off)} s {'behind' if off < 0 else 'ahead of'} the Mac's"
        how = "Lima corrects that every 10 s. If it stays so, restart the VM"
        yield Finding(f"the guest's clock is {way}. {how}", f"{DEPLOY} --data restart=true")
    yield from map(Finding, log_faults(settings, log))
    if log is not None and log.size > settings.log_max_mb * 1_000_000:
        yield Finding(f"{settings.log_path} has {log.size / 1e6:.0f} MB, above LOG_MAX_MB")
    if formulae is not None and (why := older(formulae)):
        yield Finding(why, f"{DEPLOY} --data restart=true")


def _maintenance(settings: Settings, seen: Seen) -> Part:
    """When and how Docker was last maintained, or, with `seconds` None, since when it is to be."""
    if not settings.maintain_every_days or seen.pulse is None or seen.pulse.maintenance is None:
        return None
    last = seen.pulse.maintenance
    now = seen.formulae.now if seen.formulae is not None else None
    return {
        "every_days": settings.maintain_every_days,
        "ago": max(now - last.at, 0) if now is not None else None,
        "seconds": last.seconds,
        "given_back": last.given_back,
        "trouble": last.trouble,
    }


def _of_maintenance(last: dict[str, Any]) -> Iterator[Finding]:
    """What to mind of it: that it fails, or is late by another period and a day."""
    if last["trouble"] is not None:
        yield Finding(
            f"the last maintenance of Docker failed, and is tried once a day: {last['trouble']}", DIAGNOSE
        )
    elif last["ago"] is not None and last["ago"] > (2 * last["every_days"] + 1) * DAY:
        late = f"Docker was not maintained for {last['ago'] // DAY} days"
        yield Finding(f"{late}; MAINTAIN_EVERY_DAYS is {last['every_days']}", DIAGNOSE)


def _last_boot(seen: Seen) -> Part:
    """The last boot that the pulse has reported; of `not_back` those that do not run now either."""
    if seen.pulse is None or not seen.pulse.reports:
        return None
    report = seen.pulse.reports[-1]
    now = seen.engine.containers if seen.engine else None
    down = {name for name, each in (now or {}).items() if each.state != "running"}
    not_back = tuple(name for name in report.not_back if now is None or name in down)
    ago = None
    if seen.formulae is not None and seen.formulae.now is not None:
        with suppress(ValueError):
            then = datetime.strptime(report.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
            # The clock may have been set since.
            ago = max(seen.formulae.now - int(then.timestamp()), 0)
    return {**asdict(report), "not_back": not_back, "ago": ago}


def look(host: Host, settings: Settings, wrong: Sequence[Fault], installers: Installers) -> Report:
    """Look at a host and judge it; with settings that are `wrong`, say that alone."""
    if wrong:
        return Report(host.name, UNKNOWN, tuple(Finding(str(fault)) for fault in wrong))
    user, profile, label = settings.homebrew_user, settings.colima_profile, settings.label
    where = {"user": user, "profile": profile}
    mac, job, pulse_job, pulse = together(
        (Mac, {}),
        (LaunchdJob, {"label": label}),
        (LaunchdJob, {"label": pulse_label(label)}),
        (Pulse, {"label": label}),
    )
    if mac is None and (why := internals.failure(host)):
        return Report(host.name, UNKNOWN, (Finding(why),))
    if mac is not None and mac.kernel != "Darwin":
        return Report(host.name, UNKNOWN, tuple(map(Finding, mac_faults(settings, mac))))
    start, log_path = settings.wait_start_max, settings.log_path
    found, engine, guest, log, formulae, docker_config, diagnosis = together(
        (ColimaProfile, where),
        (DockerEngine, where),
        (Guest, where),
        (Log, {"path": log_path}),
        (Formulae, {"user": user, "label": label}),
        (DockerConfig, {"user": user}),
        (
            Diagnosis,
            {**where, "label": label, "log": log_path, "start_seconds": start},
        ),
    )
    seen = Seen(mac, job, found, engine, diagnosis, guest, pulse_job, pulse, log, formulae, docker_config)
    return judge(host.name, settings, installers, seen)
