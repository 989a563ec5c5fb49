"""Reports on hosts as a person reads them: a table with a row a host, what is wrong, and what to mind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import click

from deploys.status_findings import (
    ABSENT,
    DAY,
    DEGRADED,
    DOWN,
    HEALTHY,
    STARTING,
    STOPPED,
    UNKNOWN,
    UNREACHABLE,
    Finding,
)
from deploys.status_report import Report
from deploys.status_timeline import boot_words
from facts.colima import QEMU, RUNNING
from operations.util import internals, terminal
from operations.util.words import count, gib, size, span

HEADERS = ("HOST", "STATE", "DAEMON", "VM", "DISK", "DOCKER", "CONTAINERS", "LAST BOOT")
COLOURS = {
    HEALTHY: "green",
    **dict.fromkeys((DEGRADED, STARTING, STOPPED, ABSENT), "yellow"),
    **dict.fromkeys((DOWN, UNKNOWN, UNREACHABLE), "red"),
}

_seen: dict[str, Report] = {}


def _row(report: Report) -> list[str]:
    """A report's cells, in the order of HEADERS."""
    daemon = vm = disk = docker = containers = boot = ""
    if job := report.daemon:
        daemon = f"pid {job['pid']}" if job["pid"] is not None else "no process"
        if job["restarts"]:
            daemon += f", {count(job['restarts'], 'restart')}"
        if not (job["loaded"] and job["enabled"]):
            daemon = "disabled" if job["loaded"] else "not loaded"
    if (found := report.vm) and found["status"] is not None:
        vm = found["status"]
        if found["type"] != QEMU:
            vm += f" ({found['type'] or '?'})"
        elif vm == RUNNING and found["cpus"] and found["memory"]:
            vm = f"{count(found['cpus'], 'CPU')}, {gib(found['memory'])} GiB"
        if size := found["disk"]:
            disk = f"{gib(size['used'])} of {gib(size['size'])} GiB"
    if engine := report.docker:
        words = engine["version"], span(engine["seconds"])
        docker = "silent" if engine["silence"] is not None else ", ".join(filter(None, words))
    if report.containers:
        containers = f"{len(report.containers.well)} of {len(report.containers.declared)}"
    if last := report.last_boot:
        boot = f"{last['seconds']} s" + (f", {span(last['ago'])} ago" if last["ago"] is not None else "")
    cells = (report.host, report.state, daemon, vm, disk, docker, containers, boot)
    return [cell or "-" for cell in cells]


def table(reports: Sequence[Report]) -> list[str]:
    """A row a host, aligned; the states in colour."""
    rows = [[*HEADERS], *map(_row, reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if row[1] in COLOURS:
            cells[1] = click.style(cells[1], fg=COLOURS[row[1]])
        lines.append("  ".join(cells).rstrip())
    return lines


def next_command(finding: Finding, limit: Iterable[str] = ()) -> str | None:
    """What to type next, for the hosts `limit` alone."""
    limits = "".join(f" --limit {host}" for host in limit)
    return f"pyinfra .. {finding.next}{limits}" if finding.next else None


def _said(text: str, then: str | None) -> list[str]:
    """A finding's text, and what to type next."""
    return [f"  {text}", *([f"    next: {then}"] if then else [])]


def faults(reports: Sequence[Report]) -> list[str]:
    """What is wrong with each host that is not well."""
    lines = []
    for each in reports:
        if each.faults:
            lines += ["", f"{each.host} is {click.style(each.state, fg=COLOURS[each.state])}"]
        for finding in each.faults:
            lines += _said(finding.text, next_command(finding, [each.host] if len(reports) > 1 else ()))
    return lines


def minded(reports: Sequence[Report]) -> list[tuple[str, Finding, str | None]]:
    """What to mind, each once: of which hosts it is said, if not of the only one, and what to type next."""
    said: dict[Finding, list[str]] = {}
    for report in reports:
        for finding in report.warnings:
            said.setdefault(finding, []).append(report.host)
    found = []
    for finding, hosts in said.items():
        if len(hosts) == len(reports):
            found.append(("all hosts" if hosts[1:] else "", finding, next_command(finding)))
        else:
            found.append((", ".join(hosts), finding, next_command(finding, hosts)))
    return found


def warnings(reports: Sequence[Report]) -> list[str]:
    """What to mind, in lines."""
    lines = []
    for where, finding, then in minded(reports):
        lines += _said(f"{where}: {finding.text}" if where else finding.text, then)
    return ["", "To mind", *lines] if lines else []


def details(report: Report) -> dict[str, str]:
    """More of one host than its row has room for."""
    said: dict[str, str] = {}
    if (job := report.daemon) and job["pid"] is not None:
        runs = f"for {span(job['seconds']) or '?'}; {count(job['restarts'], 'restart')}"
        said["Daemon"] = f"pid {job['pid']}, {runs}"
    if (vm := report.vm) and vm["status"] is not None:
        said["VM"] = f"{vm['instance']}: {vm['status']}, {vm['type']}"
        if vm["disk"]:
            said["VM"] += f"; {gib(vm['disk']['free'])} GiB free for Docker"
    if found := report.containers:
        said["Containers"] = ", ".join(found.well) or "none"
        if found.others:
            said["Containers"] += f"; not from containers/: {', '.join(found.others)}"
    if report.ports:
        said["Ports"] = ", ".join(dict.fromkeys(map(str, report.ports)))
    if boot := report.last_boot:
        said["Last boot"] = f"{boot['at']}: {boot_words(boot)}"
    if pulse := report.pulse:
        said["Pulse"] = (pulse["state"] or "unreadable") if pulse["loaded"] else "not loaded"
        if pulse["reason"]:
            said["Pulse"] += f": {pulse['reason']}"
    if last := report.maintenance:
        every = f"every {count(last['every_days'], 'day')}"
        if last["seconds"] is not None:
            ago, gave = span(last["ago"]) or "?", size(last["given_back"] or 0)
            said["Maintenance"] = f"{ago} ago: {gave} given back, in {last['seconds']} s; {every}"
        else:
            left = last["every_days"] - (last["ago"] or 0) // DAY
            first = f"in {left} d" if left > 0 else "is due"
            said["Maintenance"] = f"none yet; the first {first}, then {every}"
    if (colima := report.colima) and colima["installed"]:
        names = {"installed": "", "lima": "Lima ", "qemu": "QEMU "}
        said["Colima"] = ", ".join(f"{name}{colima[key]}" for key, name in names.items() if colima[key])
    return said


def text(reports: Sequence[Report], installers: Sequence[str]) -> list[str]:
    """All that is shown of hosts, in lines; `installers` are the faults of the files in containers/."""
    lines = table(reports)
    if len(reports) == 1 and (more := details(reports[0])):
        width = max(map(len, more))
        lines += ["", *(f"{what.ljust(width)}  {text}" for what, text in more.items())]
    lines += faults(reports) + warnings(reports)
    if installers:
        lines += [
            "",
            "containers/ has faults: a deploy is refused",
            *(f"  {fault}" for fault in installers),
        ]
    return lines


def in_order(seen: Mapping[str, Report], names: Iterable[str]) -> list[Report]:
    """The reports in the inventory's order; a host without one was not reached."""
    lost = Finding("no connection")
    return [seen.get(name, Report(name, UNREACHABLE, (lost,))) for name in names]


def show(report: Report, installers: Sequence[str], then: Callable[[list[Report]], None]) -> None:
    """Keep a host's report; at the last host of the run show all, hand them to `then`, and end pyinfra.

    Raises SystemExit there: with 0 when all are healthy, else with 1.
    """
    _seen[report.host] = report

    def finish() -> int:
        reports = in_order(_seen, internals.host_names())
        click.echo(err=True)
        if internals.wants_json():
            hosts = {each.host: each.to_json() for each in reports}
            terminal.echo(json.dumps({"hosts": hosts, "installer_faults": list(installers)}, indent=2))
        else:
            terminal.echo("\n".join(text(reports, installers)))
        then(reports)
        return 0 if all(each.healthy for each in reports) else 1

    internals.end_after_all(finish)
