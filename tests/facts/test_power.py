"""What pmset says of each source of power."""

from __future__ import annotations

import pytest

from facts.power import Power, PowerState

PORTABLE = [
    "|Battery Power:",
    "| Sleep On Power Button 1",
    "| sleep                1",
    "| disksleep            10",
    "| autorestart          0",
    "|AC Power:",
    "| Sleep On Power Button 1",
    "| sleep                0 (sleep prevented by caffeinate, powerd)",
    "| disksleep            10",
    "| hibernatefile        /var/vm/sleepimage",
    "|Capabilities for AC Power:",
    "| displaysleep",
    "| disksleep",
    "| sleep",
    "| Sleep On Power Button",
    "end",
]


def test_power() -> None:
    """What the Mac has not is left out, although a source has a value for it."""
    assert Power().process(PORTABLE) == PowerState(
        {
            "Battery Power": {"Sleep On Power Button": 1, "sleep": 1, "disksleep": 10},
            "AC Power": {"Sleep On Power Button": 1, "sleep": 0, "disksleep": 10},
        }
    )


@pytest.mark.parametrize("output", [["end"], [*PORTABLE[:10], "end"], [*PORTABLE[10:-1], "end"]])
def test_half_an_answer_is_none(output: list[str]) -> None:
    assert Power().process(output) is None
