"""Reports on hosts as one HTML page: what is wrong, and a row a host with its last days. It needs no network
and no script."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pyinfra import inventory
from pyinfra.api import DeployError

from deploys.status_findings import HEALTHY, is_full
from deploys.status_report import Report
from deploys.status_table import COLOURS, details, minded, next_command
from deploys.status_timeline import DAYS, Timeline, moment, timeline
from facts.pulse import time_of
from operations.util import terminal
from operations.util.words import count, gib
from settings import Settings

# How many lines a host's list of what happened has at most.
MOST = 100
# What is no text in HTML, and what turns the text around it.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _shown(value: Any) -> Any:
    return _UNSEEN.sub("?", value) if type(value) is str else value


def _coded(text: str) -> Markup:
    """The text with what stands in backticks as <code>."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(_shown(text)))))


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters["coded"] = _coded


@dataclass(frozen=True)
class Host:
    """A host's report, and what follows from it: since when Docker is up, and when the Mac booted last."""

    report: Report
    up: datetime | None
    booted: datetime | None
    timeline: Timeline


def _local(text: str, at: datetime) -> str:
    """The text with its times in the zone of `at`, as all others are."""

    def said(match: re.Match[str]) -> str:
        found = time_of(match[0])
        return moment(found.astimezone(at.tzinfo)) if found else match[0]

    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said, text)


def _host(report: Report, at: datetime) -> Host:
    docker, boot = report.docker or {"seconds": None, "silence": None}, report.last_boot
    up = None if docker["seconds"] is None else at - timedelta(seconds=docker["seconds"])
    booted = None
    if boot and boot["ago"] is not None:
        booted = at - timedelta(seconds=boot["ago"] + boot["seconds"])
    days = timeline(report.history, at, silent=docker["silence"] is not None)
    return Host(report, up, booted, days)


def _troubled(reports: Sequence[Report]) -> list[tuple[list[Report], list[tuple[str, str | None]]]]:
    """Those that are not healthy, together where the same is wrong: with what is, and what to type next."""
    alike: dict[Any, list[Report]] = {}
    for each in reports:
        if not each.healthy:
            alike.setdefault((each.state, each.faults), []).append(each)
    found = []
    for group in alike.values():
        limit = [each.host for each in group] if len(reports) > 1 else []
        found.append((group, [(each.text, next_command(each, limit)) for each in group[0].faults]))
    return found


def page(reports: Sequence[Report], installers: Sequence[str], at: datetime) -> str:
    """The page, in HTML: how the hosts are `at` a time, in whose zone all times are. A pure function.

    `installers` are the faults of the files in containers/.
    """
    states = Counter(each.state for each in reports)
    more = details(reports[0]) if len(reports) == 1 else {}
    weeks = [timedelta(weeks=number) for number in (4, 3, 2, 1)]
    return TEMPLATES.get_template("status_page.html.j2").render(
        hosts=[_host(each, at) for each in reports],
        headline=f"{states[HEALTHY]} of {count(len(reports), 'Mac')} healthy",
        states=[(state, states[state], colour) for state, colour in COLOURS.items() if states[state]],
        troubled=_troubled(reports),
        minded=minded(reports),
        installers=installers,
        details={key: _local(text, at) for key, text in more.items()},
        at=at,
        zone="UTC" if not at.utcoffset() else f"{at.tzname()} (UTC{at.isoformat()[-6:]})",
        ticks=[(at - ago, round(100 * (1 - ago / DAYS), 2)) for ago in weeks],
        days=DAYS.days,
        most=MOST,
        colours=COLOURS,
        moment=moment,
        gib=gib,
        is_full=is_full,
    )


def asked_for() -> Path | None:
    """Where `--data html=..` wants the page; None where it is not asked for.

    Raises DeployError where it cannot be written.
    """
    settings, faults = Settings.parse({"html": inventory.get_override_data().get("html")})
    wrong = next((str(fault) for fault in faults if fault.key == "HTML"), "")
    path = Path(settings.html)
    if settings.html and not path.parent.is_dir():
        wrong = f"HTML: {settings.html!r}; there is no directory {path.parent}"
    elif settings.html and (path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK)):
        wrong = f"HTML: {settings.html!r}; it cannot be written there"
    if wrong:
        raise DeployError(wrong)
    return path if settings.html else None


def write(path: Path | None, reports: Sequence[Report], installers: Sequence[str]) -> None:
    """Write the page, if it is asked for, whole or not at all, and say where it is.

    Raises DeployError where that fails.
    """
    if path is None:
        return
    text = page(reports, installers, datetime.now().astimezone())
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise DeployError(f"{path} cannot be written: {error}") from error
    terminal.echo(f"The page is {path.resolve()}", err=True)
