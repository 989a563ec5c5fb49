"""What is set of a Mac's power, and what is left as it is."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import FunctionCommand, OperationError

from facts.power import Power, PowerState
from operations.power import describe, differing, server
from tests.conftest import RunOperation
from tests.fakes import FakeHost, fake_state, words

SERVED = {"sleep": 0, "disksleep": 0, "autorestart": 1, "womp": 0}


def mac(**settings: int) -> PowerState:
    return PowerState({"AC Power": SERVED | settings})


def portable(**battery: int) -> PowerState:
    ac = {key: value for key, value in SERVED.items() if key != "autorestart"}
    return PowerState({"Battery Power": ac | battery, "AC Power": ac})


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (mac(), {}),
        (mac(womp=1), {}),
        (mac(sleep=1, disksleep=10, autorestart=0), {"sleep": 0, "disksleep": 0, "autorestart": 1}),
        (mac(disksleep=10), {"disksleep": 0}),
        # A Mac without a setting is not told of it.
        (portable(), {}),
        # What it runs on now is not all that it may run on.
        (portable(sleep=1), {"sleep": 0}),
        (PowerState({"AC Power": {}}), {}),
    ],
)
def test_differing(power: PowerState, expected: dict[str, int]) -> None:
    assert differing(power) == expected


def test_describe() -> None:
    assert describe(None) is None
    assert describe(mac()) is None
    described = describe(PowerState({"Battery Power": {"sleep": 1}, "AC Power": {"sleep": 10}}))
    assert described == "Keep the Mac awake: sleep 1 and 10 -> 0"


def test_only_what_differs_is_set(commands: RunOperation) -> None:
    got, host = commands(server, {Power: mac(sleep=1, autorestart=0)})
    assert [words(each) for each in got] == [
        ["/usr/bin/pmset", "-a", "sleep", "0", "autorestart", "1"],
        ["_seen"],
    ]
    assert "sleep 1 -> 0, autorestart 0 -> 1" in host.said


def test_nothing_to_do(commands: RunOperation) -> None:
    got, host = commands(server, {Power: mac()})
    assert got == []
    assert len(host.noops) == 1


def test_unreadable_is_refused(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="POWER=report"):
        commands(server, {Power: None}, executing=False)


@pytest.mark.parametrize(
    ("power", "says"), [(mac(), ""), (None, ""), (mac(sleep=1), "sleep is 1: does a configuration profile")]
)
def test_what_stays_is_mentioned(commands: RunOperation, power: PowerState | None, says: str) -> None:
    got, _ = commands(server, {Power: mac(sleep=1)})
    host: Any = FakeHost({Power: power})
    assert isinstance(got[1], FunctionCommand)
    assert got[1].execute(fake_state(), host, {}) is True
    assert says in host.said
    assert bool(host.logged) is bool(says)
