"""What a run came to, a line a host."""

from __future__ import annotations

import atexit
import json
import logging
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra import logger
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import StateOperationHostData, StateOperationMeta
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_host, ctx_state

from operations import forecast, summary
from operations.forecast import Names
from operations.summary import Outcome, outcome
from operations.util import fleet

NAMES = Names()
GENERIC = (NAMES.dependencies, NAMES.supervision, NAMES.gates)
LONG = "Restart Colima: memory 2 -> 4 GiB"


class Run:
    """A run over the hosts `mini` and `studio`, of which pyinfra's own state is made up as needed."""

    def __init__(self) -> None:
        self.state = State(Inventory((["@fake/mini", "@fake/studio"], {})), Config())
        self.mini, self.studio = self.state.inventory
        for host in self.state.inventory:
            host.name = host.name.removeprefix("@fake/")
            self.state.activate_host(host)

    def operations(self, host: Host, *would: bool | None, names: tuple[str, ...] = GENERIC) -> None:
        """What pyinfra has prepared: whether each operation would change something; None with -y."""
        for name, change in zip(names, would, strict=False):
            self.state.op_meta.setdefault(name, StateOperationMeta((1,))).names.add(name)
            arguments: Any = {}
            data = StateOperationHostData(lambda: iter(()), arguments, OperationMeta(name, change))
            self.state.ops[host][name] = data

    def executed(self, host: Host, *how: str, names: tuple[str, ...] = GENERIC) -> None:
        self.state.is_executing = True
        self.operations(host, *[None] * len(names), names=names)
        for name, end in zip(names, how, strict=False):
            meta = self.state.ops[host][name].operation_meta
            meta.set_complete(end != "failed", ["x"] * (end != "same"), CommandOutput([]))
        if "failed" in how:
            self.state.failed_hosts.add(host)

    def prepared(self, host: Host, value: object = None) -> None:
        """pyinfra has loaded the deploy file for the host; `value` is what came of it."""
        with ctx_host.use(host):
            done = gevent.spawn(lambda: value)
        done.join()
        summary._preparations[host.name] = done


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    for module, name in (
        (summary, "_preparations"),
        (summary, "_errors"),
        (fleet, "_refusals"),
        (forecast, "_said"),
    ):
        monkeypatch.setattr(module, name, {})
    made = Run()
    with ctx_state.use(made.state):
        yield made
    ctx_state.reset()
    ctx_host.reset()


def test_what_changed(run: Run) -> None:
    run.executed(run.mini, "same", "changed", "changed")
    run.executed(run.studio, "same", "same", "same")
    assert str(outcome(run.mini)) == "changed: Colima supervised by launchd; Docker ready"
    assert str(outcome(run.studio)) == "unchanged"


def test_what_changed_of_a_forecast(run: Run) -> None:
    """Where a forecast is the operation's name, it has only said what it meant to do."""
    forecast._said["mini"] = Names(supervision=LONG)
    run.executed(run.mini, "changed", names=(f"deploy.py | {LONG}",))
    assert outcome(run.mini).why == ("Colima supervised by launchd",)


def test_an_operation_of_another_deploy(run: Run) -> None:
    run.executed(run.mini, "changed", names=("Recover: restart the VM",))
    assert str(outcome(run.mini)) == "changed: Recover: restart the VM"


def test_what_failed(run: Run) -> None:
    run.executed(run.mini, "same", "failed")
    assert str(outcome(run.mini)) == "failed: at Colima supervised by launchd"
    summary._errors["mini"] = "Colima did not start"
    assert str(outcome(run.mini)) == "failed: Colima did not start"


def test_what_failed_where_pyinfra_does_not_notice(run: Run) -> None:
    """With --no-wait it forgets to fail the host."""
    run.executed(run.mini, "failed")
    run.state.failed_hosts.clear()
    assert outcome(run.mini).what == "failed"


def test_what_failed_before_anything_was_done(run: Run) -> None:
    """A fact that could not be got."""
    run.prepared(run.mini)
    run.state.failed_hosts.add(run.mini)
    assert str(outcome(run.mini)) == "failed: see above"
    summary._errors["mini"] = "could not load fact: facts.mac.Mac"
    assert str(outcome(run.mini)) == "failed: could not load fact: facts.mac.Mac"
    run.state.is_executing = True
    assert outcome(run.mini).what == "failed"


def test_who_was_refused_or_not_there(run: Run) -> None:
    fleet._refusals["mini"] = ("the disk is small", "the Mac is old")
    run.state.activated_hosts.discard(run.studio)
    assert str(outcome(run.mini)) == "refused: the disk is small; the Mac is old"
    assert str(outcome(run.studio)) == "unreachable"


def test_a_connection_that_was_lost(run: Run) -> None:
    run.executed(run.mini, "failed")
    fleet._refusals["mini"] = ("the answer cannot be read",)
    transport = SimpleNamespace(is_active=lambda: False)
    run.mini.connector = SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))  # type: ignore[assignment]
    assert str(outcome(run.mini)) == "failed: the SSH connection was lost"


def test_a_run_that_was_stopped(run: Run) -> None:
    run.executed(run.mini, "changed")
    run.executed(run.studio)
    assert str(outcome(run.mini)) == "not finished: colima, docker and qemu installed"
    assert str(outcome(run.studio)) == "nothing was touched"


def test_what_would_change(run: Run) -> None:
    forecast._said["mini"] = Names(supervision=LONG, gates="See Docker ready after the start")
    run.operations(run.mini, False, True, False)
    run.operations(run.studio, False, False, False)
    run.prepared(run.mini)
    run.prepared(run.studio)
    assert str(outcome(run.mini)) == f"would change: {LONG}"
    assert str(outcome(run.studio)) == "unchanged"


def test_nobody_knows_what_would_change(run: Run) -> None:
    """Not before the deploy file has come to its end, and not with -y."""
    run.operations(run.mini, False)
    assert outcome(run.mini).what == "nothing was touched"
    run.prepared(run.mini, value=ValueError())
    assert outcome(run.mini).what == "nothing was touched"
    run.prepared(run.mini)
    assert outcome(run.mini).what == "unchanged"
    run.state.check_for_changes = False
    assert outcome(run.mini).what == "nothing was touched"


def test_the_first_in_red(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    handler = summary._FirstErrors(logging.ERROR)
    logger.addHandler(handler)
    try:
        run.mini.log("Collecting diagnostics")
        run.mini.log_styled("", fg="red", log_func=logger.error)
        run.studio.log_styled("Error: executed 0 commands", fg="red", log_func=logger.error)
        run.mini.log_styled("Colima did not start.\nmore", fg="red", log_func=logger.error)
        run.studio.log_styled("Error: could not load fact: facts.mac.Mac", fg="red", log_func=logger.error)
        run.mini.log_styled("", fg="red", log_func=logger.error)
        run.mini.log_styled("Colima says: fatal", fg="red", log_func=logger.error)
        run.mini.log_styled("Error", fg="red", log_func=logger.error)
    finally:
        logger.removeHandler(handler)
    assert summary._errors == {
        "mini": "Colima did not start",
        "studio": "could not load fact: facts.mac.Mac",
    }


def shown(run: Run, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "pyinfra"):
        summary._log()
    return [record.getMessage() for record in caplog.records]


def test_it_is_a_table_of_the_hosts_in_their_order(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.executed(run.mini, "same", "same", "same")
    run.executed(run.studio, "same", "changed", "same")
    lines = shown(run, caplog)
    assert "Summary" in lines[0]
    assert "mini" in lines[1] and "unchanged" in lines[1]
    assert "studio" in lines[2] and "changed" in lines[2] and ": Colima supervised" in lines[2]


def test_of_one_host_that_was_looked_at_all_is_said(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.state.limit_hosts = [run.mini]
    run.operations(run.mini, True)
    run.prepared(run.mini)
    assert shown(run, caplog) == []
    run.executed(run.mini, "changed")
    assert len(shown(run, caplog)) == 2


@pytest.mark.parametrize(
    ("whats", "status"),
    [
        (["unchanged", "unchanged"], 0),
        (["unchanged", "would change"], 2),
        (["would change", "refused"], 1),
        (["unchanged", "failed"], 1),
        (["unreachable", "unchanged"], 1),
        (["nothing was touched", "unchanged"], 1),
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
    monkeypatch.setattr(fleet, "wants_json", lambda: True)
    summary.show_drift()
    told = json.loads(capsys.readouterr().out)
    assert told["mini"] == {"outcome": "unchanged", "why": []}
    assert told["studio"] == {"outcome": "would change", "why": ["Install web", LONG]}


def test_it_is_shown_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Any] = []
    added: list[Any] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(logger, "addHandler", added.append)
    for host in (run.mini, run.studio, run.mini):
        with ctx_host.use(host):
            summary.at_end(summary.show_drift)
            summary.at_end()
    assert registered == [summary.show_drift]
    assert len(added) == 1
