"""When Docker is pruned, when it is asked about, and what stays due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError

from facts.launchd import Milestones, milestones_path
from operations.prune import DUE, describe, fault, mode_in_force, prune, pruned
from operations.util import terminal
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import Answer, FakeHost, fake_state

LABEL = "homebrew.mrcee.colima-pulse"
ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL}
FORGET = ["/bin/rm", "-f", f"{milestones_path(LABEL)}/{DUE}"]
MODES = ["safe", "images", "aggressive"]


@pytest.mark.parametrize(
    ("wanted", "mode", "full_reset", "in_force"),
    [
        (True, "none", False, "none"),
        (True, "none", True, "safe"),
        (True, "images", False, "images"),
        (True, "images", True, "images"),
        (True, "aggressive", True, "aggressive"),
        (False, "aggressive", False, "none"),
        (False, "none", True, "none"),
    ],
)
def test_mode_in_force(wanted: bool, mode: str, full_reset: bool, in_force: str) -> None:
    settings = Settings(prune_docker_after_start=wanted, prune_mode=mode, full_reset=full_reset)
    assert mode_in_force(settings) == in_force


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("force_yes", [True, False])
@pytest.mark.parametrize("mode", ["none", *MODES])
def test_fault(monkeypatch: pytest.MonkeyPatch, mode: str, force_yes: bool, there: bool) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: there)
    found = fault(mode, force_yes)
    if mode == "aggressive" and not force_yes and not there:
        assert "PRUNE_MODE" in str(found)
        assert "--data force_yes=true" in str(found)
    else:
        assert found is None


@pytest.mark.parametrize(
    ("notes", "starts", "mode", "says"),
    [
        ({}, False, "safe", None),
        (None, False, "safe", None),
        ({DUE: ""}, False, "images", "images"),
        ({}, True, "images", "after the start: images"),
        (None, True, "safe", "after the start: safe"),
        ({DUE: ""}, True, "none", None),
    ],
)
def test_describe(notes: dict[str, str] | None, starts: bool, mode: str, says: str | None) -> None:
    found = describe(notes, starts, mode)
    assert found is None if says is None else says in str(found)


# The operation


@pytest.mark.parametrize("mode", MODES)
def test_not_without_a_start(commands: RunOperation, mode: str) -> None:
    got, host = commands(pruned, {Milestones: {"verified": "5"}}, mode=mode, **ARGUMENTS)
    assert (got, len(host.noops)) == ([], 1)


def test_due(commands: RunOperation) -> None:
    got, _ = commands(pruned, {Milestones: {DUE: ""}}, mode="images", networks=("backend",), **ARGUMENTS)
    (command,) = got
    assert isinstance(command, FunctionCommand)
    assert command.function is prune
    assert command.args == ("alice", "default", LABEL, "images", False, ("backend",))


def test_unreadable_is_not_due(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(pruned, {Milestones: None}, executing=False, mode="safe", **ARGUMENTS)
    got, _ = commands(pruned, {Milestones: None}, mode="safe", **ARGUMENTS)
    (command,) = got
    assert isinstance(command, FunctionCommand)
    assert command.function is not prune
    host: Any = FakeHost()
    assert command.execute(fake_state(), host, {}) is False


# One prune

Prune = Callable[..., tuple[bool, Any]]
FOUND = (True, ["container old (exited)", "image nginx:latest (142MB)"])


@pytest.fixture
def run_prune(monkeypatch: pytest.MonkeyPatch) -> Prune:
    def run(
        mode: str = "images",
        look: Answer = FOUND,
        do: Answer = (True, ["image: 142MB reclaimed"]),
        force_yes: bool = False,
        terminal_says: bool | None = None,
    ) -> tuple[bool, Any]:
        """`terminal_says` is what the person there answers; None: nobody is there."""

        def answer(told: list[str]) -> Answer:
            return {"look": look, "do": do}[told[4]] if told[0] == "prune" else (True, [])

        def ask(question: str, default: bool) -> bool:
            assert not default, "Enter alone must not be a yes"
            assert "mini" in question
            assert "prune (aggressive) takes container old (exited)" in host.logged, "asked before it is said"
            return bool(terminal_says)

        monkeypatch.setattr(terminal, "is_there", lambda: terminal_says is not None)
        monkeypatch.setattr(terminal, "ask", ask if terminal_says is not None else pytest.fail)
        host: Any = FakeHost(answer=answer)
        done = prune(fake_state(), host, "alice", "default", LABEL, mode, force_yes, ("backend",))
        return done, host

    return run


def actions(host: Any) -> list[str]:
    return [told[4] if told[0] == "prune" else "forget" for told in host.told]


@pytest.mark.parametrize("mode", ["safe", "images"])
def test_pruned(run_prune: Prune, mode: str) -> None:
    done, host = run_prune(mode)
    assert done
    assert host.told == [
        ["prune", "alice", "default", mode, "look", "backend"],
        ["prune", "alice", "default", mode, "do", "backend"],
        FORGET,
    ]
    assert host.logged == [
        f"prune ({mode}) takes container old (exited)",
        f"prune ({mode}) takes image nginx:latest (142MB)",
        "image: 142MB reclaimed",
    ]


def test_nothing_to_take(run_prune: Prune) -> None:
    done, host = run_prune(look=(True, []))
    assert done
    assert actions(host) == ["look", "forget"]
    assert "nothing" in host.said


@pytest.mark.parametrize(
    ("look", "do", "told"),
    [
        ((False, ["Cannot connect"]), FOUND, ["look"]),
        (FOUND, (False, ["Cannot connect"]), ["look", "do"]),
    ],
)
def test_a_prune_that_fails_stays_due(run_prune: Prune, look: Answer, do: Answer, told: list[str]) -> None:
    done, host = run_prune(look=look, do=do)
    assert not done
    assert actions(host) == told
    assert "Cannot connect" in host.said
    assert "prune_mode=none" in host.said  # what to type next


def test_aggressive_without_anyone_to_ask(run_prune: Prune) -> None:
    done, host = run_prune("aggressive")
    assert done
    assert host.told == []
    assert "force_yes=true" in host.said


def test_aggressive_by_force(run_prune: Prune) -> None:
    done, host = run_prune("aggressive", force_yes=True)
    assert done
    assert actions(host) == ["look", "do", "forget"]


@pytest.mark.parametrize("force_yes", [True, False])
@pytest.mark.parametrize("yes", [True, False])
def test_aggressive_asks_who_is_there(run_prune: Prune, yes: bool, force_yes: bool) -> None:
    done, host = run_prune("aggressive", force_yes=force_yes, terminal_says=yes)
    assert done
    assert actions(host) == (["look", "do", "forget"] if yes else ["look", "forget"])
    assert ("not pruned" in host.said) is not yes


@pytest.mark.parametrize("mode", ["safe", "images"])
def test_the_others_do_not_ask(run_prune: Prune, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    done, host = run_prune(mode, terminal_says=False)
    assert done
    assert actions(host) == ["look", "do", "forget"]
