"""A Mac by the name that pyinfra has for it, `@local` or `@ssh/NAME`, and nothing else: stand-in or real."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checkout import Run

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
        done = subprocess.run(
            [sys.executable, "-m", "pyinfra", self.name, *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            start_new_session=True,  # a question would be asked on /dev/tty
        )
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
