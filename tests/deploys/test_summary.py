"""What a run came to, a line a host."""

from __future__ import annotations

import json
import logging
from typing import Any

import click
import pytest
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import StateOperationHostData, StateOperationMeta
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_host, ctx_state

from deploys import summary
from deploys.summary import Outcome
from operations.util import commands, internals

NAMES = ("Install colima", "Keep Colima loaded", "Wait until Docker is ready")
LONG = "Restart Colima: memory 2 -> 4 GiB"


class Run:
    """A run over the hosts `mini` and `studio`, of which pyinfra's own state is made up as needed."""

    def __init__(self) -> None:
        self.state = State(Inventory((["@fake/mini", "@fake/studio"], {})), Config())
        self.mini, self.studio = self.state.inventory
        for host in self.state.inventory:
            host.name = host.name.removeprefix("@fake/")
            self.state.activate_host(host)

    def operations(self, host: Host, *would: bool | None) -> None:
        """What pyinfra has prepared: whether each operation would change something; None with -y."""
        for name, change in zip(NAMES, would, strict=False):
            self.state.op_meta.setdefault(name, StateOperationMeta((1,))).names.add(name)
            arguments: Any = {}
            data = StateOperationHostData(lambda: iter(()), arguments, OperationMeta(name, change))
            self.state.ops[host][name] = data

    def executed(self, host: Host, *how: str) -> None:
        self.state.is_executing = True
        self.operations(host, None, None, None)
        for name, end in zip(NAMES, how, strict=False):
            meta = self.state.ops[host][name].operation_meta
            meta.set_complete(end != "failed", ["x"] * (end != "same"), CommandOutput([]))
        if "failed" in how:
            self.state.failed_hosts.add(host)

    def said(self, host: Host) -> str:
        """What this run has come to on the host so far."""
        return next(str(each) for each in summary.outcomes() if each.host == host.name)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(commands, "_explained", {})
    monkeypatch.setattr(summary, "_prepared", set())
    for name in ("_failures", "_refusals"):
        monkeypatch.setattr(internals, name, {})
    made = Run()
    with ctx_state.use(made.state):
        yield made
    ctx_state.reset()


def test_what_has_changed_or_failed(run: Run) -> None:
    commands._explained["mini", True] = [LONG, "Remove web"]
    commands._explained["mini", False] = ["something else"]
    run.executed(run.mini, "same", "changed", "changed")
    run.executed(run.studio, "same", "failed")
    assert run.said(run.mini) == f"changed: {LONG}; Remove web"
    assert run.said(run.studio) == "failed: see above"
    internals.note_failure(run.studio, "Colima did not start")
    # With --no-wait pyinfra forgets to fail the host.
    run.state.failed_hosts.clear()
    assert run.said(run.studio) == "failed: Colima did not start"


def test_who_was_refused_or_not_there(run: Run) -> None:
    internals.note_refusal(run.mini, ("the disk is small", "the Mac is old"))
    run.state.activated_hosts.discard(run.studio)
    assert run.said(run.mini) == "refused: the disk is small; the Mac is old"
    assert run.said(run.studio) == "unreachable"
    # What could not be read over a lost connection is no reason.
    internals.note_failure(run.mini, internals.LOST)
    assert run.said(run.mini) == f"failed: {internals.LOST}"


def test_refused_after_something_had_changed(run: Run) -> None:
    internals.note_refusal(run.mini, ("launchd's answer cannot be read",))
    run.executed(run.mini, "failed")
    assert run.said(run.mini) == "refused: launchd's answer cannot be read"
    run.executed(run.mini, "changed", "failed")
    internals.note_failure(run.mini, "launchd's answer cannot be read")
    assert run.said(run.mini) == "failed: launchd's answer cannot be read"


def test_a_run_that_was_stopped(run: Run) -> None:
    commands._explained["mini", True] = [LONG]
    run.executed(run.mini, "changed")
    run.executed(run.studio)
    assert run.said(run.mini) == f"not finished: {LONG}"
    assert run.said(run.studio) == "nothing was touched"


def test_what_would_change(run: Run) -> None:
    commands._explained["mini", False] = [LONG]
    run.operations(run.mini, False, True, False)
    run.operations(run.studio, False, False, False)
    # Not known before the deploy file has come to its end, and not with -y.
    assert run.said(run.mini) == "nothing was touched"
    for host in (run.mini, run.studio):
        with ctx_host.use(host):
            summary.prepared()
    assert run.said(run.mini) == f"would change: {LONG}"
    assert run.said(run.studio) == "unchanged"
    run.state.check_for_changes = False
    assert run.said(run.mini) == "nothing was touched"


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "pyinfra"):
        summary._log()
    return [click.unstyle(record.getMessage()) for record in caplog.records]


def test_it_is_a_table_of_the_hosts_in_their_order(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.executed(run.mini, "same", "same", "same")
    run.executed(run.studio, "same", "changed", "same")
    commands._explained["studio", True] = [LONG]
    assert shown(caplog) == ["--> Summary:", "mini     unchanged", f"studio   changed: {LONG}"]


def test_of_one_host_that_was_looked_at_all_is_said(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.state.limit_hosts = [run.mini]
    run.operations(run.mini, True)
    assert shown(caplog) == []


@pytest.mark.parametrize(
    ("whats", "status"),
    [
        (["unchanged", "unchanged"], 0),
        (["unchanged", "would change"], 2),
        (["would change", "refused"], 1),
        (["would change", "failed"], 1),
        (["unchanged", "unreachable"], 1),
        (["unchanged", "nothing was touched"], 1),
    ],
)
def test_the_exit_status_of_a_look(monkeypatch: pytest.MonkeyPatch, whats: list[str], status: int) -> None:
    monkeypatch.setattr(summary, "outcomes", lambda: [Outcome("x", what) for what in whats])
    assert summary.drift() == status


def test_a_look_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Outcome("mini", "unchanged"),
        Outcome("studio", "would change", ("Install web", LONG)),
        Outcome("old", "unreachable"),
    ]
    monkeypatch.setattr(summary, "outcomes", lambda: found)
    summary.show_drift()
    assert capsys.readouterr().out == f"studio   would change: Install web; {LONG}\nold      unreachable\n"
    monkeypatch.setattr(internals, "wants_json", lambda: True)
    summary.show_drift()
    told = json.loads(capsys.readouterr().out)
    assert told["mini"] == {"outcome": "unchanged", "why": []}
    assert told["studio"] == {"outcome": "would change", "why": ["Install web", LONG]}
