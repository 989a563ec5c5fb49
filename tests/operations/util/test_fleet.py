"""One host that is left out of many, and a look that ends when all hosts were looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from pyinfra.api import Config, DeployError, Host, Inventory, OperationError, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_host, ctx_state

from operations.util import fleet


@pytest.fixture(autouse=True)
def run() -> State:
    """pyinfra's own state of a run over three connected hosts."""
    state = State(Inventory((["@fake/a", "@fake/b", "@fake/c"], {})), Config())
    for host in state.inventory:
        state.activate_host(host)
    return state


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, empty in (("_finish", {}), ("_left", set()), ("_refusals", {})):
        monkeypatch.setattr(fleet, name, empty)


def host(state: State, name: str) -> Host:
    return state.inventory.get_host(f"@fake/{name}")


def on(state: State, name: str, deploy_file: Callable[[], object]) -> Any:
    """Run a deploy file for one host as pyinfra does, and return what came of it: an Exception stops all."""

    def load() -> object:
        try:
            with ctx_state.use(state), ctx_host.use(host(state, name)):
                deploy_file()
        except Exception as error:
            return error
        return None

    try:
        return gevent.spawn(load).get()
    finally:
        ctx_state.reset()


def refuse() -> None:
    fleet.leave_untouched(["the disk is small", "the Mac is old"])


def test_one_of_many_is_left_out(run: State, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(on(run, "b", refuse), GreenletExit)
    assert run.failed_hosts == {host(run, "b")}
    assert run.active_hosts == {host(run, "a"), host(run, "c")}
    assert [record.getMessage().strip() for record in caplog.records] == [
        "[@fake/b] nothing was touched.",
        "[@fake/b]   - the disk is small",
        "[@fake/b]   - the Mac is old",
    ]
    assert fleet.refusal(host(run, "b")) == ("the disk is small", "the Mac is old")
    assert fleet.refusal(host(run, "a")) == ()


def test_the_last_one_stops_the_run(run: State) -> None:
    run.active_hosts = {host(run, "b")}
    error = on(run, "b", refuse)
    assert isinstance(error, DeployError)
    assert str(error) == "@fake/b: nothing was touched.\n  - the disk is small\n  - the Mac is old"
    assert isinstance(on(run, "b", lambda: fleet.leave_out("no", alone=OperationError)), OperationError)
    assert fleet.refusal(host(run, "b")) == ("no",)


def test_more_than_the_fail_percent(run: State) -> None:
    """With -y pyinfra's --fail-percent counts who is left out as well."""
    run.config.FAIL_PERCENT = 40
    assert isinstance(on(run, "a", refuse), GreenletExit)
    assert "Over 40%" in str(on(run, "b", refuse))
    assert isinstance(on(run, "b", refuse), PyinfraError)


def test_pyinfra_does_not_ask_about_a_refusal(run: State) -> None:
    """Without -y it would stop at every one, on a standard input that may be nobody's."""

    def asked(_: State) -> bool:
        raise AssertionError("asked")

    run.config.FAIL_PERCENT = 0
    run.should_raise_failed_hosts = asked
    assert isinstance(on(run, "a", refuse), GreenletExit)
    assert run.failed_hosts == {host(run, "a")}
    assert run.active_hosts == {host(run, "b"), host(run, "c")}


def test_a_host_that_pyinfra_has_failed(run: State) -> None:
    assert on(run, "a", fleet.leave_if_failed) is None
    run.fail_hosts({host(run, "a")})
    assert isinstance(on(run, "a", fleet.leave_if_failed), GreenletExit)
    # An operation that ended so would count as one that went well.
    run.is_executing = True
    assert on(run, "a", fleet.leave_if_failed) is None


def look(shown: list[str]) -> Callable[[], None]:
    def finish() -> int:
        shown.append("all")
        return 2

    return lambda: fleet.end_after_all(finish)


def test_a_look_ends_with_the_last_host(run: State) -> None:
    shown: list[str] = []
    on(run, "a", look(shown))
    on(run, "c", look(shown))
    assert shown == []
    with pytest.raises(SystemExit) as end:
        on(run, "b", look(shown))
    assert end.value.code == 2
    assert shown == ["all"]


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_a_look_ends_without_those_left_out(run: State, order: str) -> None:
    """pyinfra would go on to execute, with -y at once."""
    shown: list[str] = []
    files = {"a": look(shown), "b": refuse, "c": look(shown)}
    for name in order[:-1]:
        on(run, name, files[name])
    assert shown == []
    with pytest.raises(SystemExit):
        on(run, order[-1], files[order[-1]])
    assert shown == ["all"]


def test_a_look_that_nobody_gets_through(run: State) -> None:
    assert isinstance(on(run, "a", refuse), GreenletExit)
    assert isinstance(on(run, "b", refuse), GreenletExit)
    assert isinstance(on(run, "c", refuse), DeployError)
