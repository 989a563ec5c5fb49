"""Answers that were asked ahead count while nothing has changed, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FactBase, FactProcessError
from pyinfra.connectors.util import make_unix_command
from pyinfra.context import ctx_config, ctx_host, ctx_state

from facts.colima import ColimaProfile
from facts.docker import DockerEngine
from facts.launchd import LaunchdJob, Milestones
from operations.util import ahead
from settings import Settings
from tests.fakes import Clock, FakeHost, Series

JOB = (LaunchdJob, {"label": "l"})
NOTES = (Milestones, {"label": "l"})
ENGINE = (DockerEngine, {"user": "alice"})
# Linux takes no longer argument than this many bytes (execve(2), MAX_ARG_STRLEN).
LONGEST = 128 * 1024


class World:
    """A host that counts how often it is asked, and a run under way on it."""

    def __init__(self) -> None:
        self.asked = 0
        facts = {fact: partial(self.answer, fact.__name__) for fact, _ in (JOB, NOTES, ENGINE)}
        self.host: Any = FakeHost(facts)
        self.state: Any = SimpleNamespace(is_executing=True, ops={self.host: {}})

    def answer(self, name: str, **_: Any) -> str:
        self.asked += 1
        return f"{name} {self.asked}"

    def operation(self, *, complete: bool, changed: bool) -> None:
        meta = SimpleNamespace(is_complete=lambda: complete, did_change=lambda: changed)
        operations = self.state.ops[self.host]
        operations[str(len(operations))] = SimpleNamespace(operation_meta=meta)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(ahead, "_answers", {})
    with ctx_state.use(world.state), ctx_host.use(world.host), ctx_config.use(SimpleNamespace()):
        yield world
    for context in (ctx_state, ctx_host, ctx_config):
        context.reset()


def test_an_answer_counts_until_something_has_changed(world: World) -> None:
    ahead.look(JOB, NOTES, ENGINE)
    world.operation(complete=True, changed=False)
    world.operation(complete=False, changed=True)  # still to run
    assert ahead.get(NOTES, ENGINE) == ["Milestones 2", "DockerEngine 3"]
    assert ahead.get(JOB) == ["LaunchdJob 1"]
    assert world.asked == 3
    world.operation(complete=True, changed=True)
    assert ahead.get(JOB, NOTES) == ["LaunchdJob 4", "Milestones 5"]


def test_an_answer_counts_for_a_few_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(ahead, "time", clock)
    ahead.look(JOB)
    clock.now += ahead.SECONDS
    assert ahead.get(JOB) == ["LaunchdJob 1"]
    clock.now += 0.1
    assert ahead.get(JOB) == ["LaunchdJob 2"]


def test_what_is_asked_again(world: World) -> None:
    ahead.look(JOB, NOTES)
    assert ahead.get((LaunchdJob, {"label": "other"})) == ["LaunchdJob 3"]
    assert ahead.get(JOB, ENGINE) == ["LaunchdJob 4", "DockerEngine 5"]
    other: Any = FakeHost({LaunchdJob: "the other's"}, name="other")
    world.state.ops[other] = {}
    with ctx_host.use(other):
        assert ahead.get(JOB) == ["the other's"]
    # While pyinfra prepares nothing is done yet.
    world.state.is_executing = False
    assert ahead.get(JOB) == ["LaunchdJob 6"]


def test_what_could_not_be_read_is_asked_again(world: World) -> None:
    world.host.facts = {**world.host.facts, LaunchdJob: Series(None, "job")}
    ahead.look(JOB, NOTES)
    assert ahead.get(JOB) == ["job"]
    assert ahead.get(NOTES) == ["Milestones 1"]


class Words(FactBase[str]):
    """Its lines; unreadable where there is a "?"."""

    def command(self, word: str) -> str:
        return f"echo {word}"

    def process(self, output: list[str]) -> str:
        if "?" in output:
            raise FactProcessError("?")
        return " ".join(output)


TWO = ((Words, {"word": "a"}), (Words, {"word": "b"}))


@pytest.mark.parametrize(
    ("output", "values"),
    [
        ("a b [next] c [next]", ["a b", "c"]),
        ("[next] c [next]", [None, "c"]),
        ("? [next] c [next]", [None, "c"]),
    ],
)
def test_several_facts_in_one_command(world: World, output: str, values: list[Any]) -> None:
    fact = ahead.joined(*TWO)
    assert str(fact().command()) == "echo a ; echo '[next]' ; echo b ; echo '[next]'"
    assert fact().process(output.split()) == values
    assert fact.default() == [None, None]


@pytest.mark.parametrize("output", ["", "a [next] b", "a [next] b [next] c", "[next] [next] [next]"])
def test_an_answer_that_is_not_whole(output: str) -> None:
    with pytest.raises(FactProcessError):
        ahead.joined(*TWO)().process(output.split())


def test_all_that_a_deploy_asks_ahead_is_one_command() -> None:
    from deploys import preflight

    settings, _ = Settings.parse({"homebrew_user": "alice"})
    profile = (ColimaProfile, {"user": "alice", "profile": "default"})
    asked = [profile, preflight.place_of_log(settings), *preflight.asked_first(settings)]
    command: Any = ahead.joined(*asked)().command()
    sent = make_unix_command(command, _sudo=True, _shell_executable="/bin/sh").get_raw_value()
    assert len(sent) < 0.8 * LONGEST
