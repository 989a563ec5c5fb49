"""lib/lock: one at a time, and nothing left of whoever has gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

import files
from tests.files.conftest import Mac, until

LIBRARIES = ("text", "run", "places", "lock")


def start(mac: Mac, code: str, directory: Path | None = None) -> subprocess.Popen[str]:
    """A command whose locks are in `directory`, or where they are on a Mac."""
    text = "\n".join(["set -u", *(mac.text(f"lib/{name}") for name in LIBRARIES), mac.path(code)])
    if directory:
        text = text.replace(mac.path("/var/run/colima-pulse"), str(directory))
    return mac.popen("-c", text, "/x/stop")


def holding(mac: Mac, code: str = "echo held; read line; echo $line") -> subprocess.Popen[str]:
    """A command that has the lock of `a`."""
    holder = start(mac, f"lock a 0 || exit; {code}")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def sleeps(mac: Mac) -> bool:
    """Whether a sleep runs."""
    return any(command.split()[0].endswith("/sleep") for command in mac.left().values())


def test_the_second_one_waits_and_says_for_whom(mac: Mac) -> None:
    first = holding(mac)
    second = start(mac, 'lock a 10 || exit; echo "got it, waited=$waited"')
    other = start(mac, 'lock b 0 && echo "waited=$waited"')
    assert other.communicate(timeout=10)[0] == "waited=\n"
    assert second.stdout is not None
    assert second.stdout.readline() == f"Waiting for stop (pid {first.pid}) of a to end\n"
    first.communicate("\n", timeout=10)
    assert second.communicate(timeout=10)[0] == "got it, waited=yes\n"


def test_the_wait_has_an_end(mac: Mac) -> None:
    first = holding(mac)
    done = start(mac, "lock a 1; echo $?")
    assert done.communicate(timeout=10) == (
        f"Waiting for stop (pid {first.pid}) of a to end\n75\n",
        f"stop (pid {first.pid}) of a has not ended within 1 s. Run this again when it has\n",
    )


def test_nothing_is_left_of_a_holder_that_was_killed(mac: Mac) -> None:
    """Not even by what it has started and what goes on."""
    first = holding(mac, "echo held; bounded 30 /bin/sleep 30")
    until(lambda: sleeps(mac))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert sleeps(mac)
    assert start(mac, 'lock a 0 && echo "waited=$waited"').communicate(timeout=10)[0] == "waited=\n"


def test_whether_it_is_held(mac: Mac) -> None:
    code = (
        'if held a; then echo "by $(holder a)"; else echo no; bounded 9 /bin/sleep 0; echo now; read line; fi'
    )
    first = start(mac, code)
    assert first.stdout is not None
    assert [first.stdout.readline() for _ in range(2)] == ["no\n", "now\n"]
    assert start(mac, code).communicate(timeout=10)[0] == f"by stop (pid {first.pid})\n"


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGPIPE])
def test_what_is_begun_comes_to_its_end_though_nobody_listens(mac: Mac, how: signal.Signals) -> None:
    end, go = mac.root / "end", mac.root / "go"
    waits = f'bounded 9 /bin/sh -c "until [ -e {go} ]; do /bin/sleep 0.02; done" || exit'
    first = holding(mac, f"echo held; read line; {waits}; echo more; : >'{end}'")
    if how == signal.SIGPIPE:
        assert first.stdout is not None
        first.stdout.close()
        first.stdout = None
    assert first.stdin is not None
    first.stdin.write("\n")
    first.stdin.flush()
    until(lambda: sleeps(mac))
    if how == signal.SIGHUP:
        for pid in mac.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
    go.touch()
    first.wait(10)
    assert end.exists()


def test_a_link_in_its_directorys_place_is_not_followed(mac: Mac) -> None:
    elsewhere = mac.root / "elsewhere"
    elsewhere.mkdir()
    (mac.root / "var/run/colima-pulse").symlink_to(elsewhere)
    assert start(mac, "lock a 0").wait(10) == 0
    assert not any(elsewhere.iterdir())


def test_a_directory_of_anothers_is_not_used(mac: Mac) -> None:
    directory = Path("/usr")
    if os.geteuid() == 0:  # whose own that is
        directory = mac.root / "anothers"
        directory.mkdir(mode=0o777)
        os.chown(directory, 1, 1)
    done = start(mac, "lock a 0; echo $?", directory).communicate(timeout=10)
    assert done == ("73\n", f"{directory} is not root's own; remove it\n")
    assert not (directory / "a").exists()


def test_every_command_that_changes_something_takes_it() -> None:
    """But for two that change one thing at once; follow-start does when it undoes a start."""
    takes = re.compile(r"""(?m)^ *(?:if )?lock "\$label" \d+ (?:\|\| exit|&& unload_job; then)$""")
    commands = (files.HERE / "bin").iterdir()
    without = {path.name for path in commands if not takes.search(path.read_text())}
    assert without == {"configure", "set-power", "diagnose", "gate"}
