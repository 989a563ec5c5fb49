"""The table as it is read, on one host and on several, and how a run that has shown it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import pytest

from deploys import status_table
from deploys.status_findings import DEGRADED, DOWN, HEALTHY, STOPPED, Containers, Finding
from deploys.status_ports import Published
from deploys.status_report import Report
from deploys.status_table import in_order, show, table, text
from operations.util import internals
from operations.util.words import GIB

DAY = 86400
DAEMON = {"loaded": True, "enabled": True, "pid": 312, "restarts": 0, "seconds": 3 * DAY}
VM = {
    "instance": "colima",
    "status": "Running",
    "type": "qemu",
    "cpus": 4,
    "memory": 8 * GIB,
    "disk": {"size": 59 * GIB, "used": 12 * GIB, "free": 44 * GIB},
}
OFF_VM = VM | {"status": "Stopped", "disk": None}
BOOT = {
    "at": "2026-11-19T12:21:14Z",
    "seconds": 74,
    "console": None,
    "running": 2,
    "total": 3,
    "not_back": (),
    "ago": 3 * DAY,
}
WELL = Report(
    host="mini",
    state=HEALTHY,
    daemon=DAEMON,
    vm=VM,
    docker={"silence": None, "version": "29.1.3", "seconds": 3 * DAY},
    containers=Containers(("api", "web"), ("api", "web"), {}, (), ("compose-1",)),
    last_boot=BOOT,
    pulse={"loaded": True, "state": "well", "reason": None},
    colima={"installed": "0.10.3", "lima": "2.2.0", "qemu": "10.1.2", "outdated": False},
)
SLEEPS = Finding("this Mac sleeps after 10 min: sudo pmset -a sleep 0 disksleep 0")
BROKEN = replace(
    WELL,
    host="studio",
    state=DOWN,
    faults=(
        Finding("Docker does not answer well: there is no socket", "deploys/recover.py"),
        Finding("Colima says: fatal: error starting vm: no disk"),
    ),
    warnings=(SLEEPS,),
    daemon=DAEMON | {"pid": 47, "restarts": 12, "seconds": 30},
    vm=OFF_VM,
    docker={"silence": "there is no socket", "version": None, "seconds": None},
    containers=None,
    last_boot=None,
    pulse={"loaded": True, "state": "gave up", "reason": "nothing has helped"},
)
OFF = replace(
    BROKEN,
    host="attic",
    state=STOPPED,
    faults=(Finding("the job x is not loaded", "deploys/start.py"),),
    warnings=(SLEEPS, Finding("an older Colima runs", "deploy.py --data restart=true")),
    daemon=DAEMON | {"loaded": False, "pid": None},
)


def plain(lines: list[str]) -> str:
    return "\n".join(map(click.unstyle, lines))


def test_one_host() -> None:
    assert (
        plain(text([WELL], ()))
        == """\
HOST  STATE    DAEMON   VM             DISK          DOCKER       CONTAINERS  LAST BOOT
mini  healthy  pid 312  4 CPUs, 8 GiB  12 of 59 GiB  29.1.3, 3 d  2 of 2      74 s, 3 d ago

Daemon      pid 312, for 3 d; 0 restarts
VM          colima: Running, qemu; 44 GiB free for Docker
Containers  api, web; not from containers/: compose-1
Last boot   2026-11-19T12:21:14Z: Docker answered after 74 s; console: nobody; containers: 2 of 3 ran
Pulse       well
Colima      0.10.3, Lima 2.2.0, QEMU 10.1.2"""
    )


def test_ports_of_one_host() -> None:
    web = Published("web", "0.0.0.0", 8080, 8080, "tcp", "network")
    twins = [Published("dns", ip, 53, 55, "udp", "this Mac alone") for ip in ("127.0.0.1", "::1")]
    lines = text([replace(WELL, ports=(web, *twins))], ())
    assert "Ports       web 8080 (network), dns 53-55/udp (this Mac alone)" in lines


def test_more_of_one_host() -> None:
    boot = BOOT | {"not_back": ("db", "web"), "running": None, "console": "alice"}
    lines = text([replace(BROKEN, last_boot=boot)], ["containers/db:3: no --name"])
    assert lines[2:6] == [
        "",
        "Daemon     pid 47, for 30 s; 12 restarts",
        "VM         colima: Stopped, qemu",
        "Last boot  2026-11-19T12:21:14Z: Docker answered after 74 s; console: alice; "
        "containers: ? of 3 ran; not back: db, web",
    ]
    assert "Pulse      gave up: nothing has helped" in lines
    assert "    next: pyinfra .. deploys/recover.py" in lines
    assert lines[-2:] == ["containers/ has faults: a deploy is refused", "  containers/db:3: no --name"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "Maintenance  2 d ago: 3.4 GiB given back, in 41 s; every 7 days"),
        (
            {"given_back": 37 << 20, "every_days": 1},
            "Maintenance  2 d ago: 37 MiB given back, in 41 s; every 1 day",
        ),
        ({"seconds": None, "ago": 15}, "Maintenance  none yet; the first in 7 d, then every 7 days"),
        ({"seconds": None, "ago": 6 * DAY}, "Maintenance  none yet; the first in 1 d, then every 7 days"),
        ({"seconds": None, "ago": 7 * DAY}, "Maintenance  none yet; the first is due, then every 7 days"),
        ({"ago": None}, "Maintenance  ? ago: 3.4 GiB given back, in 41 s; every 7 days"),
    ],
)
def test_maintenance(changed: dict[str, Any], line: str) -> None:
    last = {"every_days": 7, "ago": 2 * DAY, "seconds": 41, "given_back": int(3.4 * GIB), "trouble": None}
    assert line in text([replace(WELL, maintenance=last | changed)], ())


def test_several_hosts() -> None:
    seen = {each.host: each for each in (WELL, BROKEN, OFF)}
    assert (
        plain(text(in_order(seen, ["mini", "attic", "cellar", "studio"]), ()))
        == """\
HOST    STATE        DAEMON               VM             DISK          DOCKER       CONTAINERS  LAST BOOT
mini    healthy      pid 312              4 CPUs, 8 GiB  12 of 59 GiB  29.1.3, 3 d  2 of 2      74 s, 3 d ago
attic   stopped      not loaded           Stopped        -             silent       -           -
cellar  unreachable  -                    -              -             -            -           -
studio  down         pid 47, 12 restarts  Stopped        -             silent       -           -

attic is stopped
  the job x is not loaded
    next: pyinfra .. deploys/start.py --limit attic

cellar is unreachable
  no connection

studio is down
  Docker does not answer well: there is no socket
    next: pyinfra .. deploys/recover.py --limit studio
  Colima says: fatal: error starting vm: no disk

To mind
  attic, studio: this Mac sleeps after 10 min: sudo pmset -a sleep 0 disksleep 0
  attic: an older Colima runs
    next: pyinfra .. deploy.py --data restart=true --limit attic"""
    )


def test_what_all_hosts_share_is_said_once() -> None:
    older = Finding("an older Colima runs", "deploy.py --data restart=true")
    many = [replace(WELL, host=f"mini{number}", warnings=(older,)) for number in range(6)]
    assert text(many, ())[-2:] == [
        "  all hosts: an older Colima runs",
        "    next: pyinfra .. deploy.py --data restart=true",
    ]


def test_the_table_is_aligned_under_its_colours() -> None:
    lines = table([WELL, BROKEN, replace(WELL, state=DEGRADED)])
    assert lines[1] != click.unstyle(lines[1])
    column = lines[0].index("DAEMON")
    assert all(click.unstyle(line)[column - 1 :].startswith((" DAEMON", " pid")) for line in lines)


@pytest.mark.parametrize(
    ("changed", "header", "cell"),
    [
        ({"daemon": DAEMON | {"enabled": False}}, "DAEMON", "disabled"),
        ({"daemon": DAEMON | {"pid": None, "restarts": 1}}, "DAEMON", "no process, 1 restart"),
        ({"vm": VM | {"type": "vz"}}, "VM", "Running (vz)"),
        ({"vm": VM | {"status": None}}, "VM", "-"),
        ({"vm": VM | {"cpus": 1, "memory": int(2.5 * GIB)}}, "VM", "1 CPU, 2.5 GiB"),
        ({"docker": {"silence": None, "version": "29.1.3", "seconds": None}}, "DOCKER", "29.1.3"),
        ({"last_boot": BOOT | {"ago": None}}, "LAST BOOT", "74 s"),
    ],
)
def test_cells(changed: dict[str, Any], header: str, cell: str) -> None:
    head, line = map(click.unstyle, table([replace(WELL, **changed)]))
    begin = head.index(header)
    assert line[begin:].split("  ")[0].rstrip() == cell


def ended(monkeypatch: pytest.MonkeyPatch, names: list[str], *reports: Report) -> int:
    """The exit status of a run over the hosts `names`, of which these were reached."""
    finishes: list[Callable[[], int]] = []
    handed: list[list[Report]] = []
    monkeypatch.setattr(status_table, "_seen", {})
    monkeypatch.setattr(internals, "end_after_all", finishes.append)
    monkeypatch.setattr(internals, "host_names", lambda: names)
    for report in reports:
        show(report, ["containers/db: no"], handed.append)
    status = finishes[-1]()
    assert [[each.host for each in given] for given in handed] == [names]
    return status


def test_the_end_of_a_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(monkeypatch, ["mini"], WELL) == 0
    assert ended(monkeypatch, ["mini", "cellar"], WELL) == 1  # not reached
    capsys.readouterr()
    assert ended(monkeypatch, ["mini", "studio"], BROKEN, WELL) == 1
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines()[1:3]] == [["mini", "healthy"], ["studio", "down"]]
    assert "\x1b" not in said


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pyinfra", "inventory.py", "deploys/status.py", "--json"])
    ended(monkeypatch, ["mini", "cellar"], WELL)
    said = json.loads(capsys.readouterr().out)
    assert list(said["hosts"]) == ["mini", "cellar"]
    assert said["hosts"]["mini"]["docker"] == {"silence": None, "version": "29.1.3", "seconds": 3 * DAY}
    assert said["hosts"]["cellar"]["state"] == "unreachable"
    assert said["installer_faults"] == ["containers/db: no"]
