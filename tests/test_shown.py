"""Every command that the documents show has its place in a test that runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings import Settings
from tests.e2e.life import DOCUMENTS, ELSEWHERE, LIFE, shown
from tests.pictures import PICTURES
from tests.shown import anchors, links

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


def leads_somewhere(document: Path, link: str) -> bool:
    path, hash_sign, anchor = link.partition("#")
    target = document.parent / path if path else document
    return target.exists() and (not hash_sign or anchor in anchors(target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name + "/" + path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert [link for link in links(document) if not leads_somewhere(document, link)] == []


def test_nothing_is_out_of_reach() -> None:
    """README leads to each document, and each picture is on one."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set(DOCUMENTS) - linked == {ROOT / "README.md"}
    shows = {(document.parent / link).resolve() for document in DOCUMENTS for link in links(document)}
    assert {picture.path for picture in PICTURES} <= shows


def test_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10 * 1024
