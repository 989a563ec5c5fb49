"""What the pulse has noted and said, and what the fact makes of it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.pulse import BootReport, Pulse, PulseState

READY = (
    'time="2026-11-20T08:00:10Z" level=info msg="ready 74 s after boot; console: nobody; '
    'containers: 2 of 3 run" context=pulse'
)
LATER = (
    'time="2026-11-22T08:00:10Z" level=info msg="ready 131 s after boot; console: alice; '
    'containers: ? of ? run; not back: web, a?b, 2 more" context=pulse'
)
SAID = [READY, 'time="2026-11-21T08:00:00Z" level=warning msg="no answer" context=pulse', LATER]
REPORTS = (
    BootReport("2026-11-20T08:00:10Z", 74, None, 2, 3),
    BootReport("2026-11-22T08:00:10Z", 131, "alice", None, None, ("web", "a?b", "2 more")),
)


def process(*log: str, **values: object) -> PulseState:
    """What becomes of what files/facts/pulse prints."""
    state = {"noted": "yes", "log": 0, "ready": "yes", "misses": 0} | values
    return Pulse().process(
        [*(f"{key}={value}" for key, value in state.items()), *map("|{}".format, log), "end"]
    )


@pytest.mark.parametrize(
    ("values", "state", "reason"),
    [
        ({"last": "Docker answers again after 90 s"}, "well", None),
        ({"ready": ""}, "not looked yet", None),
        ({"misses": 2, "last": "of another time"}, "missing", None),
        ({"misses": 4, "said": "starting", "last": "still", "ready": ""}, "missing", "still"),
        ({"misses": 4, "said": "vm", "last": "stops Colima", "step": "job"}, "backing off", "stops Colima"),
        ({"misses": 9, "said": "vm", "last": "no", "step": "hard", "gave_up": "yes"}, "gave up", "no"),
        ({"misses": 9, "said": "vm away", "last": "unloaded"}, "left alone", "unloaded"),
    ],
)
def test_state(values: dict[str, object], state: str, reason: str | None) -> None:
    found = process(**values)
    assert (found.state, found.reason) == (state, reason)
    assert (found.misses, found.step) == (values.get("misses", 0), values.get("step"))


def test_boots_also_before_the_first_look_of_one() -> None:
    assert process(*SAID) == PulseState("well", reports=REPORTS)
    assert process(*SAID, noted="no") == PulseState("not looked yet", reports=REPORTS)


@pytest.mark.parametrize("line", [READY.replace("info", "error"), f"x {READY}", READY.replace("74", "-1")])
def test_a_line_that_only_looks_like_a_report_is_none(line: str) -> None:
    assert process(line).reports == ()


def test_a_log_that_cannot_be_read_is_not_an_empty_one() -> None:
    with pytest.raises(FactProcessError):
        process(noted="no", log=124)
    assert process(noted="no", log="absent") == PulseState("not looked yet")
