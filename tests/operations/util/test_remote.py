"""Commands shown as they print, refusals that fail one host, and waits that end."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError, StringCommand, operation

from operations.util.remote import Commands, LiveCommand, refuse, run, wait
from tests.conftest import RunOperation
from tests.fakes import Clock, FakeHost, fake_state


@operation()
def refusing() -> Commands:
    """Refuse."""
    yield from refuse("one line\nanother")
    yield StringCommand("never")


def test_refuse_while_preparing(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="mini: one line"):
        commands(refusing, {}, executing=False)


def test_refuse_while_executing(commands: RunOperation) -> None:
    """An exception there would stop every host; a function that returns False fails its own."""
    got, _ = commands(refusing, {})
    host: Any = FakeHost()
    assert isinstance(got[0], FunctionCommand)
    assert got[0].execute(fake_state(), host, {}) is False
    assert host.logged == ["one line", "another"]


@pytest.mark.parametrize("status", [True, False])
def test_live_command(status: bool) -> None:
    host: Any = FakeHost(answer=lambda words: (status, ["said"]))
    done, output = LiveCommand("colima", "stop", _stdin="y").execute(fake_state(), host, {"_sudo": True})
    assert done is status
    assert host.ran[0].words == ["colima", "stop"]
    assert host.ran[0].live
    assert host.ran[0].arguments == {"_sudo": True, "_stdin": "y"}
    # A failed command's output is not printed a second time.
    assert [line.line for line in output] == (["said"] if status else [])


def test_run_with_the_operations_arguments() -> None:
    host: Any = FakeHost(answer=lambda words: (False, ["a", "b"]))
    host.current_op_global_arguments = {"_sudo": True, "_env": {"A": "b"}, "name": "x", "_if": None}
    done = run(fake_state(), host, StringCommand("true", _stdin="in"), live=True, _sudo_user="alice")
    assert done == (False, ["a", "b"])
    assert host.ran[0].live
    assert host.ran[0].arguments == {"_sudo": True, "_env": {"A": "b"}, "_stdin": "in", "_sudo_user": "alice"}


def test_wait_sees(clock: Clock) -> None:
    seen = iter([None, None, 0])
    host: Any = FakeHost()
    assert wait(host, 10, lambda: next(seen), "it", pause=2) == 0  # not None is seen, whatever else it is
    assert clock.now == 1004
    assert host.logged == []


def test_wait_ends(clock: Clock) -> None:
    host: Any = FakeHost()
    assert wait(host, 60, lambda: None, "the Docker API") is None
    assert clock.now == 1060
    assert len(host.logged) == 3
    assert "the Docker API" in host.logged[0]
    assert "15 of 60 s" in host.logged[0]


def test_wait_looks_once_at_least(clock: Clock) -> None:
    host: Any = FakeHost()
    assert wait(host, 0, lambda: True, "it") is True
