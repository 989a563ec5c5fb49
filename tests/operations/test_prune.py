"""When Docker is pruned, when it is asked about, and what stays due."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.docker import Garbage, Prunable
from facts.launchd import PRUNE_DUE, Milestones
from operations.prune import mode_in_force, pruned
from operations.util import terminal
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
FOUND = Garbage(["container old (exited)", "image nginx:latest (142MB)"])


@pytest.mark.parametrize(
    ("wanted", "mode", "full_reset", "in_force"),
    [
        (True, "none", False, "none"),
        (True, "none", True, "safe"),
        (True, "images", True, "images"),
        (False, "aggressive", False, "none"),
        (False, "none", True, "none"),
    ],
)
def test_mode_in_force(wanted: bool, mode: str, full_reset: bool, in_force: str) -> None:
    settings = Settings(prune_docker_after_start=wanted, prune_mode=mode, full_reset=full_reset)
    assert mode_in_force(settings) == in_force


def run(commands: RunOperation, mode: str, *, notes: Any = None, found: Any = FOUND, **arguments: Any) -> Any:
    facts = {Milestones: {PRUNE_DUE: ""} if notes is None else notes, Prunable: found}
    where: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL}
    got, host = commands(pruned, facts, mode=mode, **where, **arguments)
    return [words(each) for each in got], host


def test_only_after_a_start(commands: RunOperation) -> None:
    got, host = run(commands, "safe", notes={"verified": "5"})
    assert (got, len(host.noops)) == ([], 1)


def test_what_goes_is_said_first(commands: RunOperation) -> None:
    got, host = run(commands, "images", networks=("backend",))
    assert got == [["prune", LABEL, "images", "backend"]]
    assert "prune (images) takes container old (exited)\nprune (images) takes image nginx" in host.said
    assert "Prune Docker: images, due since the last start" in host.said
    got, host = run(commands, "safe", found=Garbage([]))
    assert got == [["prune", LABEL, "safe"]], "it is due no longer"
    assert "nothing that a prune (safe) would take" in host.said


def test_a_preview_asks_nobody(commands: RunOperation) -> None:
    got, _ = run(commands, "aggressive", found=None, executing=False)
    assert got == [["prune", LABEL, "aggressive"]]


@pytest.mark.parametrize(
    ("there", "force_yes", "answer", "lines"),
    [
        (True, False, True, [["prune", LABEL, "aggressive"]]),
        (True, False, False, [["prune", LABEL, "none"]]),
        (True, True, False, [["prune", LABEL, "none"]]),
        (False, True, False, [["prune", LABEL, "aggressive"]]),
        (False, False, True, []),
    ],
)
def test_aggressive_asks(
    commands: RunOperation,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
    force_yes: bool,
    answer: bool,
    lines: list[list[str]],
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(terminal, "is_there", lambda: there)

    def ask(_: str, *, default: bool) -> bool:
        asked.append(default)
        return answer

    monkeypatch.setattr(terminal, "ask", ask)
    got, host = run(commands, "aggressive", force_yes=force_yes)
    assert got == lines
    assert asked == ([False] if there else [])
    assert ("--data force_yes=true" in host.said) is (lines == []), "it stays due"


@pytest.mark.parametrize(
    ("found", "says"), [(None, "no answer"), (Garbage([], "disk I/O error"), "disk I/O error")]
)
def test_what_cannot_be_known_is_not_pruned(commands: RunOperation, found: Any, says: str) -> None:
    ((name, *why),), _ = run(commands, "images", found=found)
    assert (name, says in why[0]) == ("refuse", True)


def test_unreadable_notes(commands: RunOperation) -> None:
    facts: dict[Any, Any] = {Milestones: None}
    arguments: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL, "mode": "safe"}
    (command,), _ = commands(pruned, facts, **arguments)
    assert words(command)[0] == "refuse"
    with pytest.raises(OperationError):
        commands(pruned, facts, executing=False, **arguments)
