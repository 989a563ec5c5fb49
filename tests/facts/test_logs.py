"""What the logs of a profile say, taken apart."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.logs import ABSENT, LogLines, Logs

OUTPUT = ["[7:20]", "|one", "|two", "[absent]", "[unreadable] Permission denied", "[8:0]", "end"]
SEEN = (
    LogLines("7:20", ("one", "two")),
    LogLines(ABSENT),
    LogLines("unreadable", why="Permission denied"),
    LogLines("8:0"),
)


def test_an_answer_whatever_sudo_says_besides() -> None:
    said = "sudo: unable to resolve host mini"
    assert Logs().process(OUTPUT) == SEEN
    assert Logs().process([said, "|no part", *OUTPUT[:3], said, *OUTPUT[3:], said]) == SEEN
    assert [part.wrong for part in SEEN] == [False, False, True, False]


def test_an_answer_cut_off_is_none() -> None:
    with pytest.raises(FactProcessError):
        Logs().process([*OUTPUT[:5], OUTPUT[-1]])
