"""What the pulse has noted and said, and what the fact makes of it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.pulse import BootReport, Pulse, PulseState

SAID = [
    'time="2026-11-20T08:00:10Z" level=info msg="ready 74 s after boot; console: nobody; '
    'containers: 2 of 3 run" context=pulse',
    'time="2026-11-21T08:00:00Z" level=warning msg="Docker does not answer" context=pulse',
    'time="2026-11-22T08:00:10Z" level=info msg="ready 131 s after boot; console: alice; '
    'containers: ? of ? run" context=pulse',
]
REPORTS = (
    BootReport("2026-11-20T08:00:10Z", 74, None, 2, 3),
    BootReport("2026-11-22T08:00:10Z", 131, "alice", None, None),
)


def answer(*log: str, noted: bool = True, **values: object) -> list[str]:
    """What files/facts/pulse prints."""
    state = {"ready": "yes", "misses": 0, "said": "", "last": "", "step": "", "gave_up": ""} | values
    lines = [f"{key}={value}" for key, value in state.items()] if noted else []
    return [
        f"noted={'yes' if noted else 'no'}",
        *lines,
        "log=0",
        *(f"|{line}" for line in log or SAID),
        "end",
    ]


def test_what_did_not_come_back() -> None:
    line = SAID[0].replace("of 3 run", "of 9 run; not back: web, a?b, db.1, 2 more")
    (report,) = Pulse().process(answer(line)).reports
    assert (report.running, report.total, report.not_back) == (2, 9, ("web", "a?b", "db.1", "2 more"))
    assert Pulse().process(answer(line, AGAIN)).answered_at == "2026-11-22T09:00:00Z"
    assert Pulse().process(answer(line)).answered_at == report.at


AGAIN = 'time="2026-11-22T09:00:00Z" level=info msg="Docker answers again after 90 s" context=pulse'
SILENT = (
    'time="2026-11-22T10:00:00Z" level=warning msg="Docker answers again after 90 s, it says" context=pulse'
)


@pytest.mark.parametrize(
    ("log", "moment"),
    [
        ((*SAID, AGAIN, SILENT), "2026-11-22T09:00:00Z"),
        ((AGAIN, *SAID), "2026-11-22T08:00:10Z"),
        ((SAID[1], "garbage"), None),
    ],
)
def test_since_when_docker_answers(log: tuple[str, ...], moment: str | None) -> None:
    assert Pulse().process(answer(*log)).answered_at == moment


@pytest.mark.parametrize(
    ("values", "state", "reason"),
    [
        ({"last": "Docker answers again after 90 s"}, "well", None),
        ({"ready": ""}, "not looked yet", None),
        ({"misses": 2, "last": "of another time"}, "missing", None),
        (
            {"misses": 4, "said": "starting", "last": "still starting", "ready": ""},
            "missing",
            "still starting",
        ),
        ({"misses": 4, "said": "vm", "last": "stops Colima", "step": "job"}, "backing off", "stops Colima"),
        (
            {"misses": 9, "said": "vm", "last": "gives up", "step": "hard", "gave_up": "yes"},
            "gave up",
            "gives up",
        ),
        ({"misses": 9, "said": "vm away", "last": "unloaded"}, "left alone", "unloaded"),
    ],
)
def test_state(values: dict[str, object], state: str, reason: str | None) -> None:
    found = Pulse().process(answer(**values))  # type: ignore[arg-type]
    assert (found.state, found.reason) == (state, reason)
    assert found.misses == values.get("misses", 0)
    assert found.step == (values.get("step") or None)


def test_boots_and_the_last_lines() -> None:
    found = Pulse().process(answer())
    assert (found.reports, found.log) == (REPORTS, tuple(SAID))
    lines = [f"line {number}" for number in range(50)]
    assert Pulse().process(answer(*SAID, *lines)) == PulseState(
        "well", reports=REPORTS, log=tuple(lines[30:])
    )


def test_before_the_first_look_of_a_boot_the_log_is_read() -> None:
    found = Pulse().process(answer(noted=False))
    assert found == PulseState("not looked yet", reports=REPORTS, log=tuple(SAID))


def test_a_line_that_only_looks_like_a_report_is_none() -> None:
    forged = SAID[0].replace("level=info", "level=error"), f"x {SAID[0]}", SAID[0].replace("74", "-1")
    assert Pulse().process(answer(*forged)).reports == ()


def test_a_log_that_cannot_be_read_is_not_an_empty_one() -> None:
    with pytest.raises(FactProcessError):
        Pulse().process(["noted=no", "log=124", "end"])
    assert Pulse().process(["noted=no", "log=absent", "end"]) == PulseState("not looked yet")
