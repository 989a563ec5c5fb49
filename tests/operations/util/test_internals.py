"""What is used of pyinfra without being its documented API, against the pyinfra that is installed."""

from __future__ import annotations

import io
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko import SSHException
from pyinfra.api import Config, FactBase, Host, Inventory, State, operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra.connectors.sshuserclient import SSHClient
from pyinfra.context import ctx_config, ctx_host, ctx_state

from operations.util import internals
from operations.util.commands import Commands, ask, refuse
from operations.util.internals import LOST, NO_PASSWORD, Command
from tests.checkout import PYINFRA, copy_repository


class Wire:
    """A connection, as paramiko's Transport: what is run over it, and how that ends."""

    def __init__(self) -> None:
        self.active = True
        self.ran: list[str] = []
        self.error: Exception | None = None
        self.cut = False
        self.sock: Any = None

    def is_active(self) -> bool:
        return self.active

    def open_session(self, **_: Any) -> Any:
        if self.error is not None:
            raise self.error
        # paramiko ends the output of a command that is cut off, and has no exit status: -1.
        channel = SimpleNamespace(recv_exit_status=lambda: -1 if self.cut else 0)

        def run(command: str) -> None:
            self.ran.append(command)
            self.active = not self.cut

        def stream(*_: Any) -> Any:
            found: Any = io.BytesIO()
            found.channel = channel
            return found

        return SimpleNamespace(
            settimeout=lambda _: None,
            exec_command=run,
            makefile_stdin=stream,
            makefile=stream,
            makefile_stderr=stream,
        )


def made(*hosts: Any) -> State:
    """pyinfra's own state of a run over these connected hosts."""
    state = State(Inventory((list(hosts), {})), Config())
    for host in state.inventory:
        state.activate_host(host)
        host.connected = True
    return state


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, empty in (("_failures", {}), ("_ended", set()), ("_mentioned_password", False)):
        monkeypatch.setattr(internals, name, empty)
    yield
    ctx_state.reset()
    ctx_host.reset()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr(SSHClient, "exec_command", SSHClient.exec_command)
    internals.keep_to_the_system()
    return Wire()


@pytest.fixture
def over_ssh(wire: Wire) -> tuple[State, Host]:
    """A run over two hosts, of which the first is at the end of the wire."""
    state = made(("mini", {"_sudo": True}), "@local")
    mini: Any = state.inventory.get_host("mini")
    mini.connector.client = SSHClient()
    mini.connector.client._transport = wire
    return state, mini


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [" ".join(record.getMessage().split()) for record in caplog.records]


def test_whose_sudo_and_sh_are_run_here(tmp_path: Path) -> None:
    """Homebrew's directory may stand first in an administrator's PATH, and somebody else own it."""
    checkout, brewed = tmp_path / "colima-pulse", tmp_path / "bin"
    copy_repository(checkout)
    brewed.mkdir()
    for name in ("sudo", "sh"):
        (brewed / name).write_text(f"#!/bin/bash\necho '{name}' >>'{tmp_path}/ran'\n")
        (brewed / name).chmod(0o755)
    done = subprocess.run(
        [*PYINFRA, "@local", "fact", "server.Which", "command=sudo", "-vv"],
        cwd=checkout,
        env={**os.environ, "PATH": f"{brewed}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not (tmp_path / "ran").exists(), done.stderr
    assert ">>> sudo -H -n /bin/sh -c" in done.stderr


def test_whose_sudo_is_run_over_ssh(over_ssh: tuple[State, Host], wire: Wire) -> None:
    _, mini = over_ssh
    assert mini.run_shell_command(Command("true"), _sudo=True)[0]
    (command,) = wire.ran
    assert shlex.split(command)[:3] == ["/usr/bin/env", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "sudo"]


def test_a_command_is_sent_at_once_and_a_dead_host_noticed(over_ssh: tuple[State, Host], wire: Wire) -> None:
    _, mini = over_ssh
    with socket.socket() as wire.sock:
        internals.tune(mini)
        assert wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    wire.sock = object()  # through another host
    internals.tune(mini)


def test_this_machine_has_no_connection_to_lose(over_ssh: tuple[State, Host], wire: Wire) -> None:
    state, mini = over_ssh
    wire.active = False
    hosts = state.inventory.get_host("@local"), mini
    assert [internals.is_connected(each) for each in hosts] == [True, False]


class Word(FactBase[str]):
    def command(self) -> str:
        return "echo word"


@operation()
def asks() -> Commands:
    if ask(Word) is None:
        yield from refuse("the word cannot be read")


def of(line: str, live: bool = False) -> Any:
    """An operation that runs the line."""

    @operation()
    def runs() -> Commands:
        yield Command("/bin/sh", "-c", shlex.quote(line), live=live)

    return runs


runs = of("true")


def run(state: State, *operations: Any) -> None:
    """Execute operations on all hosts, as pyinfra does with -y."""
    state.check_for_changes = False
    with ctx_state.use(state):
        for each in operations:
            add_op(state, each, name=each.__name__)
        state.set_stage(StateStage.Execute)
        run_ops(state)


@pytest.mark.parametrize("each", [asks, runs])
@pytest.mark.parametrize("error", [SSHException("not active"), EOFError()])
def test_a_lost_connection_fails_its_host_in_one_line(
    over_ssh: tuple[State, Host],
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    each: Any,
    error: Exception,
) -> None:
    state, mini = over_ssh
    wire.error, wire.active = error, False
    run(state, each, runs)
    assert state.failed_hosts == {mini}
    of_mini = [line for line in said(caplog) if "[mini]" in line]
    assert sorted(of_mini) == ["[mini] Error: executed 0 commands", f"[mini] {LOST}"]
    assert internals.failure(mini) == LOST
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_cut_in_the_middle(over_ssh: tuple[State, Host], wire: Wire) -> None:
    state, mini = over_ssh
    wire.cut = True
    run(state, runs)
    assert internals.failure(mini) == LOST


def test_the_only_host_ends_the_run_without_a_traceback(
    wire: Wire, over_ssh: tuple[State, Host], capfd: pytest.CaptureFixture[str]
) -> None:
    state, mini = over_ssh
    state.active_hosts = {mini}
    wire.error, wire.active = EOFError(), False
    with pytest.raises(PyinfraError, match="No hosts remaining"):
        run(state, asks)
    assert "Traceback" not in capfd.readouterr().err


def test_a_password_that_nobody_can_type(over_ssh: tuple[State, Host], wire: Wire) -> None:
    """getpass() raises EOFError without a terminal, which pyinfra lets pass."""
    state, mini = over_ssh
    wire.error = EOFError()
    with ctx_state.use(state), ctx_host.use(mini):
        assert ask(Word) is None
    assert internals.failure(mini) == NO_PASSWORD


@pytest.mark.parametrize("where", ["asked for", "data", "config"])
def test_a_password_is_mentioned_once(
    over_ssh: tuple[State, Host], caplog: pytest.LogCaptureFixture, where: str
) -> None:
    _, mini = over_ssh
    internals.mention_password(mini)
    assert said(caplog) == []
    if where == "asked for":
        mini.connector_data["prompted_sudo_password"] = "x"
    elif where == "data":
        mini.host_data["_sudo_password"] = "x"
    with ctx_config.use(Config(SUDO_PASSWORD="x" if where == "config" else None)):
        for _ in range(2):
            internals.mention_password(mini)
    assert said(caplog) == [internals.PASSWORD]


def test_output_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("pyinfra.connectors.util.echo", lambda line, **_: shown.append(line))
    state = made("@local")
    (local,) = state.inventory
    for live in (False, True):
        with ctx_state.use(state), ctx_host.use(local):
            status, output = Command("echo one", live=live).execute(state, local, {})
        assert (status, output.stdout_lines) == (True, [] if live else ["one"])
        assert shown == (["[@local] one"] if live else [])


@pytest.mark.parametrize(
    ("line", "live", "why"),
    [
        ("echo out; echo 'the first' >&2; echo '  the last ' >&2; echo >&2; exit 3", True, "the last"),
        ("echo out; exit 3", False, "out"),
        ("exit 3", False, "a command failed"),
    ],
)
def test_the_last_that_a_failed_command_said(
    line: str, live: bool, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = made("@local")
    (local,) = state.inventory
    with pytest.raises(PyinfraError):
        run(state, of(line, live))
    assert internals.failure(local) == why
    # A live one has shown it.
    assert ("[@local] out" in said(caplog)) is (not live and "out" in line)


def test_how_far_each_host_has_come() -> None:
    state = made("@local", "@fake/off")
    local, off = state.inventory
    state.activated_hosts.discard(off)
    state.active_hosts.discard(off)
    with pytest.raises(PyinfraError):
        run(state, runs, of("exit 1"), asks)
    with ctx_state.use(state):
        first, second = internals.progress()
    assert (first.host, first.connected, first.failed) == (local, True, True)
    assert [(name, meta.is_complete()) for name, meta in first.operations] == [
        ("runs", True),
        ("runs", True),
        ("asks", False),
    ]
    assert [meta.did_change() for _, meta in first.operations[:2]] == [True, False]
    assert (second.host, second.connected) == (off, False)
    with ctx_state.use(state):
        assert internals.has_changed(local)
        assert not internals.has_changed(off)


def test_what_is_asked_of_a_run() -> None:
    state = made("@fake/a", "@fake/b")
    state.check_for_changes = False
    with ctx_state.use(state):
        assert (internals.hosts_of_run(), internals.host_names()) == (2, ["@fake/a", "@fake/b"])
        state.limit_hosts = [state.inventory.get_host("@fake/b")]
        assert (internals.hosts_of_run(), internals.host_names()) == (1, ["@fake/b"])
        assert not internals.is_read()
        internals.look_for_changes()
        assert internals.is_read()


def test_what_facts_answer_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("pyinfra.connectors.util.echo", lambda line, **_: shown.append(line))
    state = made("@local")
    (local,) = state.inventory
    state.print_fact_output = True
    with ctx_state.use(state), ctx_host.use(local):
        assert ask(Word) == "word"
        assert shown == ["[@local] word"]
        internals.hide_facts()
        assert ask(Word) == "word"
    assert len(shown) == 1


def test_a_look_ends_with_the_last_host_that_was_reached() -> None:
    state = made("@fake/a", "@fake/b", "@fake/off")
    a, b, off = state.inventory
    state.activated_hosts.discard(off)
    with ctx_state.use(state):
        with ctx_host.use(b):
            internals.end_after_all(lambda: 2)
        ctx_host.reset()
        with ctx_host.use(a), pytest.raises(SystemExit) as end:
            internals.end_after_all(lambda: 2)
    assert end.value.code == 2
