"""What the pulse has noted and said, and what the fact makes of it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.pulse import BootReport, Event, Maintenance, Pulse, PulseState

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
    since = "2026-11-20T08:00:10Z"
    assert process(*SAID) == PulseState("well", reports=REPORTS, since=since)
    assert process(*SAID, noted="no") == PulseState("not looked yet", reports=REPORTS, since=since)


DEAF = 'Docker is not working: curl: (52) \\\\ \\"no\\"; the guest does not answer either'
SILENCE = r'Docker is not working: curl: (52) \ "no"; the guest does not answer either'
STEPPED = "restart Docker in the guest (in the guest docker is inactive)"
AWAY = "Docker is not working: x; the job y is not loaded, perhaps on purpose: run deploys/start.py"


@pytest.mark.parametrize(
    ("said", "kind", "text", "seconds"),
    [
        (DEAF, "silent", SILENCE, None),
        (f"to recover: {STEPPED}; the next step not within 60 s", "step", STEPPED, None),
        ("Docker answers again after 90 s", "back", "Docker answers again", 90),
        (f"{AWAY}; the pulse leaves it alone", "left alone", AWAY, None),
        (
            "gives up: x; nothing has helped; the last fatal line: y; type: pyinfra HOST deploys/recover.py",
            "gave up",
            "x; nothing has helped; the last fatal line: y",
            None,
        ),
    ],
)
def test_events(said: str, kind: str, text: str, seconds: int | None) -> None:
    line = f'time="2026-11-21T08:00:00Z" level=warning msg="{said}" context=pulse'
    assert process(READY, line).events == (Event("2026-11-21T08:00:00Z", kind, text, seconds),)
    assert process(f"x {line}", line.replace("pulse", "colima"), line[9:]).events == ()


def test_since_when_the_log_tells() -> None:
    assert process(*SAID, made=1795350000).since == "2026-11-22T12:20:00Z"
    # The end of a longer one begins within a line.
    assert process("00:00Z level=info msg=cut", *SAID).since == "2026-11-20T08:00:10Z"
    assert process().since is None


@pytest.mark.parametrize("line", [READY.replace("info", "error"), f"x {READY}", READY.replace("74", "-1")])
def test_a_line_that_only_looks_like_a_report_is_none(line: str) -> None:
    assert process(line).reports == ()


@pytest.mark.parametrize(
    ("note", "found"),
    [
        ("", None),
        ("1764362000 1764362000 - - ", Maintenance(1764362000)),
        ("1764362000 1764362000 41 3482", Maintenance(1764362000, 41, 3482 << 20)),
        ("1764362000 1764448400 41 0 denied - 1", Maintenance(1764362000, 41, 0, "denied - 1")),
        ("1764362000 soon 41 0", None),
    ],
)
def test_maintenance(note: str, found: Maintenance | None) -> None:
    assert process(maintenance=note).maintenance == process(maintenance=note, noted="no").maintenance == found


def test_a_log_that_cannot_be_read_is_not_an_empty_one() -> None:
    with pytest.raises(FactProcessError):
        process(noted="no", log=124)
    assert process(noted="no", log="absent") == PulseState("not looked yet")
