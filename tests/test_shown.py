"""Every command that the documents show has its place in a test that runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings import Settings
from tests.e2e.life import DOCUMENTS, ELSEWHERE, LIFE, shown

ROOT = Path(__file__).resolve().parents[1]


def test_every_command_is_run() -> None:
    run = {step.command for step in LIFE} | set(ELSEWHERE)
    lacking = [str(each) for each in shown() if each.command not in run]
    assert not lacking, "give them a step in tests/e2e/life.py, or a reason in its ELSEWHERE"


def test_nothing_is_run_that_is_not_shown() -> None:
    found = {each.command for each in shown()}
    assert [step.command for step in LIFE if step.command not in found] == []
    assert [command for command in ELSEWHERE if command not in found] == []


def test_nothing_is_run_twice() -> None:
    run = [*ELSEWHERE, *(step.command for step in LIFE)]
    assert sorted(run) == sorted(set(run))


def test_targets_of_make() -> None:
    """Those that run elsewhere are there, at least."""
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = {each.command.split()[1] for each in shown() if each.command.startswith("make ")}
    assert "deploy" in named
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name + "/" + path.name)
def test_data_names_settings(document: Path) -> None:
    """Also where the text names an option alone."""
    named = re.findall(r"--data\s+(\w+)=", document.read_text())
    assert set(named) <= {*vars(Settings()), "key"}


def test_files_and_pictures_are_there() -> None:
    """What the documents link to, of this repository."""
    for document in DOCUMENTS:
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
        links += re.findall(r"<img[^>]* src=\"(?!https?:)([^\"]+)", document.read_text())
        assert [link for link in links if not (document.parent / link).exists()] == []
