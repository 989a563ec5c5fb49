"""What runs without launchd: stopped, refused or left to launchd, and said in words beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.colima import Strays, StraysState
from operations.strays import removed, short
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "web", "label": LABEL}
LIMA = "/Users/alice/.colima/_lima"
PROCESSES = (
    (4711, "/opt/homebrew/bin/colima start --foreground"),
    (4712, f"/opt/homebrew/bin/limactl hostagent --pidfile {LIMA}/colima-web/ha.pid"),
    (4713, f"qemu-system-aarch64 -m 2048 -pidfile {LIMA}/colima-web/qemu.pid"),
    (4714, f"ssh: {LIMA}/colima-web/ssh.sock [mux]"),
)
STALE = ((f"{LIMA}/colima-web/ha.pid", "pid 7 is another process"), ("/x/docker.sock", "nothing listens"))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (StraysState(supervised=True), None),
        (StraysState(supervised=False), None),
        (
            StraysState(supervised=False, processes=PROCESSES, stale=STALE),
            "Stop what runs of the profile without launchd: colima start (pid 4711), "
            "limactl hostagent (pid 4712), qemu-system-aarch64 (pid 4713), ssh (pid 4714)",
        ),
        (
            StraysState(supervised=False, stale=STALE),
            "Remove what a crash has left of the profile: "
            "ha.pid (pid 7 is another process), docker.sock (nothing listens)",
        ),
    ],
)
def test_removed(commands: RunOperation, found: StraysState, says: str | None) -> None:
    got, host = commands(removed, {Strays: found}, **ARGUMENTS)
    assert [words(each) for each in got] == ([["remove-strays", LABEL]] if says else [])
    assert host.logged == ([says] if says else [])
    assert len(host.noops) == (not says)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "cannot be read, so nothing is stopped or started"),
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
def test_refused(commands: RunOperation, found: StraysState | None, says: str) -> None:
    got, _ = commands(removed, {Strays: found}, **ARGUMENTS)
    ((command, why),) = [words(each) for each in got]
    assert (command, says in why) == ("refuse", True)
    with pytest.raises(OperationError, match="mini: "):
        commands(removed, {Strays: found}, executing=False, **ARGUMENTS)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("colima", "colima"),
        ("/a/b/qemu-system-x86_64 -m 1", "qemu-system-x86_64"),
        ("/bin/sh /Library/ColimaPulse/bin/launch /opt/homebrew/bin/colima start", "sh"),
        ("ssh -o ControlPath=/x/ssh.sock 127.0.0.1", "ssh"),
    ],
)
def test_short(command: str, says: str) -> None:
    assert short(command) == says
