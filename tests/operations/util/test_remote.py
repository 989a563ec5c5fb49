"""Commands shown as they print, refusals that fail one host, and waits that end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import GreenletExit
from pyinfra import logger
from pyinfra.api import (
    DeployError,
    FactBase,
    FactProcessError,
    FunctionCommand,
    OperationError,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_config, ctx_host, ctx_state
from typing_extensions import override

from operations.util import remote
from operations.util.remote import (
    NEXT,
    NO_PASSWORD,
    Commands,
    LiveCommand,
    Question,
    ask,
    gathered,
    in_one,
    joined,
    refuse,
    run,
    together,
    wait,
)
from tests.conftest import RunOperation
from tests.fakes import Clock, FakeHost, fake_state


@pytest.fixture
def contexts() -> Iterator[None]:
    """pyinfra's contexts as they were, also after an exception."""
    yield
    ctx_host.reset()
    ctx_state.reset()


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


@pytest.mark.usefixtures("contexts")
def test_refuse_one_of_several_while_preparing() -> None:
    """pyinfra takes it for the end of that host's deploy file."""
    state = fake_state(executing=False)
    state.active_hosts = {"mini", "studio"}
    state.should_raise_failed_hosts = lambda: None
    host: Any = FakeHost()
    with ctx_state.use(state), ctx_host.use(host), pytest.raises(GreenletExit):
        list(refuse("one line\nanother"))
    assert host.logged == ["one line\nanother"]


def connected(is_there: bool) -> Any:
    transport = SimpleNamespace(is_active=lambda: is_there)
    return SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))


def dropped(**_: Any) -> None:
    raise EOFError


class Answer(FactBase[int | None]):
    """What a test asks for."""


@pytest.mark.usefixtures("contexts")
def test_ask() -> None:
    host: Any = FakeHost({Answer: 42})
    with ctx_host.use(host), ctx_state.use(fake_state()):
        assert ask(Answer) == 42
        assert together((Answer, {}), (Answer, {})) == [42, 42]


@pytest.mark.usefixtures("contexts")
@pytest.mark.parametrize("answer", [dropped, None])
def test_a_connection_that_is_lost(answer: Any) -> None:
    """paramiko raises EOFError for it, which in a generator would stop all hosts."""
    host: Any = FakeHost({Answer: answer}, connector=connected(False))
    with ctx_host.use(host), ctx_state.use(fake_state(executing=True)):
        assert ask(Answer) is None
    assert host.logged == ["the SSH connection was lost"]
    with (
        ctx_host.use(host),
        ctx_state.use(fake_state(executing=False)),
        pytest.raises(DeployError, match="the SSH connection was lost"),
    ):
        ask(Answer)


@pytest.mark.usefixtures("contexts")
def test_no_terminal_for_a_password_is_no_lost_connection() -> None:
    """Whoever prepares is left out; while others execute, an exception would stop them all."""
    host: Any = FakeHost({Answer: dropped}, connector=connected(True))
    with (
        ctx_host.use(host),
        ctx_state.use(fake_state(executing=False)),
        pytest.raises(DeployError, match="sudo wants a password"),
    ):
        ask(Answer)
    assert host.logged == []
    with ctx_host.use(host), ctx_state.use(fake_state(executing=True)):
        assert together((Answer, {}), (Answer, {})) == [None, None]
    assert host.logged == [NO_PASSWORD]
    with ctx_host.use(host), ctx_state.use(fake_state(executing=False)), pytest.raises(EOFError):
        gathered((Answer, {}))


@pytest.mark.usefixtures("contexts")
@pytest.mark.parametrize(
    ("host", "config"),
    [
        (FakeHost({Answer: 1}, connector_data={"prompted_sudo_password": "s3cret"}), None),
        (FakeHost({Answer: 1}, data={"_sudo_password": "s3cret"}), None),
        (FakeHost({Answer: 1}), SimpleNamespace(SUDO_PASSWORD="s3cret")),
    ],
)
def test_a_password_is_mentioned_once_a_run(host: Any, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    remote._mention_password.cache_clear()
    with ctx_host.use(FakeHost({Answer: 1})), ctx_state.use(fake_state()):
        ask(Answer)
        assert said == []
    with ctx_host.use(host), ctx_config.use(config), ctx_state.use(fake_state()):
        ask(Answer)
        run(fake_state(), host, StringCommand("true"))
    (text,) = said
    assert "in `ps`" in text
    assert "s3cret" not in text


@pytest.mark.usefixtures("contexts")
def test_the_last_host_that_pyinfra_fails() -> None:
    """It says so by an exception, which in a generator would end in a traceback."""

    def failed(**_: Any) -> None:
        raise PyinfraError("No hosts remaining!")

    host: Any = FakeHost({Answer: failed})
    with ctx_host.use(host), ctx_state.use(fake_state(executing=True)):
        assert ask(Answer) is None
    with (
        ctx_host.use(host),
        ctx_state.use(fake_state(executing=False)),
        pytest.raises(PyinfraError, match="No hosts"),
    ):
        ask(Answer)


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


class Greeting(FactBase["str | None"]):
    """Returns a greeting."""

    @override
    def command(self, whom: str) -> StringCommand:
        return StringCommand("echo", QuoteString(f"hello {whom}"))

    @override
    @staticmethod
    def default() -> str | None:
        return None

    @override
    def process(self, output: list[str]) -> str:
        if output == ["hello fault"]:
            raise FactProcessError("no greeting")
        return "/".join(output)


class Silence(FactBase["list[str]"]):
    """Returns nothing, and has a default."""

    @override
    def command(self) -> str:
        return "false"

    @override
    @staticmethod
    def default() -> list[str]:
        return ["silence"]


ASKED: tuple[Question, ...] = ((Greeting, {"whom": "it's"}), (Silence, {}), (Greeting, {"whom": "b c"}))


def test_several_facts_are_one_command_and_one_value_each() -> None:
    fact = joined(*ASKED)()
    command = StringCommand(fact.command()).get_raw_value()
    said = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert fact.process(said.splitlines()) == ["hello it's", ["silence"], "hello b c"]
    assert fact.default() == [None, ["silence"], None]
    assert fact.name == ", ".join([Greeting.name, Silence.name, Greeting.name])


@pytest.mark.parametrize("lines", [["a", NEXT], ["a", NEXT, NEXT, "b"], ["a", NEXT, NEXT, NEXT, NEXT], []])
def test_an_answer_that_was_cut_off_is_none(lines: list[str]) -> None:
    with pytest.raises(FactProcessError, match="incomplete"):
        joined(*ASKED)().process(lines)


def test_one_fact_that_cannot_be_read_is_said() -> None:
    with pytest.raises(FactProcessError, match="no greeting"):
        joined(*ASKED)().process(["hello fault", NEXT, NEXT, "x", NEXT])


def test_one_fact_alone_is_asked_by_its_own_name() -> None:
    host: Any = FakeHost({Greeting: lambda whom: whom.upper()})
    with ctx_host.use(host):
        assert in_one((Greeting, {"whom": "a"})) == ["A"]
        assert in_one((Greeting, {"whom": "a"}), (Greeting, {"whom": "b"})) == ["A", "B"]
    ctx_host.reset()
