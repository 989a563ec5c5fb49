"""bounded: a deadline for a command, on a system that has no timeout(1)."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pexpect
import pytest

from tests.files.conftest import Mac, is_gone, until


def test_the_status_is_the_commands(mac: Mac) -> None:
    for command, status in {
        "/bin/sh -c 'exit 0'": 0,
        "/bin/sh -c 'exit 7'": 7,
        "/bin/sh -c 'kill -TERM $$'": 143,
        "/bin/absent": 127,
        "'/bin/sh -c true'": 127,  # one word is one word: no second shell reads it
    }.items():
        assert mac.call(f"bounded 10 {command}").returncode == status


def test_arguments_and_both_streams_pass_unchanged(mac: Mac) -> None:
    script = "cat; cat <&0 >&2; for word; do printf '[%s]' \"$word\"; done; echo oops >&2"
    done = mac.call(
        'bounded 10 /bin/sh -c "$@"', f"PATH=/usr/bin:/bin; {script}", "x", "a b", "", "$HOME*", stdin="in\n"
    )
    assert (done.stdout, done.stderr) == ("in\n[a b][][$HOME*]", "oops\n")


def family(mac: Mac, leader: str, child: str, grace: float = 0.4) -> tuple[int, list[int], float]:
    """Run a command with a child and a deadline: the status, both pids, and how long it took."""
    pids = mac.root / "pids"
    code = f"PATH=/usr/bin:/bin; ({child}; exec sleep 300) & {leader}; echo $$ $! >'{pids}'; wait; sleep 300"
    start = time.monotonic()
    done = mac.call('bounded 0.4 /bin/sh -c "$1"', code, edits={"alarm 5": f"alarm {grace}"})
    return done.returncode, [int(pid) for pid in pids.read_text().split()], time.monotonic() - start


def test_at_the_deadline_the_command_and_its_child_end(mac: Mac) -> None:
    status, pids, seconds = family(mac, ":", ":", grace=9)
    assert status == 124
    until(lambda: all(map(is_gone, pids)), 1)
    assert seconds < 8, "TERM was enough"


@pytest.mark.parametrize("leader", [":", 'trap "" TERM'])
def test_a_command_that_ignores_term_is_killed_with_its_child(one_mac: Mac, leader: str) -> None:
    """And a child without it: it would hold the pipe of a `$(...)` open for ever."""
    status, pids, seconds = family(one_mac, leader, 'trap "" TERM')
    assert status == 124
    until(lambda: all(map(is_gone, pids)), 1)
    assert seconds < 8


def test_a_term_to_the_watcher_reaches_the_command(one_mac: Mac) -> None:
    pids = one_mac.root / "pids"
    code = f"echo $$ >'{pids}'; PATH=/usr/bin:/bin; exec sleep 300"
    perl, shell = one_mac.path("/usr/bin/perl"), one_mac.path("/bin/sh")
    process = one_mac.popen(
        "-c", f'{one_mac.text("lib/run")}\nexec {perl} -e "$bounded_perl" 60 {shell} -c "$1"', "test", code
    )
    until(lambda: pids.exists() and pids.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 143
    assert is_gone(int(Path(pids).read_text()))


def test_a_command_ends_with_whoever_reads_it(one_mac: Mac) -> None:
    """Its deadline would be gone with the watcher."""
    pids = one_mac.root / "pids"
    code = f"PATH=/usr/bin:/bin; echo $$ >'{pids}'; echo read; sleep 0.3; echo more; exec sleep 300"
    done = one_mac.call('bounded 60 /bin/sh -c "$1" | /usr/bin/head -n 1', code)
    assert done.stdout == "read\n"
    until(lambda: is_gone(int(pids.read_text())), 5)


@pytest.mark.parametrize("user", ["alice", "root"])
def test_the_command_has_no_controlling_terminal(one_mac: Mac, user: str) -> None:
    """What runs as the user could ask an administrator for a password there, and type into the shell."""
    one_mac.become(user)
    sh = one_mac.path("/bin/sh")
    code = f"""{one_mac.text("lib/run")}
        : </dev/tty && echo the shell has one
        as_user alice '{one_mac.home}' 10 {sh} -c ': </dev/tty' 2>/dev/null || echo its child has none
        bounded 10 {sh} -c ': </dev/tty' 2>/dev/null || echo nor this one"""
    child = pexpect.spawn(str(one_mac.root / "tools/sh"), ["-c", code], encoding="utf-8", timeout=10)
    child.expect(pexpect.EOF)
    assert (child.before or "").splitlines() == ["the shell has one", "its child has none", "nor this one"]


def test_a_user_who_stops_the_keeper_of_the_deadline_stops_nobody(one_mac: Mac) -> None:
    one_mac.become("root")
    code = f"as_user alice '{one_mac.home}' 0.5 /bin/sh -c 'PATH=/usr/bin:/bin; kill -STOP $PPID; sleep 300'"
    done = one_mac.call(code, edits={"as_user_seconds + 15": "as_user_seconds + 1"})
    assert done.returncode == 124
