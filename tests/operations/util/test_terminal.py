"""What a real terminal is shown and obeys, questions on it, and what is taken for an answer without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from operations.util.terminal import safe
from tests.checkout import PYINFRA, copy_repository

ROOT = Path(__file__).resolve().parents[3]
ASK = "from operations.util import terminal; print('answer:', terminal.ask('Sure?', default={}))"
LOOK = "from operations.util import terminal; print('there:', terminal.is_there())"
TYPED = "from operations.util import terminal; print('answer:', repr(terminal.typed('Word?')))"


def spawn(code: str, stdin: str = "<&0") -> pexpect.spawn[str]:
    """Run Python in a shell that has a terminal of its own for its controlling one."""
    command = f'exec "$0" -c "$1" {stdin}'
    return pexpect.spawn(
        "/bin/sh",
        ["-c", command, sys.executable, code],
        cwd=ROOT,
        encoding="utf-8",
        codec_errors="replace",
        timeout=20,
    )


def detached(code: str) -> str:
    """What Python prints in a session of its own, which has no controlling terminal."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("default", "typed", "answer"),
    [
        (True, "", True),
        (True, "n", False),
        (False, "", False),
        (False, " YES ", True),
        (False, "yesterday", False),
    ],
)
def test_an_answer(default: bool, typed: str, answer: bool) -> None:
    child = spawn(ASK.format(default))
    child.expect_exact("Sure? [Y/n] " if default else "Sure? [y/N] ")
    child.sendline(typed)
    assert child.expect(["answer: False", "answer: True"]) == answer


def test_what_is_not_text_is_no() -> None:
    child = spawn(ASK.format(True))
    child.expect_exact("Sure?")
    os.write(child.child_fd, b"y\xff\n")
    assert child.expect(["answer: False", "answer: True"]) == 0


def test_standard_input_is_not_asked() -> None:
    child = spawn(LOOK, "</dev/null")
    child.expect_exact("there: True")
    child = spawn(TYPED, "</dev/null")
    child.expect_exact("Word? ")
    child.sendline(" two words ")
    child.expect_exact("answer: ' two words '")


def test_without_a_terminal() -> None:
    looks = [LOOK, TYPED, ASK.format(True), ASK.format(False)]
    assert [detached(each) for each in looks] == [
        "there: False",
        "answer: None",
        "answer: True",
        "answer: False",
    ]


COPY = "\x1b]52;c;cHduZWQ=\x07"  # into the clipboard of whoever looks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("für \t 日本 🍺\n\x1b[1;31mred\x1b[m", "für \t 日本 🍺\n\x1b[1;31mred\x1b[m"),
        (f"a{COPY}b", "a?]52;c;cHduZWQ=?b"),
        ("\x1b[2J\x1b[31", "?[2J?[31"),
        ("one\rtwo\x08\x00\x7f", "one?two???"),
        ("\x9b2J\x9d52;c;QQ==\x9c", "?2J?52;c;QQ==?"),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_a_question_colours_and_no_more() -> None:
    child = spawn(f"from operations.util import terminal; terminal.typed({COPY + 'Sure?'!r})")
    child.expect_exact("?]52;c;cHduZWQ=?Sure?")


HOSTILE_DEPLOY = f"""
from pyinfra import host, logger
from pyinfra.operations import server
from operations.util.internals import Command
from pyinfra.api import operation

COPY = {COPY!r}
host.log("log" + COPY)
logger.info("%s", "arguments" + COPY)

@operation()
def live():
    yield Command("printf", "'live\\033]52;c;cHduZWQ=\\007\\n'", live=True)

live(name="name" + COPY)
server.shell(name="fails", commands=["printf 'stderr\\033]52;c;cHduZWQ=\\007\\n' >&2; exit 3"])
"""


def test_nothing_that_pyinfra_shows_is_obeyed(tmp_path: Path) -> None:
    """What it logs, an operation's name, output as it comes and that of a command that failed."""
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    (checkout / "hostile.py").write_text(HOSTILE_DEPLOY)
    child = pexpect.spawn(
        PYINFRA[0],
        [*PYINFRA[1:], "@local", "hostile.py", "-y", "--data", "_sudo=False"],
        cwd=checkout,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        encoding="utf-8",
        timeout=60,
        dimensions=(50, 200),
    )
    child.expect(pexpect.EOF)
    seen = str(child.before)
    for each in ("log", "arguments", "live", "name", "stderr"):
        assert f"{each}?]52;c;cHduZWQ=?" in seen, seen
    assert "\x1b[" in seen, "no colours either"
    assert not re.sub(r"\x1b\[[0-9;]*m|[\r\n\t]", "", seen).count("\x1b")
    assert "\x07" not in seen
