"""The gate: the socket, the API, then good answers in a row, each within its bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FunctionCommand

from facts.docker import DockerEngine, EngineState
from facts.launchd import JobState, LaunchdJob, Milestones, milestones_path
from operations import docker
from operations.docker import VERIFIED, engine, is_good, pass_gate
from tests.conftest import RunOperation
from tests.fakes import Clock, FakeHost, Series, fake_state

LABEL = "homebrew.mrcee.colima-pulse"
LOG = "/var/log/colima.log"
SOCKET = "/Users/alice/.colima/default/docker.sock"
GOOD = EngineState(SOCKET, True, None, "28.4.0", {})
NO_SOCKET = EngineState(SOCKET, False, "there is no socket")
EOF = EngineState(SOCKET, True, "curl: (52) Empty reply from server")
BUSY = EngineState(SOCKET, True, "the API answers 503")
HALF = EngineState(SOCKET, True, None, "28.4.0", None)  # a ping, and no list of containers
JOB = JobState(loaded=True, disabled=False, state="running", pid=312, runs=1)
ENDED = replace(JOB, state="not running", pid=None)
COLLECTED = ["diagnose", "alice", "default", LABEL, LOG]
NOTE = ["note", milestones_path(LABEL), VERIFIED, "3"]

Gate = Callable[..., tuple[bool, Any]]


@pytest.fixture
def gate(clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gate:
    monkeypatch.chdir(tmp_path)  # where diagnostics are written

    def run(
        *engines: EngineState | None, job: Any = JOB, required: int = 3, **bounds: int
    ) -> tuple[bool, Any]:
        host: Any = FakeHost({DockerEngine: Series(*engines), LaunchdJob: job})
        given = {"socket_seconds": 60, "api_seconds": 30} | bounds
        passed = pass_gate(
            fake_state(),
            host,
            "alice",
            "default",
            LABEL,
            LOG,
            given["socket_seconds"],
            given["api_seconds"],
            required,
            ("hunter2",),
        )
        return passed, host

    return run


@pytest.mark.parametrize(
    ("found", "good"),
    [(GOOD, True), (HALF, False), (replace(GOOD, version=None), False), (EOF, False), (NO_SOCKET, False)],
)
def test_good(found: EngineState, good: bool) -> None:
    assert is_good(found) is good
    assert not is_good(None)


def test_ready(gate: Gate, clock: Clock) -> None:
    passed, host = gate(GOOD)
    assert passed
    assert host.told == [NOTE]
    assert clock.now == 1002  # three answers, a second between them
    assert SOCKET in host.said
    assert "28.4.0" in host.said


@pytest.mark.parametrize("bad", [EOF, BUSY, HALF, None])
def test_waits_on(gate: Gate, bad: EngineState | None) -> None:
    passed, host = gate(NO_SOCKET, NO_SOCKET, bad, bad, bad, GOOD)
    assert passed
    assert host.told == [NOTE]


def test_flapping_counts_anew(gate: Gate, clock: Clock) -> None:
    # The socket's look, then good, good, bad: two are not enough, nor are they counted with the next two.
    passed, host = gate(GOOD, GOOD, GOOD, BUSY, GOOD, GOOD, EOF, GOOD)
    assert passed
    assert host.told == [NOTE]
    assert clock.now == 1000 + 1 + 1 + 2 + 1 + 3
    assert "503" in host.said


def test_flapping_for_ever(gate: Gate, clock: Clock) -> None:
    passed, host = gate(*[GOOD, GOOD, BUSY] * 1000)
    assert not passed
    assert host.told == [COLLECTED]
    assert clock.now - 1000 <= 35
    assert "3 good answers" in host.said


def test_a_failure_ends_with_its_reason(gate: Gate) -> None:
    _, host = gate(BUSY)
    (where,) = [line for line in host.logged if "diagnostics/mini-" in line]
    assert host.logged.index(where) == len(host.logged) - 3
    assert "503" in host.logged[-2]
    assert host.logged[-1].startswith("Look: ")


def test_many_answers_may_take_longer_than_the_bound(gate: Gate) -> None:
    assert gate(GOOD, required=40, api_seconds=30)[0]


@pytest.mark.parametrize(
    ("engines", "bound", "says"),
    [
        ([NO_SOCKET], 60, "no socket"),
        ([None], 60, "cannot be read"),
        ([EOF], 30, "Empty reply"),
        ([BUSY], 30, "503"),
        ([HALF], 30, "containers"),
    ],
)
def test_bounds(gate: Gate, clock: Clock, engines: list[EngineState | None], bound: int, says: str) -> None:
    passed, host = gate(*engines)
    assert not passed
    assert bound <= clock.now - 1000 <= bound + 2
    assert host.told == [COLLECTED]
    assert says in host.said
    assert f"{bound} s" in host.said
    assert f"launchctl print system/{LABEL}" in host.said  # what to type next


@pytest.mark.parametrize("engines", [[NO_SOCKET], [EOF], [NO_SOCKET, BUSY], [GOOD, GOOD, EOF]])
@pytest.mark.parametrize(
    "end", [ENDED, replace(JOB, loaded=False), replace(JOB, runs=2)], ids=["ended", "booted out", "restarted"]
)
def test_not_longer_than_the_job_lives(
    gate: Gate, clock: Clock, engines: list[EngineState], end: JobState
) -> None:
    passed, host = gate(*engines, job=Series(JOB, JOB, end))
    assert not passed
    assert clock.now - 1000 < 10
    assert "ended" in host.said


def test_a_launchd_that_cannot_be_read_has_not_ended(gate: Gate) -> None:
    assert gate(NO_SOCKET, NO_SOCKET, EOF, GOOD, job=None)[0]


# The operation

ARGUMENTS: dict[str, Any] = {"user": "alice", "profile": "default", "label": LABEL, "log_path": LOG}


def test_asked_once_when_verified(commands: RunOperation) -> None:
    got, host = commands(engine, {DockerEngine: GOOD, Milestones: {VERIFIED: "5"}}, **ARGUMENTS)
    assert got == []
    assert SOCKET in host.noops[0]


@pytest.mark.parametrize(
    ("found", "notes"),
    [(GOOD, {}), (GOOD, None), (EOF, {VERIFIED: "5"}), (HALF, {VERIFIED: "5"}), (None, {VERIFIED: "5"})],
)
def test_gate_needed(commands: RunOperation, found: EngineState | None, notes: dict[str, str] | None) -> None:
    got, _ = commands(engine, {DockerEngine: found, Milestones: notes}, **ARGUMENTS, required=7)
    assert len(got) == 1
    assert isinstance(got[0], FunctionCommand)
    assert got[0].args == ("alice", "default", LABEL, LOG, 180, 180, 7, ())


@pytest.mark.parametrize(
    ("found", "notes", "starts", "says"),
    [
        (GOOD, {VERIFIED: "5"}, True, "5 good answers"),
        (EOF, {}, False, "Empty reply"),
        (None, {}, False, "cannot be read"),
        (GOOD, None, False, "5 good answers"),
        (GOOD, {VERIFIED: "5"}, False, "None"),
    ],
)
def test_describe(found: EngineState | None, notes: dict[str, str] | None, starts: bool, says: str) -> None:
    assert says in str(docker.describe(found, notes, starts, 5))
