"""What is made of the pulse's log: when Docker was silent, and what is drawn and said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from deploys.status_timeline import Timeline, timeline
from facts.pulse import ALONE, BACK, GIVEN_UP, SILENT, STEP, BootReport, Event
from tests.deploys.pages import AT, ago, history


def drawn(timeline: Timeline) -> list[tuple[str, float, float | None]]:
    return [(each.kind, each.x, each.width) for each in timeline.drawn]


def event(kind: str, days: float, seconds: int | None = None) -> Event:
    return Event(ago(days=days), kind, "why", seconds)


def boot(days: float, seconds: int = 0) -> BootReport:
    return BootReport(ago(days=days), seconds, None, 1, 2, ("web",))


def test_what_was_seen_of_a_mac() -> None:
    found = timeline(
        history(27, event(SILENT, 15), event(STEP, 15), event(BACK, 12, 3 * 86400), boots=(boot(6, 60),)),
        AT,
        silent=False,
    )
    assert (found.known, found.words) == (10.0, "1 boot, 1 step, silent for 3 d")
    assert drawn(found) == [("silent", 50.0, 10.0), ("step", 50.0, None), ("boot", 80.0, None)]
    assert [(each.kind, each.text) for each in found.entries] == [
        ("boot", "Docker answered after 60 s; console: nobody; containers: 1 of 2 ran; not back: web"),
        ("back", "why after 3 d"),
        ("step", "why"),
        ("silent", "why"),
    ]
    assert found.entries[0].at == AT - timedelta(days=6, seconds=60)


@pytest.mark.parametrize(
    ("events", "boots", "silent", "bars"),
    [
        # It lasts, or its end was not noted.
        ((event(SILENT, 3),), (), True, [("silent", 90.0, 10.0)]),
        ((event(SILENT, 3),), (), False, []),
        ((event(SILENT, 6), event(GIVEN_UP, 5)), (boot(3),), False, [("silent", 80.0, 10.0)]),
        # On purpose.
        ((event(ALONE, 3),), (), True, [("stopped", 90.0, 10.0)]),
        ((event(ALONE, 6), event(BACK, 3, 259200)), (), False, [("stopped", 80.0, 10.0)]),
        # While a Mac boots Docker is silent, and the boot says how long.
        ((event(SILENT, 3),), (boot(3, 600),), True, []),
        # It began before all that is drawn.
        ((event(BACK, 27, 40 * 86400),), (), False, [("silent", 0.0, 10.0)]),
    ],
)
def test_silence(
    events: tuple[Event, ...],
    boots: tuple[BootReport, ...],
    silent: bool,
    bars: list[tuple[str, float, float]],
) -> None:
    found = timeline(history(60, *events, boots=boots), AT, silent=silent)
    assert [each for each in drawn(found) if each[2] is not None] == bars


def test_what_was_before_all_that_is_drawn_is_not_counted() -> None:
    assert timeline(history(60, event(BACK, 27, 40 * 86400)), AT, silent=False).words == "silent for 3 d"


def test_what_is_near_is_drawn_as_one() -> None:
    found = timeline(history(60, *(event(STEP, 3 - hours / 24) for hours in range(3))), AT, silent=False)
    assert [each.text for each in found.drawn] == ["step, 25 Nov 21:41, 3 times"]


def test_nothing_to_tell() -> None:
    assert timeline(history(60), AT, silent=False).words == "no trouble, no boot"
    assert timeline(history(60, event(STEP, 31)), AT, silent=False).entries == ()
    for unknown in (None, history(60) | {"since": None}):
        assert timeline(unknown, AT, silent=True).words == "nothing is known"


def test_a_clock_that_is_ahead_and_a_time_that_is_none() -> None:
    odd = replace(event(STEP, 1), at="2026-99-99T00:00:00Z")
    found = timeline(history(60, event(STEP, -1), odd), AT, silent=False)
    assert drawn(found) == [("step", 100.0, None)]
