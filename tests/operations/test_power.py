"""What is set of a Mac's power, and what is left as it is."""

from __future__ import annotations

import pytest
from pyinfra.api import OperationError

from facts.power import Power, PowerState
from operations.power import server
from tests.conftest import RunOperation
from tests.fakes import words

SERVED = {"sleep": 0, "disksleep": 0, "autorestart": 1, "womp": 0}


def mac(**settings: int) -> PowerState:
    return PowerState({"AC Power": SERVED | settings})


def portable(battery: int, ac: int) -> PowerState:
    return PowerState({"Battery Power": {"sleep": battery}, "AC Power": {"sleep": ac}})


@pytest.mark.parametrize(
    ("power", "sets", "says"),
    [
        (mac(), [], []),
        (mac(womp=1), [], []),
        (PowerState({"AC Power": {}}), [], []),
        (
            mac(sleep=1, autorestart=0),
            ["sleep=0", "autorestart=1"],
            ["Keep the Mac awake: sleep 1 -> 0, autorestart 0 -> 1"],
        ),
        (mac(disksleep=10), ["disksleep=0"], ["Keep the Mac awake: disksleep 10 -> 0"]),
        # A Mac without a setting is left without it, and what it runs on now is not all that it may run on.
        (portable(1, 0), ["sleep=0"], ["Keep the Mac awake: sleep 0 and 1 -> 0"]),
        (portable(1, 10), ["sleep=0"], ["Keep the Mac awake: sleep 1 and 10 -> 0"]),
    ],
)
def test_what_differs_is_set(
    commands: RunOperation, power: PowerState, sets: list[str], says: list[str]
) -> None:
    got, host = commands(server, {Power: power}, label="a.b")
    assert [words(each) for each in got] == ([["set-power", "a.b", *sets]] if sets else [])
    assert (host.logged, len(host.noops)) == (says, not sets)


def test_unreadable_is_refused(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="POWER=report"):
        commands(server, {Power: None}, executing=False, label="a.b")
