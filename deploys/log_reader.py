"""The logs of all hosts of a run: read, shown, and followed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import click
import gevent
from pyinfra import logger
from pyinfra.api import Host
from pyinfra.context import ctx_config, ctx_host

from deploys.diagnostics import mask, secrets_of
from facts.logs import ABSENT, NAMES, LogLines, Logs
from facts.util import plain
from operations.util import internals
from operations.util.commands import ask
from settings import Settings

# How long one question waits for something to be written, in seconds: at most so long is it left behind.
WAIT_SECONDS = 5
# The deadline of the question itself is 20 s longer; this is for a Mac that says nothing any more.
SILENT_SECONDS = WAIT_SECONDS + 40

NAME_WIDTH = max(map(len, NAMES))

Parts = tuple[LogLines, ...]


@dataclass(frozen=True)
class Reader:
    """Reads the logs of one host's profile, without secrets."""

    host: Host
    settings: Settings

    def read(self, count: int, seconds: int = 0, after: Iterable[LogLines] = ()) -> Parts | None:
        """The last `count` lines of each log; or what was written since `after`, waiting `seconds` at most.

        None, having said why, where they cannot be read.
        """
        settings = self.settings
        with ctx_host.use(self.host):
            found = ask(
                Logs,
                user=settings.homebrew_user,
                profile=settings.colima_profile,
                label=settings.label,
                log=settings.log_path,
                count=count,
                seconds=seconds,
                places=tuple(part.place for part in after),
                _timeout=SILENT_SECONDS,
            )
        secrets = secrets_of(settings)
        return found and tuple(replace(part, lines=masked(part.lines, secrets)) for part in found)


def masked(lines: Sequence[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """The lines without secrets."""
    return tuple(mask("\n".join(lines), secrets).split("\n")) if lines else ()


def rows(host: str, parts: Parts | None, width: int) -> list[str]:
    """The lines of a host for a terminal, which obeys none of what they may hold.

    Before each stands its log's name, and the host's in `width` characters; 0: without.
    """
    where = f"{host:<{width}} " if width else ""
    named = zip(NAMES, parts or (), strict=False)
    return [f"{where}{name:<{NAME_WIDTH}} | {plain(line)}" for name, part in named for line in part.lines]


def as_json(seen: Mapping[str, Parts | None]) -> str:
    """All hosts' lines by log; None for a log, or a host, that cannot be read."""
    hosts = {
        host: parts
        and {name: None if part.wrong else part.lines for name, part in zip(NAMES, parts, strict=True)}
        for host, parts in seen.items()
    }
    return json.dumps({"hosts": hosts}, indent=4)


def _show(lines: Iterable[str]) -> None:
    """Print lines. Raises SystemExit where nobody reads them any more."""
    for line in lines:
        # What pyinfra's progress has left on the terminal's line goes first.
        sys.stderr.flush()
        try:
            click.echo(line)
        except BrokenPipeError:
            # Python would complain of what it cannot flush at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None


# What was read, by the hosts' names.
_read: dict[str, tuple[Reader, Parts | None]] = {}


def read(reader: Reader) -> None:
    """Read the last lines of each log; say what is missing, or cannot be read."""
    parts = reader.read(reader.settings.lines)
    for name, part in zip(NAMES, parts or (), strict=False):
        if part.wrong:
            internals.fail(reader.host, f"The log {name} cannot be read: {part.why}")
        elif part.place == ABSENT and not internals.wants_json():
            reader.host.log(f"There is no log {name}", logger.warning)
    _read[reader.host.name] = reader, parts


def show() -> int:
    """Show what was read, host by host; where that was asked for go on with what comes, until Ctrl-C.

    Returns the exit status: 1 where something cannot be read, or a host was refused or not reached.
    """
    internals.say_refusals()
    names = internals.host_names()
    # In the inventory's order, not in that of the answers.
    seen = {name: _read[name] for name in names if name in _read}
    width = max(map(len, seen)) if len(seen) > 1 else 0
    whole = len(seen) == len(names) and all(
        parts is not None and not any(part.wrong for part in parts) for _, parts in seen.values()
    )
    if internals.wants_json():
        _show([as_json({name: parts for name, (_, parts) in seen.items()})])
    for name, (_, parts) in seen.items():
        if not internals.wants_json():
            _show(rows(name, parts, width))
    if any(reader.settings.follow for reader, _ in seen.values()):
        whole &= _follow([(reader, parts) for reader, parts in seen.values() if parts is not None], width)
    return 0 if whole else 1


def _follow(hosts: Iterable[tuple[Reader, Parts]], width: int) -> bool:
    """Follow the logs of all hosts until Ctrl-C, or until none answers. Returns whether all did."""
    config = ctx_config.get()

    def follow(reader: Reader, parts: Parts | None) -> bool:
        with ctx_config.use(config):
            while (parts := reader.read(1, WAIT_SECONDS, parts or ())) is not None:
                _show(rows(reader.host.name, parts, width))
            reader.host.log_styled("The logs cannot be followed any more", fg="red", log_func=logger.error)
            return False

    greenlets = [gevent.spawn(follow, reader, parts) for reader, parts in hosts]
    # In the place of pyinfra's own answer to Ctrl-C, which would not end what still waits.
    before = signal.signal(signal.SIGINT, lambda *_: gevent.killall(greenlets, block=False))
    try:
        gevent.joinall(greenlets)
    finally:
        signal.signal(signal.SIGINT, before)
    return all(greenlet.value is not False for greenlet in greenlets)
