"""A Mac by the name that pyinfra has for it, `@local` or `@ssh/NAME`, and nothing else: stand-in or real."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from settings import read_env
from tests import warm
from tests.checkout import ROOT, Run, copy_repository
from tests.mac.machine import Mac, missing

SSH = "@ssh/"


def wait_for(look: Callable[[], bool], seconds: float = 30, every: float = 0.1) -> None:
    """Await a condition; fail the test when it does not come."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


class Host:
    """A Mac, and a copy of this repository to deploy from.

    `directory` is the copy. Over SSH, ~/.ssh/config says how to reach it; sudo wants no password there.
    """

    def __init__(self, name: str, directory: Path) -> None:
        if name != "@local" and not name.startswith(SSH):
            raise ValueError(f"{name!r}: a host is @local, or @ssh/ and a name")
        self.name = name
        self.directory = directory

    def pyinfra(self, *arguments: str, seconds: float = 3600) -> Run:
        """`pyinfra HOST ARGUMENTS`, without a terminal."""
        done = warm.run([self.name, *arguments], self.directory, os.environ, seconds)
        return Run(done.returncode, done.stdout, done.stderr)

    def fact(self, name: str, **arguments: str) -> Any:
        """What `pyinfra HOST fact facts.NAME --json` says of the Mac; None where it is unreadable."""
        words = [f"{key}={value}" for key, value in arguments.items()]
        run = self.pyinfra("fact", f"facts.{name}", *words, "--json")
        assert run.status == 0, run.output
        (hosts,) = run.json.values()
        return hosts[self.name]

    def run(
        self, script: str, *arguments: str, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run shell code as root on the Mac, its arguments in "$1", "$2" ..."""
        command = ["/usr/bin/sudo", "-n", "/bin/sh", "-c", script, "sh", *arguments]
        if self.name.startswith(SSH):
            config = Path("~/.ssh/config").expanduser()
            # ssh(1) looks in the home of the password database, pyinfra in $HOME.
            found = ["-F", str(config)] if config.exists() else []
            command = ["ssh", "-o", "BatchMode=yes", *found, self.name.removeprefix(SSH), shlex.join(command)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            start_new_session=True,
        )
        assert not check or done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done


def owners() -> dict[str, str]:
    """What this checkout's `.env` says of the Mac itself: who runs Colima, and how long to wait for it."""
    found = read_env(ROOT / ".env").items()
    return {key.upper(): value for key, value in found if key.startswith(("homebrew_user", "wait_"))}


@contextmanager
def reach(name: str | None, directory: Path) -> Iterator[Host]:
    """The Mac of this name; without one a stand-in over SSH that has Homebrew alone, and goes with the block.

    `directory` gets the copy of the repository and, for a stand-in, is a home with an ssh_config(5).
    """
    checkout = directory / "colima-pulse"
    copy_repository(checkout)
    if name:
        yield Host(name, checkout)
        return
    if lacking := missing():
        pytest.skip("the stand-in Mac cannot boot here: " + "; ".join(lacking))
    # On a real file system: the Docker Engines keep their layers there.
    place = Path(tempfile.mkdtemp(prefix="colima-pulse-test.", dir="/var/tmp"))
    mac = Mac("macmini", place / "macmini", installed=())
    (directory / ".ssh").mkdir()
    # One connection for all that ssh runs.
    shared = f"  ControlMaster auto\n  ControlPath {directory}/shared\n  ControlPersist 60\n"
    (directory / ".ssh" / "config").write_text(mac.ssh_config() + shared)
    mac.boot()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(directory))
            yield Host(f"{SSH}{mac.name}", checkout)
    finally:
        mac.destroy()
        shutil.rmtree(place, ignore_errors=True)
