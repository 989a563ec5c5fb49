"""Reports on hosts as a person reads them: a table with a row a host, what is wrong, and what to mind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import click

from deploys.status_report import (
    ABSENT,
    DEGRADED,
    DOWN,
    GIB,
    HEALTHY,
    QEMU,
    STARTING,
    STOPPED,
    UNKNOWN,
    UNREACHABLE,
    Finding,
    Report,
)
from facts.colima import RUNNING
from operations.util import internals, terminal

HEADERS = ("HOST", "STATE", "DAEMON", "VM", "DISK", "DOCKER", "CONTAINERS", "LAST BOOT")
COLOURS = {
    HEALTHY: "green",
    **dict.fromkeys((DEGRADED, STARTING, STOPPED, ABSENT), "yellow"),
    **dict.fromkeys((DOWN, UNKNOWN, UNREACHABLE), "red"),
}
NOTHING = "-"
NAMED = 4

_seen: dict[str, Report] = {}


def span(seconds: int | None) -> str:
    """A length of time in one number: 75 s, 90 min, 30 h, 3 d; empty when it is unknown."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}".removesuffix(".0") if size < 10 * GIB else f"{size / GIB:.0f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _daemon(report: Report) -> str:
    job = report.daemon
    if job is None:
        return NOTHING
    if not job.loaded:
        return "not loaded"
    if not job.enabled:
        return "disabled"
    restarts = f", {_count(job.restarts, 'restart')}" if job.restarts else ""
    return (f"pid {job.pid}" if job.pid is not None else "no process") + restarts


def _vm(report: Report) -> str:
    vm = report.vm
    if vm is None or vm.status is None:
        return NOTHING
    if vm.type != QEMU:
        return f"{vm.status} ({vm.type or '?'})"
    if vm.status != RUNNING or vm.cpus is None or vm.memory is None:
        return vm.status
    return f"{_count(vm.cpus, 'CPU')}, {_gib(vm.memory)} GiB"


def _disk(report: Report) -> str:
    disk = report.vm.disk if report.vm is not None else None
    return f"{_gib(disk.used)} of {_gib(disk.size)} GiB" if disk is not None else NOTHING


def _docker(report: Report) -> str:
    engine = report.docker
    if engine is None:
        return NOTHING
    if engine.silence is not None:
        return "silent"
    return ", ".join(filter(None, (engine.version, span(engine.seconds))))


def _containers(report: Report) -> str:
    found = report.containers
    return f"{len(found.well)} of {len(found.declared)}" if found is not None else NOTHING


def _last_boot(report: Report) -> str:
    boot = report.last_boot
    if boot is None:
        return NOTHING
    ago = f", {span(boot.ago)} ago" if boot.ago is not None else ""
    return f"{boot.seconds} s{ago}"


def table(reports: Sequence[Report]) -> list[str]:
    """A row a host, aligned; the states in colour."""
    rows = [
        (
            each.host,
            each.state,
            *(cell(each) for cell in (_daemon, _vm, _disk, _docker, _containers, _last_boot)),
        )
        for each in reports
    ]
    widths = [max(map(len, column)) for column in zip(HEADERS, *rows, strict=True)]
    lines = []
    for row in (HEADERS, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1]
        if row is not HEADERS:
            cells[1] = click.style(cells[1], fg=COLOURS[row[1]])
        lines.append("  ".join(cells))
    return lines


def _next(finding: Finding, hosts: Sequence[str] = ()) -> list[str]:
    """What to type next; of many hosts for these alone."""
    if finding.next is None:
        return []
    limits = "".join(f" --limit {host}" for host in hosts)
    return [f"    next: pyinfra .. {finding.next}{limits}"]


def _hosts(names: Sequence[str], total: int) -> str:
    if len(names) == total:
        return "all hosts"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def faults(reports: Sequence[Report]) -> list[str]:
    """What is wrong with each host that is not well."""
    lines = []
    for each in reports:
        if each.faults:
            lines += ["", f"{each.host} is {click.style(each.state, fg=COLOURS[each.state])}"]
        for finding in each.faults:
            lines += [f"  {finding.text}", *_next(finding, [each.host] if len(reports) > 1 else ())]
    return lines


def warnings(reports: Sequence[Report]) -> list[str]:
    """What to mind, each once, with the hosts it is said of."""
    said: dict[Finding, list[str]] = {}
    for report in reports:
        for finding in report.warnings:
            said.setdefault(finding, []).append(report.host)
    lines = ["", "To mind"] if said else []
    for finding, hosts in said.items():
        where = f"{_hosts(hosts, len(reports))}: " if len(reports) > 1 else ""
        limits = () if len(hosts) == len(reports) else hosts if len(hosts) <= NAMED else ["HOST"]
        lines += [f"  {where}{finding.text}", *_next(finding, limits)]
    return lines


def details(report: Report) -> list[str]:
    """More of one host than its row has room for."""
    said: dict[str, str] = {}
    if (job := report.daemon) is not None and job.pid is not None:
        said["Daemon"] = f"pid {job.pid}, for {span(job.seconds) or '?'}; {_count(job.restarts, 'restart')}"
    if (vm := report.vm) is not None and vm.status is not None:
        said["VM"] = f"{vm.instance}: {vm.status}, {vm.type}"
        if vm.disk is not None:
            said["VM"] += f"; {_gib(vm.disk.free)} GiB free for Docker"
    if (found := report.containers) is not None:
        said["Containers"] = ", ".join(found.well) or "none"
        if found.others:
            said["Containers"] += f"; not from containers/: {', '.join(found.others)}"
    if (boot := report.last_boot) is not None:
        ran, total = ("?" if each is None else each for each in (boot.running, boot.total))
        said["Last boot"] = (
            f"{boot.at}: Docker answered after {boot.seconds} s; console: {boot.console or 'nobody'}; "
            f"containers: {ran} of {total} ran"
        )
        if boot.not_back:
            said["Last boot"] += f"; not back: {', '.join(boot.not_back)}"
    if (pulse := report.pulse) is not None:
        said["Pulse"] = (pulse.state or "unreadable") if pulse.loaded else "not loaded"
        if pulse.reason:
            said["Pulse"] += f": {pulse.reason}"
    if (colima := report.colima) is not None and colima.installed is not None:
        runs = {True: "an older one runs", False: "and runs", None: ""}[colima.outdated]
        said["Colima"] = ", ".join(filter(None, (f"{colima.installed} installed", runs)))
    width = max(map(len, said), default=0)
    return ["", *(f"{what.ljust(width)}  {text}" for what, text in said.items())] if said else []


def text(reports: Sequence[Report], installers: Sequence[str]) -> list[str]:
    """All that is shown of hosts, in lines; `installers` are the faults of the files in containers/."""
    lines = table(reports)
    if len(reports) == 1:
        lines += details(reports[0])
    lines += faults(reports)
    lines += warnings(reports)
    if installers:
        lines += ["", "containers/ cannot be read as a whole", *(f"  {fault}" for fault in installers)]
    return lines


def in_order(seen: Mapping[str, Report], names: Iterable[str]) -> list[Report]:
    """The reports in the inventory's order; a host without one was not reached."""
    lost = Finding("no connection: see above what pyinfra said of it")
    return [seen.get(name, Report(name, UNREACHABLE, (lost,))) for name in names]


def show(report: Report, installers: Sequence[str]) -> None:
    """Keep a host's report; at the last host of the run show all of them and end pyinfra: with 0 when all are
    healthy, else with 1. Raises SystemExit then."""
    _seen[report.host] = report

    def finish() -> int:
        reports = in_order(_seen, internals.host_names())
        click.echo(err=True)
        if internals.wants_json():
            hosts = {each.host: each.to_json() for each in reports}
            terminal.echo(json.dumps({"hosts": hosts, "installer_faults": list(installers)}, indent=2))
        else:
            terminal.echo("\n".join(text(reports, installers)))
        return 0 if all(each.healthy for each in reports) else 1

    internals.end_after_all(finish)
