"""What the pulse, the daemon that keeps Docker answering between deploys, has noted and logged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record, read_lines
from files import script

# The words of PulseState.state.
UNSEEN, WELL, MISSING, BACKING_OFF, GAVE_UP, LEFT_ALONE = (
    "not looked yet",
    "well",
    "missing",
    "backing off",
    "gave up",
    "left alone",
)

# As files/lib/report writes it.
READY = re.compile(
    r'time="(?P<at>[^"]+)" level=info msg="ready (?P<seconds>\d+) s after boot; '
    r'console: (?P<console>[^;"]+); containers: (?P<running>\d+|\?) of (?P<total>\d+|\?) run'
    r'(?:; not back: (?P<not_back>[^"]+))?" context=pulse'
)

# The words of Event.kind, each with what the pulse says of it (files/daemons/pulse); the first that fits.
SILENT, ALONE, STEP, GIVEN_UP, BACK = "silent", "left alone", "step", "gave up", "back"
KINDS = (
    (STEP, re.compile(r"to recover: (?P<text>.+); the next step not within \d+ s")),
    (GIVEN_UP, re.compile(r"gives up: (?P<text>.+?)(?:; type: .*)?")),
    (BACK, re.compile(r"(?P<text>Docker answers again) after (?P<seconds>\d+) s")),
    (ALONE, re.compile(r"(?P<text>Docker is not working: .+); the pulse leaves it alone")),
    (SILENT, re.compile(r"(?P<text>Docker is not working: .+)")),
)
LINE = re.compile(
    r'time="(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)" level=\w+ msg="(?P<text>.*)" context=pulse'
)
TIME = "%Y-%m-%dT%H:%M:%SZ"


def time_of(text: str) -> datetime | None:
    """A time of the log; None for what is none."""
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def log_path(label: str) -> str:
    """Where the pulse of the job `label` logs."""
    return f"/var/log/{label}.log"


@dataclass(frozen=True)
class BootReport(Record):
    """A boot: `at` is when (UTC) Docker answered, `seconds` after the boot; who was at the `console` (None:
    nobody); how many containers ran of how many there were (None: unknown); `not_back` are those of
    installers that did not, as far as the report names them."""

    at: str
    seconds: int
    console: str | None
    running: int | None
    total: int | None
    not_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event(Record):
    """What the pulse has seen or done `at` a time (UTC), in words: Docker was "silent", or so on purpose and
    "left alone"; it took a "step", or "gave up"; or Docker was "back", after so many `seconds`."""

    at: str
    kind: str
    text: str
    seconds: int | None = None


@dataclass(frozen=True)
class Maintenance(Record):
    """Docker's last maintenance by the pulse: `at` is when, in seconds since 1970, `seconds` how long it
    took, and `given_back` how many bytes less the VM's disks then took of the Mac. With `seconds` None there
    was none yet, and `at` is since when there is to be. `trouble` is why one has failed since."""

    at: int
    seconds: int | None = None
    given_back: int | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class PulseState(Record):
    """The pulse of a job since the boot.

    `state` is "well", "missing" (Docker, for `misses` looks in a row), "backing off" (a step was taken, and
    Docker does not answer yet), "gave up", "left alone" (the job was unloaded or disabled on purpose), or
    "not looked yet". `reason` is what it said last while not all is well, `step` the last one it took:
    kick, docker, job or hard. `reports` are the boots in its log and `events` the trouble, the latest last;
    they tell all that was `since` then (UTC; None: the log is empty, and its age unknown). `maintenance` is
    None where none was ever to be.
    """

    state: str
    misses: int = 0
    reason: str | None = None
    step: str | None = None
    reports: tuple[BootReport, ...] = ()
    events: tuple[Event, ...] = ()
    since: str | None = None
    maintenance: Maintenance | None = None


def _count(word: str) -> int | None:
    return int(word) if word.isdecimal() else None


def _report(line: str) -> BootReport | None:
    match = READY.fullmatch(line)
    if match is None:
        return None
    console = match["console"]
    return BootReport(
        match["at"],
        int(match["seconds"]),
        None if console == "nobody" else console,
        _count(match["running"]),
        _count(match["total"]),
        tuple(match["not_back"].split(", ")) if match["not_back"] else (),
    )


def _event(line: str) -> Event | None:
    match = LINE.fullmatch(line)
    if match is None:
        return None
    said = re.sub(r'\\([\\"])', r"\1", match["text"])
    for kind, pattern in KINDS:
        if found := pattern.fullmatch(said):
            seconds = int(found["seconds"]) if kind == BACK else None
            return Event(match["at"], kind, found["text"], seconds)
    return None


def _since(made: int | None, log: list[str]) -> str | None:
    """Since when the log tells: since it was made, or else since its first whole line."""
    if made:
        return datetime.fromtimestamp(made, timezone.utc).strftime(TIME)
    return next((match["at"] for match in map(LINE.fullmatch, log) if match), None)


def _maintenance(note: str) -> Maintenance | None:
    """What a note of files/daemons/pulse says; None when it is none."""
    match = re.fullmatch(r"(\d{10}) \d{10} (\d+|-) (\d+|-) ?(.*)", note)
    if match is None:
        return None
    mib = _count(match[3])
    return Maintenance(int(match[1]), _count(match[2]), mib and mib << 20, match[4] or None)


def _state(values: dict[str, str], misses: int) -> str:
    if values.get("gave_up") == "yes":
        return GAVE_UP
    if "away" in values.get("said", "").split():
        return LEFT_ALONE
    if values.get("step"):
        return BACKING_OFF
    if misses:
        return MISSING
    return WELL if values.get("ready") == "yes" else UNSEEN


class Pulse(FactBase["PulseState | None"]):
    """
    Returns the state of a job's pulse, the boots and the trouble it has reported; None when unreadable.
    Whether the pulse itself runs launchd knows: `LaunchdJob` of its own label.

    + label: the label of the job that it looks after

    .. code:: python

        PulseState(state="well", reports=(BootReport("2026-11-22T10:04:37Z", 74, None, 2, 3),), ...)
    """

    def command(self, label: str) -> StringCommand:
        return script("facts/pulse", label)

    def process(self, output: list[str]) -> PulseState:
        lines = read_lines(output)
        values = lines.values
        if lines.required("log") not in ("0", "absent"):
            raise FactProcessError("the pulse's log cannot be read")
        noted = values if lines.required("noted") == "yes" else {}
        misses = (lines.number("misses") or 0) if noted else 0
        return PulseState(
            _state(noted, misses),
            misses,
            (noted.get("last") or None) if noted.get("said") else None,
            noted.get("step") or None,
            tuple(filter(None, map(_report, lines.raw))),
            tuple(filter(None, map(_event, lines.raw))),
            _since(lines.number("made"), lines.raw),
            _maintenance(values.get("maintenance", "")),
        )
