"""Questions on a real controlling terminal, and what is taken for an answer without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

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
        (True, "y", True),
        (True, "perhaps", False),
        (False, "", False),
        (False, "n", False),
        (False, " Y ", True),
        (False, "YES", True),
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


@pytest.mark.parametrize("default", [True, False])
def test_an_end_of_file_is_no_answer(default: bool) -> None:
    child = spawn(ASK.format(default))
    child.expect_exact("Sure?")
    child.sendeof()
    assert child.expect(["answer: False", "answer: True"]) == default


@pytest.mark.parametrize("stdin", ["<&0", "</dev/null"])
def test_there(stdin: str) -> None:
    child = spawn(LOOK, stdin)
    child.expect_exact("there: True")


def test_a_question_does_not_read_standard_input() -> None:
    child = spawn(ASK.format(False), "</dev/null")
    child.expect_exact("Sure?")
    child.sendline("y")
    child.expect("answer: True")


def test_not_there() -> None:
    assert detached(LOOK) == "there: False"
    assert detached(ASK.format(True)) == "answer: True"
    assert detached(ASK.format(False)) == "answer: False"


@pytest.mark.parametrize("word", ["DESTROY", "", " two words "])
def test_a_word_comes_as_it_is_typed(word: str) -> None:
    child = spawn(TYPED, "</dev/null")
    child.expect_exact("Word? ")
    child.sendline(word)
    child.expect_exact(f"answer: {word!r}")


def test_no_word_without_a_terminal() -> None:
    assert detached(TYPED) == "answer: None"
