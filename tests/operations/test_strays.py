"""What runs without launchd: stopped, refused or left to launchd, and said in words beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.colima import Strays, StraysState
from operations.colima import STOP_SECONDS
from operations.strays import describe, removed, short
from operations.util.remote import LiveCommand
from tests.conftest import RunOperation
from tests.fakes import words

ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "web", "label": "homebrew.mrcee.colima-pulse"}
LIMA = "/Users/alice/.colima/_lima"
PROCESSES = (
    (4711, "/opt/homebrew/bin/colima start --foreground"),
    (4712, f"/opt/homebrew/bin/limactl hostagent --pidfile {LIMA}/colima-web/ha.pid"),
    (4713, f"qemu-system-aarch64 -m 2048 -pidfile {LIMA}/colima-web/qemu.pid"),
    (4714, f"ssh: {LIMA}/colima-web/ssh.sock [mux]"),
)
STALE = ((f"{LIMA}/colima-web/ha.pid", "pid 7 is another process"), ("/x/docker.sock", "nothing listens"))


@pytest.mark.parametrize(
    "found, why",
    [
        (StraysState(supervised=True), "launchd supervises"),
        (StraysState(supervised=False), "nothing runs"),
    ],
)
def test_nothing_to_do(commands: RunOperation, found: StraysState, why: str) -> None:
    got, host = commands(removed, {Strays: found}, **ARGUMENTS)
    assert got == []
    assert why in host.noops[0]


@pytest.mark.parametrize(
    "found",
    [
        StraysState(supervised=False, processes=PROCESSES),
        StraysState(supervised=False, stale=STALE),
        StraysState(supervised=False, processes=PROCESSES, stale=STALE),
    ],
)
def test_it_is_settled_and_seen(commands: RunOperation, found: StraysState) -> None:
    got, host = commands(removed, {Strays: found}, **ARGUMENTS)
    assert [isinstance(each, LiveCommand) for each in got] == [True]
    assert words(got[0]) == ["settle-profile", "alice", "web", str(STOP_SECONDS)]
    assert host.noops == []


@pytest.mark.parametrize(
    "found, said",
    [
        (None, "cannot be read"),
        (
            StraysState(supervised=False, processes=PROCESSES, held_by="colima-foo"),
            "instance colima-foo, which runs. Stop that first: sudo -H -u alice colima stop --profile=foo",
        ),
        (StraysState(supervised=False, held_by="colima"), "colima stop --profile=default"),
        (
            StraysState(supervised=False, held_by="mine"),
            "env LIMA_HOME=~alice/.colima/_lima limactl stop mine",
        ),
    ],
)
def test_it_is_refused(commands: RunOperation, found: StraysState | None, said: str) -> None:
    with pytest.raises(OperationError, match="mini: ") as error:
        commands(removed, {Strays: found}, executing=False, **ARGUMENTS)
    assert said in str(error.value)
    got, _ = commands(removed, {Strays: found}, **ARGUMENTS)
    assert [words(each) for each in got] == [["_fail"]]


def test_describe() -> None:
    assert describe(StraysState(supervised=True)) is None
    assert describe(StraysState(supervised=False)) is None
    assert describe(StraysState(supervised=False, processes=PROCESSES, stale=STALE)) == (
        "Stop what runs of the profile without launchd: colima start (pid 4711), "
        "limactl hostagent (pid 4712), qemu-system-aarch64 (pid 4713), ssh (pid 4714)"
    )
    assert describe(StraysState(supervised=False, stale=STALE)) == (
        "Remove what a crash has left of the profile: "
        "ha.pid (pid 7 is another process), docker.sock (nothing listens)"
    )


@pytest.mark.parametrize(
    "command, said",
    [
        ("colima start --foreground", "colima start"),
        ("colima start", "colima start"),
        ("colima", "colima"),
        ("/a/b/qemu-system-x86_64 -m 1", "qemu-system-x86_64"),
        ("/bin/sh /Library/ColimaPulse/launch /opt/homebrew/bin/colima start", "sh"),
        ("ssh -o ControlPath=/x/ssh.sock 127.0.0.1", "ssh"),
    ],
)
def test_short(command: str, said: str) -> None:
    assert short(command) == said
