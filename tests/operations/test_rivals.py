"""Other jobs that start the profile: removed, asked about or left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.rivals import Definition, Definitions
from operations import rivals
from operations.util import terminal
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
FILE = "/Users/alice/Library/LaunchAgents/homebrew.mxcl.colima.plist"
SERVICE = Definition("file", "gui/502", FILE, "homebrew.mxcl.colima", "default", "alice")
DAEMON = replace(SERVICE, domain="system", path="/Library/LaunchDaemons/x.plist", label="x")
LOADED = replace(SERVICE, kind="loaded", domain="system", path=None, label="gone")
ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL, "backup": "/backups"}
REMOVED = ["remove-job", LABEL, "gui/502", "homebrew.mxcl.colima", FILE, "/backups"]


def test_removed(commands: RunOperation) -> None:
    got, host = commands(rivals.removed, {Definitions: [SERVICE, DAEMON, LOADED]}, clean="true", **ARGUMENTS)
    assert [words(each) for each in got] == [
        REMOVED,
        ["remove-job", LABEL, "system", "x", "/Library/LaunchDaemons/x.plist", "/backups"],
        ["remove-job", LABEL, "system", "gone", "", "/backups"],
    ]
    assert f"Remove what else starts Colima: homebrew.mxcl.colima ({FILE}), x (" in host.said
    assert "gone (loaded in system, without a file)" in host.said


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (replace(DAEMON, user="bob"), "it runs as bob"),
        (replace(SERVICE, profile="work"), "it starts profile work"),
        (replace(SERVICE, profile=None), "not known to start Colima"),
        (Definition("link", "system", "/x.plist", None), "a symbolic link"),
        (Definition("unreadable", "system", "/x.plist", None), "cannot be read"),
    ],
)
def test_only_mentioned(commands: RunOperation, job: Definition, why: str) -> None:
    got, host = commands(rivals.removed, {Definitions: [job]}, clean="true", **ARGUMENTS)
    assert (got, len(host.noops)) == ([], 1)
    assert f"left alone: {rivals.named(job)}" in host.said
    assert why in host.said


def test_asked_to_leave_them(commands: RunOperation) -> None:
    got, host = commands(rivals.removed, {Definitions: [SERVICE]}, clean="false", **ARGUMENTS)
    assert (got, len(host.noops)) == ([], 1)
    assert f"left alone: homebrew.mxcl.colima ({FILE}): it starts profile default as well" in host.said


@pytest.mark.parametrize("clean", ["true", "false", "prompt"])
def test_our_own_and_nothing_else(commands: RunOperation, clean: str) -> None:
    ours = [replace(DAEMON, label=LABEL), replace(DAEMON, label=f"{LABEL}.pulse")]
    got, host = commands(rivals.removed, {Definitions: ours}, clean=clean, **ARGUMENTS)
    assert (got, len(host.noops), host.logged) == ([], 1, [])
    # An agent of our label is not our daemon.
    got, _ = commands(
        rivals.removed, {Definitions: [replace(SERVICE, label=LABEL)]}, clean="true", **ARGUMENTS
    )
    assert len(got) == 1


@pytest.mark.parametrize(
    ("reads", "executing", "yes", "asked"),
    [(True, True, True, 1), (True, True, False, 1), (True, False, False, 0), (False, True, False, 0)],
)
def test_prompt_asks_where_somebody_reads(
    commands: RunOperation,
    monkeypatch: pytest.MonkeyPatch,
    reads: bool,
    executing: bool,
    yes: bool,
    asked: int,
) -> None:
    questions: list[str] = []

    def ask(question: str, *, default: bool) -> bool:
        assert default
        questions.append(question)
        return yes

    monkeypatch.setattr(rivals, "is_read", lambda: reads)
    monkeypatch.setattr(terminal, "ask", ask)
    got, host = commands(
        rivals.removed, {Definitions: [SERVICE]}, executing=executing, clean="prompt", **ARGUMENTS
    )
    assert len(questions) == asked
    assert all(host.name in each and FILE in each for each in questions)
    stays = bool(asked) and not yes
    assert [words(each) for each in got] == ([] if stays else [REMOVED])
    assert ("stays: two owners" in host.said) is stays


def test_unreadable_is_refused(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(rivals.removed, {Definitions: None}, executing=False, clean="true", **ARGUMENTS)
