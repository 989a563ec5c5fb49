"""Someone's terminal: a shell from which `macmini.lan` is a stand-in Mac, and a clone of this repository.

What is typed reaches the Mac and the repository's copy as it is written: ssh_config(5) leads to the one,
git's `insteadOf` to the other.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pexpect

from tests.checkout import ROOT
from tests.mac.machine import LOGIN_PATH, Mac

REMOTE = "https://github.com/MrCee/colima-pulse"
CLONE = f"git clone {REMOTE} && cd colima-pulse"
COLUMNS = 100
ROWS = 50
# The virtual environment that runs this stands in for the one that a user makes.
BIN = Path(sys.executable).parent
# No spinner: the tests and the pictures want lines. And uv takes that environment as it is.
TERMINAL = {"TERM": "xterm-256color", "PYINFRA_PROGRESS": "off", "UV_NO_SYNC": "1"}
ENTER = {r"Press enter to execute\.\.\.": "\n"}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Seen:
    """What a command came to: its exit status, and what the terminal got, colours included."""

    status: int
    raw: str

    @property
    def text(self) -> str:
        """What could be read."""
        return ESCAPES.sub("", self.raw).replace("\r", "")


def on_a_terminal(
    words: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    answers: Mapping[str, str],
    *,
    seconds: float,
    columns: int,
) -> Seen:
    """Run a command on a terminal; send an answer, as it is, whenever its pattern is seen.

    raises: AssertionError when it has not ended after so many seconds.
    """
    child: pexpect.spawn[str] = pexpect.spawn(
        words[0],
        list(words[1:]),
        cwd=directory,
        env=dict(environment),
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(ROWS, columns),
    )
    replies = list(answers.values())
    said, deadline = "", time.monotonic() + seconds
    try:
        while True:
            left = max(deadline - time.monotonic(), 0)
            found = child.expect([pexpect.EOF, pexpect.TIMEOUT, *answers], timeout=left)
            said += str(child.before)
            if found < 2:
                break
            said += str(child.after)
            child.send(replies[found - 2])
    finally:
        child.close(force=True)
    assert found == 0, f"{shlex.join(words)}: not within {seconds} s:\n{said}"
    ended_by = child.signalstatus or 0
    return Seen(128 + ended_by if child.exitstatus is None else child.exitstatus, said)


def publish(origin: Path, environment: Mapping[str, str]) -> None:
    """Make a repository of this one as it lies there, what is not committed included."""
    git = ["git", f"--git-dir={origin}", f"--work-tree={ROOT}"]
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "As it is"]):
        subprocess.run([*git, *arguments], cwd=ROOT, env=dict(environment), check=True)


class Terminal:
    """A shell of someone whose home is the directory `home`, which this makes.

    Every name in `.lan` is the Mac's. `directory` is where the shell is: in the home, and after `clone` in
    the clone. `env` is set in it, besides.
    """

    def __init__(self, home: Path, mac: Mac, env: Mapping[str, str] | None = None) -> None:
        self.home = self.directory = home
        self.env = dict(env or {})
        self.mac = mac
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "config").write_text(mac.ssh_config("*.lan"))
        origin = home / "origin.git"
        (home / ".gitconfig").write_text(
            f'[url "{origin}"]\n\tinsteadOf = {REMOTE}\n[user]\n\tname = nobody\n\temail = nobody@localhost\n'
        )
        publish(origin, self.environment)

    @property
    def environment(self) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("PYINFRA_", "GIT_"))}
        return ours | TERMINAL | self.env | {"HOME": str(self.home), "PATH": f"{BIN}:{ours['PATH']}"}

    def run(
        self,
        command: str,
        answers: Mapping[str, str] = ENTER,
        *,
        seconds: float = 200,
        columns: int = COLUMNS,
    ) -> Seen:
        """Type a command: see `on_a_terminal`."""
        words = ["/bin/sh", "-c", command]
        return on_a_terminal(
            words, self.directory, self.environment, answers, seconds=seconds, columns=columns
        )

    def clone(self) -> Seen:
        """Clone the repository, and go there; its virtual environment is the one that runs this."""
        seen = self.run(CLONE)
        self.directory = self.home / "colima-pulse"
        venv = self.directory / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(BIN.parent / name)
        (venv / "ready").touch()
        (venv / "dev").touch()
        return seen

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the clone's `.env`."""
        (self.directory / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def run_on_mac(
        self,
        command: str,
        answers: Mapping[str, str] = ENTER,
        *,
        seconds: float = 200,
        user: str = "admin",
        path: str = f"{BIN}:{LOGIN_PATH}",
    ) -> Seen:
        """Type a command on the Mac itself, in a copy of the clone in the user's home."""
        who = self.mac.user(user)
        there = self.mac.path(who.home) / "colima-pulse"
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.directory, there, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        for each in (there, *there.rglob("*")):
            os.chown(each, who.uid, 20, follow_symlinks=False)
        words, environment = self.mac.command(
            ["/bin/sh", "-c", f'cd "$HOME/colima-pulse" && {command}'],
            user,
            TERMINAL | {"PATH": path},
        )
        return on_a_terminal(words, self.home, environment, answers, seconds=seconds, columns=COLUMNS)
