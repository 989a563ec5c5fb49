"""What the pulse has logged of a Mac's last days, in words and as it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from facts.pulse import ALONE, BACK, GIVEN_UP, SILENT, STEP, time_of
from operations.util.words import count, span

DAYS = timedelta(days=30)
BOOT, STOPPED = "boot", "stopped"
# In percent of the width: marks of a kind that are as near are drawn as one.
NEAR = 0.5


@dataclass(frozen=True)
class Entry:
    """Something that happened `at` a time. Its `kind` is "boot", "stopped" (on purpose), or an Event's of
    facts.pulse; Docker was silent for `seconds` after a "boot", or before it was "back"."""

    at: datetime
    kind: str
    text: str
    seconds: int = 0

    @property
    def noted(self) -> datetime:
        """When the pulse said so: of a boot, when Docker answered."""
        return self.at + timedelta(seconds=self.seconds) if self.kind == BOOT else self.at


@dataclass(frozen=True)
class Drawn:
    """A mark at `x`, or a bar from there, if it has a `width`; in percent of the whole."""

    kind: str
    x: float
    text: str
    width: float | None = None


@dataclass(frozen=True)
class Timeline:
    """The last DAYS: `entries`, the latest first; `since` when the log tells of them (None: it does not)."""

    since: datetime | None
    known: float  # `since`, in percent of the width
    words: str
    entries: tuple[Entry, ...]
    drawn: tuple[Drawn, ...]


def moment(at: datetime) -> str:
    """A time without its year and zone: 22 Nov 10:04."""
    return f"{at.day} {at:%b %H:%M}"


def boot_words(boot: Mapping[str, Any]) -> str:
    """A BootReport of facts.pulse in words, but for its time."""
    ran, total = ("?" if boot[key] is None else boot[key] for key in ("running", "total"))
    words = f"Docker answered after {boot['seconds']} s; console: {boot['console'] or 'nobody'}; "
    words += f"containers: {ran} of {total} ran"
    return f"{words}; not back: {', '.join(boot['not_back'])}" if boot["not_back"] else words


def _entries(history: Mapping[str, Any], zone: tzinfo | None) -> Iterator[Entry]:
    """All that has happened; what has no time is left out."""
    for event in history["events"]:
        kind, seconds = STOPPED if event["kind"] == ALONE else event["kind"], event["seconds"] or 0
        text = event["text"] + (f" after {span(seconds)}" if kind == BACK else "")
        if at := time_of(event["at"]):
            yield Entry(at.astimezone(zone), kind, text, seconds)
    for boot in history["boots"]:
        if at := time_of(boot["at"]):
            began = at.astimezone(zone) - timedelta(seconds=boot["seconds"])
            yield Entry(began, BOOT, boot_words(boot), boot["seconds"])


def _silences(entries: Iterable[Entry], now: datetime | None) -> Iterator[tuple[str, datetime, datetime]]:
    """When Docker was silent, on purpose or not: until it was back, a boot, or `now` where it still is."""
    kind, begun = SILENT, None
    for each in sorted(entries, key=lambda each: (each.noted, each.kind in (BACK, BOOT))):
        if each.kind not in (BACK, BOOT):
            begun = begun or each.at
            kind = STOPPED if each.kind == STOPPED else kind
            continue
        if each.kind == BACK:
            yield kind, each.at - timedelta(seconds=each.seconds), each.at
        elif begun and begun < each.at:
            yield kind, begun, each.at
        kind, begun = SILENT, None
    if begun and now:
        yield kind, begun, max(begun, now)


def _marks(entries: Iterable[Entry], x: Any) -> Iterator[Drawn]:
    """The marks, those that are near to each other as one."""
    near: dict[tuple[str, int], list[Entry]] = {}
    for each in entries:
        if each.kind in (BOOT, STEP, GIVEN_UP):
            near.setdefault((each.kind, int(x(each.at) / NEAR)), []).append(each)
    for (kind, _), found in near.items():
        times = f", {len(found)} times" if found[1:] else ""
        yield Drawn(kind, x(found[0].at), f"{kind}, {moment(found[0].at)}{times}")


def _words(entries: Sequence[Entry], silent: float) -> str:
    """What happened, in numbers; `silent` is for how many seconds Docker was."""
    kinds = [each.kind for each in entries]
    words = [count(kinds.count(kind), kind) for kind in (BOOT, STEP) if kind in kinds]
    words += [kind for kind in (GIVEN_UP, STOPPED) if kind in kinds]
    words += [f"silent for {span(round(silent))}"] if silent else []
    return ", ".join(words) or "no trouble, no boot"


def timeline(history: Mapping[str, Any] | None, at: datetime, *, silent: bool) -> Timeline:
    """The last DAYS until `at`, in its zone, of a Report's history; `silent`: Docker does not answer now."""
    start = at - DAYS

    def x(moment: datetime) -> float:
        # A Mac's clock may be ahead.
        return round(100 * min(max((moment - start) / DAYS, 0), 1), 2)

    since = time_of(history["since"] or "") if history else None
    if history is None or since is None:
        return Timeline(None, 100, "nothing is known", (), ())
    since = since.astimezone(at.tzinfo)
    entries = [each for each in _entries(history, at.tzinfo) if each.at >= start]
    entries.sort(key=lambda each: each.at)
    bars, lost = [], 0.0
    for kind, first, last in _silences(entries, at if silent else None):
        seconds = (last - max(first, start)).total_seconds()
        lost += seconds if kind == SILENT else 0
        words = f"{kind} for {span(round(seconds))}"
        bars.append(Drawn(kind, x(first), words, round(x(last) - x(first), 2)))
    drawn = (*bars, *_marks(entries, x))
    return Timeline(since, x(since), _words(entries, lost), tuple(reversed(entries)), drawn)
