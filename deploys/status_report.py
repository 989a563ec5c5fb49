"""How the Docker of a Mac is: what `--json` and the table print of a host, from facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyinfra.api import Host

from deploys.faults import mac_faults
from deploys.status_findings import (
    DEGRADED,
    HEALTHY,
    UNKNOWN,
    Containers,
    Finding,
    Seen,
    containers_of,
    minded,
    wrong,
)
from deploys.status_ports import Published, published
from facts.colima import ColimaProfile, Guest, Log
from facts.diagnosis import Diagnosis
from facts.docker import DockerConfig, DockerEngine
from facts.homebrew import Formulae
from facts.launchd import LaunchdJob
from facts.mac import Mac
from facts.pulse import Pulse, time_of
from operations.util import internals
from operations.util.ahead import together
from operations.util.installer import Installers
from operations.util.plist import pulse_label
from settings import Fault, Settings

Part = dict[str, Any] | None


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


def judge(host: str, settings: Settings, installers: Installers, seen: Seen) -> Report:
    """Judge a host from its facts. A pure function."""
    containers = containers_of(installers, seen.engine)
    maintenance = _maintenance(settings, seen)
    faults = tuple(wrong(settings, installers, seen, containers))
    return Report(
        host=host,
        state=DEGRADED if seen.state == HEALTHY and faults else seen.state,
        faults=faults,
        warnings=tuple(minded(settings, installers, seen, containers, maintenance)),
        daemon=_daemon(seen),
        vm=_vm(seen),
        docker=_docker(seen),
        containers=containers,
        ports=published(settings, seen.containers),
        last_boot=_last_boot(seen),
        pulse=_pulse(seen) if settings.pulse else None,
        maintenance=maintenance,
        colima=_colima(seen),
        log_size=seen.log.size if seen.log else None,
        mac={"volume_free": seen.mac.volume_free} if seen.mac else None,
        history=_history(seen),
    )


def _daemon(seen: Seen) -> Part:
    if (job := seen.job) is None:
        return None
    return {
        "loaded": job.loaded,
        "enabled": not job.disabled,
        "running": job.running,
        "pid": job.pid,
        "restarts": max(job.runs - 1, 0),
        "seconds": seen.formulae.age if seen.formulae and job.pid is not None else None,
        "last_exit": job.last_exit,
    }


def _vm(seen: Seen) -> Part:
    if (profile := seen.profile) is None:
        return None
    return {
        "instance": profile.instance,
        "status": profile.status,
        "type": profile.vm_type,
        "cpus": profile.cpus,
        "memory": profile.memory,
        "disk": asdict(seen.guest.disk) if seen.guest and seen.guest.disk else None,
    }


def _docker(seen: Seen) -> Part:
    if seen.engine is None or seen.diagnosis is None:
        return None
    return {
        "silence": None if seen.good else seen.diagnosis.found,
        "version": seen.engine.version,
        "seconds": seen.guest.docker_seconds if seen.guest and seen.good else None,
    }


def _last_boot(seen: Seen) -> Part:
    """The last boot that the pulse has reported; of `not_back` those that do not run now either."""
    if seen.pulse is None or not seen.pulse.reports:
        return None
    report = seen.pulse.reports[-1]
    now = seen.engine.containers if seen.engine else None
    down = {name for name, each in (now or {}).items() if each.state != "running"}
    not_back = tuple(name for name in report.not_back if now is None or name in down)
    at = time_of(report.at)
    return {**asdict(report), "not_back": not_back, "ago": _ago(seen, int(at.timestamp()) if at else None)}


def _pulse(seen: Seen) -> Part:
    return {
        "loaded": not seen.pulse_job.off if seen.pulse_job else None,
        "state": seen.pulse.state if seen.pulse else None,
        "reason": seen.pulse.reason if seen.pulse else None,
    }


def _maintenance(settings: Settings, seen: Seen) -> Part:
    """When and how Docker was last maintained, or, with `seconds` None, since when it is to be."""
    last = seen.pulse.maintenance if seen.pulse else None
    if last is None or not (settings.pulse and settings.maintain_every_days):
        return None
    return {
        "every_days": settings.maintain_every_days,
        "ago": _ago(seen, last.at),
        "seconds": last.seconds,
        "given_back": last.given_back,
        "trouble": last.trouble,
    }


def _ago(seen: Seen, at: int | None) -> int | None:
    """How long ago a time in seconds since 1970 was, by the Mac's clock, which may have been set since."""
    now = seen.formulae.now if seen.formulae else None
    return None if now is None or at is None else max(now - at, 0)


def _colima(seen: Seen) -> Part:
    if (formulae := seen.formulae) is None:
        return None
    return {
        "installed": formulae.version("colima"),
        "lima": formulae.version("lima"),
        "qemu": formulae.version("qemu"),
        "outdated": None if formulae.newer is None else bool(formulae.newer),
    }


def _history(seen: Seen) -> Part:
    """What the end of the pulse's log tells."""
    if (pulse := seen.pulse) is None:
        return None
    boots, events = (list(map(asdict, each)) for each in (pulse.reports, pulse.events))
    return {"since": pulse.since, "boots": boots, "events": events}


def look(host: Host, settings: Settings, faults: Sequence[Fault], installers: Installers) -> Report:
    """Look at a host and judge it; with settings that have `faults`, say that alone."""
    if faults:
        return Report(host.name, UNKNOWN, tuple(Finding(str(fault)) for fault in faults))
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
        (Diagnosis, {**where, "label": label, "log": log_path, "start_seconds": start}),
    )
    seen = Seen(mac, job, found, engine, diagnosis, guest, pulse_job, pulse, log, formulae, docker_config)
    return judge(host.name, settings, installers, seen)
