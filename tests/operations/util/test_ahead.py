"""Answers that were asked ahead count while nothing has changed, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.context import ctx_config, ctx_host, ctx_state

from facts.docker import DockerEngine
from facts.launchd import LaunchdJob, Milestones
from operations.util import ahead
from tests.fakes import Clock, FakeHost

JOB = (LaunchdJob, {"label": "l"})
NOTES = (Milestones, {"label": "l"})
ENGINE = (DockerEngine, {"user": "alice"})


class World:
    """A host that counts how often it is asked, and a run under way on it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.done: list[Any] = []
        self.state: Any = SimpleNamespace(is_executing=True)
        self.host: Any = FakeHost({fact: self.answering(fact) for fact, _ in (JOB, NOTES, ENGINE)})
        self.state.ops = {self.host: {}}

    def answering(self, fact: Any) -> Any:
        def answer(**arguments: Any) -> str:
            self.asked.append(fact.__name__)
            return f"{fact.__name__} {len(self.asked)}"

        return answer

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


def test_each_is_asked_once(world: World) -> None:
    ahead.ask((JOB, NOTES), (ENGINE,))
    world.operation(complete=True, changed=False)
    world.operation(complete=False, changed=False)
    assert ahead.get(NOTES, ENGINE) == ["Milestones 2", "DockerEngine 3"]
    assert ahead.get(JOB) == ["LaunchdJob 1"]
    assert ahead.get(ENGINE) == ["DockerEngine 3"]
    assert len(world.asked) == 3


def test_after_a_change_everything_is_asked_anew(world: World) -> None:
    ahead.ask((JOB,), (NOTES,))
    world.operation(complete=True, changed=True)
    world.operation(complete=True, changed=False)
    assert ahead.get(JOB, NOTES) == ["LaunchdJob 3", "Milestones 4"]


def test_what_is_yet_to_run_has_changed_nothing(world: World) -> None:
    ahead.ask((JOB,))
    world.operation(complete=False, changed=True)
    assert ahead.get(JOB) == ["LaunchdJob 1"]


def test_what_is_old_is_asked_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(ahead, "time", clock)
    ahead.ask((JOB,))
    clock.now += ahead.SECONDS
    assert ahead.get(JOB) == ["LaunchdJob 1"]
    clock.now += 0.1
    assert ahead.get(JOB) == ["LaunchdJob 2"]


def test_while_pyinfra_prepares_everything_is_asked_anew(world: World) -> None:
    ahead.ask((JOB,))
    world.state.is_executing = False
    assert ahead.get(JOB) == ["LaunchdJob 2"]


def test_another_question_is_another_one(world: World) -> None:
    ahead.ask((JOB,), (NOTES,))
    assert ahead.get((LaunchdJob, {"label": "other"})) == ["LaunchdJob 3"]
    assert ahead.get(JOB, ENGINE) == ["LaunchdJob 4", "DockerEngine 5"]


def test_another_host_has_its_own_answers(world: World) -> None:
    ahead.ask((JOB,))
    other: Any = FakeHost({LaunchdJob: "the other's"})
    world.state.ops[other] = {}
    with ctx_host.use(other):
        assert ahead.get(JOB) == ["the other's"]


@pytest.mark.parametrize("together", [[["job", None], None], [None, ["engine"]]])
def test_what_could_not_be_read_is_asked_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, together: list[Any]
) -> None:
    monkeypatch.setattr(ahead, "together", lambda *_: together)
    ahead.ask((JOB, NOTES), (ENGINE,))
    read = [value for each in together for value in each or () if value is not None]
    assert (ahead.get(JOB) == ["job"]) is ("job" in read)
    assert (ahead.get(ENGINE) == ["engine"]) is ("engine" in read)
    assert ahead.get(NOTES)[0].startswith("Milestones")
