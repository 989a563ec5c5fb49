"""How the Docker of a Mac is, judged from facts alone and without touching anything."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from pyinfra.api import Host

from deploys.diagnostics import mask, secrets_of
from deploys.faults import log_faults, mac_faults, warnings
from facts.colima import (
    RUNNING,
    ColimaProfile,
    Disk,
    Guest,
    GuestState,
    Log,
    LogState,
    ProfileState,
    Program,
    ProgramState,
)
from facts.diagnosis import Diagnosis, DiagnosisState
from facts.docker import Container, DockerEngine, EngineState
from facts.launchd import JobState, LaunchdJob
from facts.mac import Mac, MacState
from facts.pulse import BACKING_OFF, GAVE_UP, MISSING, BootReport, Pulse, PulseState
from facts.util import Record, plain
from operations import containers
from operations.util import internals
from operations.util.ahead import together
from operations.util.installer import Installer, Installers
from operations.util.plist import pulse_label
from settings import Fault, Settings

QEMU = "qemu"
GIB = 1024**3
LOW_ON_HOST = 10 * GIB
FULL_IN_GUEST = 0.9
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

DEPLOY, RECOVER, START = "deploy.py", "deploys/recover.py", "deploys/start.py"


@dataclass(frozen=True)
class Finding(Record):
    """Something that is wrong or to be minded, and what to run next, where that is known."""

    text: str
    next: str | None = None


@dataclass(frozen=True)
class Daemon(Record):
    """The LaunchDaemon: `restarts` since it was loaded, `seconds` that its process has run."""

    loaded: bool
    enabled: bool
    running: bool
    pid: int | None
    restarts: int
    seconds: int | None
    last_exit: str | None


@dataclass(frozen=True)
class Vm(Record):
    """Lima's instance, its memory in bytes; `disk` holds Docker's data, None where the guest is silent."""

    instance: str
    status: str | None
    type: str | None
    cpus: int | None
    memory: int | None
    disk: Disk | None


@dataclass(frozen=True)
class Engine(Record):
    """Docker: `silence` says why it does not answer; it has answered for `seconds`, None where that is not
    known."""

    silence: str | None
    version: str | None
    seconds: int | None


@dataclass(frozen=True)
class Containers(Record):
    """The containers by name: those that installers declare, and which of them are well, and which not and
    why; those of an installer that is there no more, and those that are nobody's."""

    declared: tuple[str, ...]
    well: tuple[str, ...]
    failed: dict[str, str]
    unowned: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Boot(BootReport):
    """The last boot that the pulse has reported, and how long ago Docker answered then, in seconds; of
    `not_back` those that still do not run, as far as Docker tells."""

    ago: int | None = None


@dataclass(frozen=True)
class Watch(Record):
    """The pulse: whether launchd has it loaded, what it sees, and what it said last while not all is well."""

    loaded: bool | None
    state: str | None
    reason: str | None


@dataclass(frozen=True)
class Colima(Record):
    """The installed version; `outdated` when the one that runs was started before that was installed, None
    where it cannot be told."""

    installed: str | None
    outdated: bool | None


@dataclass(frozen=True)
class Report(Record):
    """How a host is. What could not be read is None."""

    host: str
    state: str
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    daemon: Daemon | None = None
    vm: Vm | None = None
    docker: Engine | None = None
    containers: Containers | None = None
    last_boot: Boot | None = None
    pulse: Watch | None = None
    colima: Colima | None = None
    log_size: int | None = None

    @property
    def healthy(self) -> bool:
        return self.state == HEALTHY

    def to_json(self) -> dict[str, Any]:
        """The report without its host's name, for `--json`."""
        record = asdict(self)
        del record["host"]
        return {"healthy": self.healthy, **record}


# What is asked of a host, in words.
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
    "program": "the installed Colima",
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
    program: ProgramState | None = None

    @property
    def good(self) -> bool:
        """Whether Docker was used."""
        return self.diagnosis is not None and self.diagnosis.good

    @property
    def containers(self) -> dict[str, Container] | None:
        return self.engine.containers if self.engine is not None else None

    @property
    def age(self) -> int | None:
        """For how long the job's process has run, in seconds."""
        return self.program.age if self.program is not None else None


def judge(host: str, settings: Settings, installers: Installers, seen: Seen) -> Report:
    """Judge a host from its facts. A pure function."""
    unreadable = [words for name, words in WORDS.items() if getattr(seen, name) is None]
    faults = [Finding("cannot be read: " + ", ".join(unreadable))] if unreadable else []
    state = _state(seen)
    faults += _of_docker(settings, seen, state)
    found = _containers(installers, seen)
    if found is not None:
        due = {each.installer.container for each in containers.pending(installers, seen.engine, None)}
        faults += (_of_container(name, why, name in due) for name, why in found.failed.items())
    if settings.pulse and state not in (STOPPED, ABSENT):
        faults += _of_pulse(seen)
    if state == HEALTHY and faults:
        state = DEGRADED
    return Report(
        host=host,
        state=state,
        faults=tuple(faults),
        warnings=tuple(_warnings(settings, installers, seen, found)),
        daemon=_daemon(seen),
        vm=_vm(seen),
        docker=_engine(seen),
        containers=found,
        last_boot=_last_boot(seen),
        pulse=_watch(seen) if settings.pulse else None,
        colima=_colima(seen),
        log_size=seen.log.size if seen.log is not None else None,
    )


def _is_off(job: JobState) -> bool:
    return job.disabled or not job.loaded


def _state(seen: Seen) -> str:
    if seen.job is None or seen.diagnosis is None or None in (seen.mac, seen.profile, seen.engine):
        return UNKNOWN
    if not seen.job.loaded and seen.job.plist_file is None:
        return ABSENT
    if seen.good:
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
    elif not seen.good:
        # Silence that is nothing but an answer lost is named among what cannot be read.
        if diagnosis is not None and seen.engine is not None and job is not None:
            yield Finding(
                diagnosis.found, RECOVER if diagnosis.steps else DEPLOY if diagnosis.refused else None
            )
        if diagnosis is not None and diagnosis.fatal:
            hidden = mask(diagnosis.fatal, secrets_of(settings.colima_extra_args, {}))
            yield Finding(f"Colima says: {plain(textwrap.shorten(hidden, REASON_LENGTH, placeholder=' ..'))}")
    elif job is not None and not job.running:
        yield Finding(
            f"Docker answers, and the job {label} does not run: launchd calls it {job.state} "
            f"(last exit: {job.last_exit or 'unknown'})",
            DEPLOY,
        )
    elif profile is not None and profile.status != RUNNING:
        yield Finding(f"Lima calls {profile.instance} {profile.status or 'no instance'}", RECOVER)
    elif profile is not None and profile.vm_type != QEMU:
        yield Finding(f"the VM runs on {profile.vm_type}, not on {QEMU}", DEPLOY)


def _wrong(installer: Installer, container: Container | None) -> str | None:
    """What is wrong with an installer's container. One that was not detached may end, and well."""
    if container is None:
        return "is not there"
    if container.state == "running":
        return None
    if not installer.detached and (container.state, container.exit_code) == ("exited", 0):
        return None
    return f"is {container.state} (exit code {container.exit_code})"


def _containers(installers: Installers, seen: Seen) -> Containers | None:
    """The containers, as far as Docker lists them. Smoke tests leave none behind."""
    present = seen.containers
    if present is None:
        return None
    declared = [each for each in installers.all if not each.smoke_test]
    failed = {}
    for each in declared:
        wrong = _wrong(each, present.get(each.container))
        if wrong is not None:
            failed[each.container] = wrong
    names = {each.container for each in declared}
    # A file that cannot be read may be the one that describes it.
    unowned = () if installers.faults else tuple(containers.unowned(installers, seen.engine))
    return Containers(
        declared=tuple(each.container for each in declared),
        well=tuple(each.container for each in declared if each.container not in failed),
        failed=failed,
        unowned=unowned,
        others=tuple(sorted(name for name in present if name not in {*names, *unowned})),
    )


def _of_container(name: str, why: str, due: bool) -> Finding:
    """What is wrong with a container; a deploy puts it right where it is `due`."""
    return Finding(f"container {name} {why}", DEPLOY if due else f"{DEPLOY} --data reinstall={name}")


def _of_pulse(seen: Seen) -> Iterator[Finding]:
    """What is wrong with the pulse, and what it does about Docker's silence."""
    if seen.pulse_job is not None and _is_off(seen.pulse_job):
        how = "is disabled" if seen.pulse_job.disabled else "is not loaded"
        yield Finding(f"the pulse {how}: nothing brings Docker back when it fails", DEPLOY)
        return
    if seen.pulse is None:
        return
    reason = f": {seen.pulse.reason}" if seen.pulse.reason else ""
    if seen.pulse.state == GAVE_UP:
        yield Finding(f"the pulse gave up{reason}", RECOVER)
    elif seen.pulse.state == BACKING_OFF and not seen.good:
        yield Finding(f"the pulse has taken a step ({seen.pulse.step}) and waits before the next{reason}")
    elif seen.pulse.state == MISSING and not seen.good:
        yield Finding(f"the pulse has missed Docker {seen.pulse.misses} times in a row{reason}")


def _warnings(
    settings: Settings, installers: Installers, seen: Seen, found: Containers | None
) -> Iterator[Finding]:
    """What does not make a host unhealthy, today."""
    if seen.mac is not None:
        yield from map(Finding, warnings(settings, seen.mac))
        free = seen.mac.volume_free
        if free is not None and free < LOW_ON_HOST:
            yield Finding(
                f"this Mac has {free / GIB:.1f} GiB of disk left, and the VM's disk grows as it fills"
            )
    disk = seen.guest.disk if seen.guest is not None else None
    if disk is not None and disk.used > FULL_IN_GUEST * (disk.used + disk.free):
        yield Finding(
            f"Docker's disk has {disk.free / GIB:.1f} of {disk.size / GIB:.0f} GiB left: raise COLIMA_DISK, "
            "or remove images and volumes"
        )
    if seen.log is not None:
        yield from map(Finding, log_faults(settings, seen.log))
    if seen.log is not None and seen.log.size > settings.log_max_mb * 1_000_000:
        yield Finding(f"{settings.log_path} has {seen.log.size / 1e6:.0f} MB, above LOG_MAX_MB")
    if (colima := _colima(seen)) is not None and colima.outdated:
        yield Finding(
            f"an older Colima runs than the one that is installed ({colima.installed or 'unknown version'})",
            f"{DEPLOY} --data restart=true",
        )
    if found is None or seen.containers is None:
        return
    for due in containers.pending(installers, seen.engine, None):
        name, file = due.installer.container, due.installer.file
        if name in found.well:
            yield Finding(f"container {name} is not as containers/{file} says: {due.why}", DEPLOY)
    for each in installers.all:
        present = seen.containers.get(each.container)
        if present is not None and present.restart_policy == "no" and each.detached and not each.removed:
            yield Finding(
                f"container {each.container} has no restart policy and will not return after a reboot: "
                f"write --restart into containers/{each.file}",
                DEPLOY,
            )
    for name in found.unowned:
        yield Finding(
            f"container {name} was made by an installer that is no longer in containers/",
            f"{DEPLOY} --data remove_unowned=true",
        )


def _daemon(seen: Seen) -> Daemon | None:
    job = seen.job
    if job is None:
        return None
    return Daemon(
        loaded=job.loaded,
        enabled=not job.disabled,
        running=job.running,
        pid=job.pid,
        restarts=max(job.runs - 1, 0),
        seconds=seen.age if job.pid is not None else None,
        last_exit=job.last_exit,
    )


def _vm(seen: Seen) -> Vm | None:
    found = seen.profile
    if found is None:
        return None
    disk = seen.guest.disk if seen.guest is not None else None
    return Vm(found.instance, found.status, found.vm_type, found.cpus, found.memory, disk)


def _engine(seen: Seen) -> Engine | None:
    """Docker has not answered for longer than its daemon is up, nor than since the pulse saw it come back."""
    if seen.engine is None or seen.diagnosis is None:
        return None
    up = seen.guest.docker_seconds if seen.guest is not None else None
    known = [up, _ago(seen, seen.pulse.answered_at if seen.pulse is not None else None)]
    seconds = min(each for each in known if each is not None) if seen.good and up is not None else None
    return Engine(None if seen.good else seen.diagnosis.found, seen.engine.version, seconds)


def _ago(seen: Seen, moment: str | None) -> int | None:
    """How long ago a moment (ISO 8601, UTC) was, by the Mac's clock."""
    if moment is None or seen.program is None or seen.program.now is None:
        return None
    try:
        then = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    # The clock may have been set since.
    return max(seen.program.now - int(then.timestamp()), 0)


def _last_boot(seen: Seen) -> Boot | None:
    if seen.pulse is None or not seen.pulse.reports:
        return None
    report = seen.pulse.reports[-1]
    now = seen.containers
    down = {name for name, each in (now or {}).items() if each.state != "running"}
    not_back = tuple(name for name in report.not_back if now is None or name in down)
    return Boot(**asdict(replace(report, not_back=not_back)), ago=_ago(seen, report.at))


def _watch(seen: Seen) -> Watch:
    loaded = seen.pulse_job.loaded and not seen.pulse_job.disabled if seen.pulse_job is not None else None
    if seen.pulse is None:
        return Watch(loaded, None, None)
    return Watch(loaded, seen.pulse.state, seen.pulse.reason)


def _colima(seen: Seen) -> Colima | None:
    program = seen.program
    if program is None:
        return None
    outdated = None
    if program.now is not None and program.age is not None and program.linked is not None:
        started = program.now - program.age
        booted = seen.mac.boot_time if seen.mac is not None else None
        # A process from before the boot: the clock has been set since, and tells nothing.
        if booted is not None and started >= booted:
            outdated = program.linked > started
    return Colima(program.version, outdated)


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
    start = settings.wait_qemu_max + settings.wait_docker_api_max
    found, engine, guest, log, program, diagnosis = together(
        (ColimaProfile, where),
        (DockerEngine, where),
        (Guest, where),
        (Log, {"path": settings.log_path}),
        (Program, {"pid": (job.pid if job is not None else None) or 0}),
        (Diagnosis, {**where, "label": label, "log": settings.log_path, "start_seconds": start}),
    )
    seen = Seen(mac, job, found, engine, diagnosis, guest, pulse_job, pulse, log, program)
    return judge(host.name, settings, installers, seen)
