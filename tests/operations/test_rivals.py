"""Other jobs that start the profile: removed, asked about or left, and what launchctl answers meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError

from facts.launchd import Definition, Definitions
from operations.rivals import describe, judged, remove, removed
from operations.util import terminal
from operations.util.rivals import Rival
from tests.conftest import RunOperation
from tests.fakes import Answer, Clock, FakeHost, fake_state

HOME = "/Users/alice"
LABEL = "homebrew.mrcee.colima-pulse"
FILE = f"{HOME}/Library/LaunchAgents/homebrew.mxcl.colima.plist"
SERVICE = Definition(
    kind="file", domain="gui/502", path=FILE, label="homebrew.mxcl.colima", arguments=("/x/colima", "start")
)
BOBS = replace(SERVICE, domain="system", username="bob", label="bobs")
ARGUMENTS: dict[str, Any] = {
    "user": "alice",
    "home": HOME,
    "profile": "default",
    "label": LABEL,
    "backup": f"{HOME}/colima-pulse-backups",
}
TARGET = "gui/502/homebrew.mxcl.colima"
RIVAL = Rival(SERVICE, True, "it starts profile default as well")


@pytest.mark.parametrize("clean", ["true", "false", "prompt"])
def test_nothing_to_do(commands: RunOperation, clean: str) -> None:
    got, host = commands(removed, {Definitions: []}, clean=clean, **ARGUMENTS)
    assert (got, len(host.noops), host.logged) == ([], 1, [])


def test_another_users_is_mentioned(commands: RunOperation) -> None:
    got, host = commands(removed, {Definitions: [BOBS]}, clean="true", **ARGUMENTS)
    assert (got, len(host.noops)) == ([], 1)
    assert "bobs" in host.said


def test_asked_to_leave_them(commands: RunOperation) -> None:
    got, host = commands(removed, {Definitions: [SERVICE]}, clean="false", **ARGUMENTS)
    assert (got, len(host.noops)) == ([], 1)
    assert FILE in host.said


@pytest.mark.parametrize(
    ("clean", "asks", "asked"), [("prompt", True, True), ("prompt", False, False), ("true", True, False)]
)
def test_removed(commands: RunOperation, clean: str, asks: bool, asked: bool) -> None:
    got, _ = commands(removed, {Definitions: [BOBS, SERVICE]}, clean=clean, asks=asks, **ARGUMENTS)
    assert len(got) == 1
    assert isinstance(got[0], FunctionCommand)
    assert got[0].args == (RIVAL, "alice", ARGUMENTS["backup"], asked)


def test_unreadable_is_refused(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(removed, {Definitions: None}, executing=False, clean="true", **ARGUMENTS)


def test_describe() -> None:
    found = judged([SERVICE, BOBS], LABEL, "alice", HOME, "default")
    assert "homebrew.mxcl.colima" in str(describe(found, "true"))
    assert "bobs" not in str(describe(found, "true"))
    assert describe(found, "false") is None
    assert describe([], "true") is None
    assert describe(found[1:], "true") is None


# One of them

Remove = Callable[..., tuple[bool, Any]]


@pytest.fixture
def run_remove(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Remove:
    monkeypatch.setattr(terminal, "ask", lambda question, default: pytest.fail("asked"))

    def run(
        rival: Rival = RIVAL,
        bootout: int = 0,
        shown: tuple[int, ...] = (113,),
        moved: bool = True,
        asks: bool = False,
    ) -> tuple[bool, Any]:
        left = list(shown)

        def answer(told: list[str]) -> Answer:
            if told[0] != "launchctl":
                return moved, [] if moved else ["No space left on device"]
            code = bootout if told[1] == "bootout" else left.pop(0) if len(left) > 1 else left[0]
            return True, [f"rc={code}"]

        host: Any = FakeHost(answer=answer)
        return remove(fake_state(), host, rival, "alice", "/backups", asks), host

    return run


# 125 and 112: there is no gui domain while nobody is logged in, and so the agent does not run.
@pytest.mark.parametrize(
    ("bootout", "shown"), [(0, 113), (3, 113), (36, 113), (113, 113), (125, 125), (112, 112)]
)
def test_unloaded_and_moved(run_remove: Remove, bootout: int, shown: int) -> None:
    done, host = run_remove(bootout=bootout, shown=(shown,))
    assert done
    assert host.told[0][:3] == ["launchctl", "bootout", TARGET]
    assert host.told[-1][:2] == ["move-aside", FILE]
    assert re.fullmatch(r"/backups/launchd-\d{8}-\d{6}", host.told[-1][2])
    assert host.told[-1][2] in host.said


def test_it_drains_first(run_remove: Remove, clock: Clock) -> None:
    done, host = run_remove(shown=(0, 0, 1, 113))  # 1 is no answer
    assert done
    assert clock.now > 1000
    assert host.told[-1][0] == "move-aside"


def test_it_does_not_end(run_remove: Remove, clock: Clock) -> None:
    done, host = run_remove(shown=(0,))
    assert not done
    assert clock.now - 1000 < 90
    assert "move-aside" not in str(host.told)
    assert f"launchctl print {TARGET}" in host.said


@pytest.mark.parametrize("bootout", [1, 5, 150])
def test_bootout_refused(run_remove: Remove, bootout: int) -> None:
    done, host = run_remove(bootout=bootout)
    assert not done
    assert len(host.told) == 1
    assert str(bootout) in host.said


def test_a_file_that_cannot_be_moved(run_remove: Remove) -> None:
    done, host = run_remove(moved=False)
    assert not done
    assert "No space left on device" in host.said
    assert FILE in host.said


def test_loaded_without_a_file(run_remove: Remove) -> None:
    done, host = run_remove(Rival(replace(SERVICE, kind="loaded", path=None), True, ""))
    assert done
    assert "move-aside" not in str(host.told)


@pytest.mark.parametrize("yes", [True, False])
def test_asked(run_remove: Remove, monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    questions: list[str] = []

    def ask(question: str, default: bool) -> bool:
        assert default
        questions.append(question)
        return yes

    monkeypatch.setattr(terminal, "ask", ask)
    done, host = run_remove(asks=True)
    assert done
    assert "mini" in questions[0]
    assert FILE in questions[0]
    assert bool(host.told) is yes
    assert ("stays" in host.said) is not yes
