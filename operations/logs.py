"""
Show what the logs of a profile say, of all hosts: Colima's, Lima's host agent's and the pulse's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import click
import gevent
from paramiko import SSHException
from pyinfra import logger, state
from pyinfra.api import Host

from facts.util import plain
from files import script
from operations.diagnostics import mask
from operations.util.fleet import wants_json
from operations.util.remote import NO_PASSWORD, fail, run

# As files/read-logs has them.
NAMES = ("colima", "ha.stderr", "ha.stdout", "pulse")
ABSENT, UNREADABLE = "absent", "unreadable"

# How long one question waits for something to be written, in seconds: at most so long is it left behind.
WAIT_SECONDS = 5
# The deadline of the question itself is 20 s longer; this is for a Mac that says nothing any more.
SILENT_SECONDS = WAIT_SECONDS + 40


@dataclass(frozen=True)
class Part:
    """What a log says, from one place on: its `lines`, and the `place` where they end.

    The place is "absent" where there is no such log, and "unreadable" where it cannot be read: `why`.
    """

    place: str
    lines: tuple[str, ...] = ()
    why: str = ""

    @property
    def wrong(self) -> bool:
        return self.place == UNREADABLE


@dataclass(frozen=True)
class Logs:
    """The logs of one host's profile; `secrets` are what must not be shown."""

    host: Host
    user: str
    profile: str
    label: str
    log_path: str
    secrets: Sequence[str] = field(default=(), repr=False)

    def read(self, count: int, seconds: int = 0, after: Iterable[Part] = ()) -> tuple[Part, ...]:
        """The last `count` lines of each; or, for what an earlier look has seen, what was written since then,
        awaited for `seconds` at most.

        Raises ValueError, with a reason in words, where they cannot be read.
        """
        places = [part.place for part in after]
        command = script(
            "facts/logs", self.user, self.profile, self.label, self.log_path, count, seconds, *places
        )
        try:
            # Not even with -vvv is shown what has not been masked.
            ok, output = run(state, self.host, command, hidden=True, _timeout=SILENT_SECONDS)
        except EOFError:
            raise ValueError(NO_PASSWORD) from None
        except (OSError, SSHException) as error:
            raise ValueError(f"no answer: {str(error) or type(error).__name__}") from error
        if not ok:
            raise ValueError(mask(" ".join(output), self.secrets) or "no answer")
        return tuple(
            Part(part.place, tuple(masked(part.lines, self.secrets)), part.why) for part in parse(output)
        )


def parse(output: Sequence[str]) -> list[Part]:
    """What files/read-logs printed, a Part for each of NAMES. Raises ValueError where it is not whole.

    What sudo may say besides is passed over.
    """
    found: list[tuple[str, str, list[str]]] = []
    for line in output:
        if line.startswith("|") and found:
            found[-1][2].append(line[1:])
        elif match := re.fullmatch(r"\[([^]]+)\](?: (.*))?", line):
            found.append((match[1], match[2] or "", []))
    if len(found) != len(NAMES) or "end" not in output:
        raise ValueError("the answer is incomplete")
    return [Part(place, tuple(lines), why) for place, why, lines in found]


def masked(lines: Sequence[str], secrets: Iterable[str]) -> list[str]:
    """The lines without secrets."""
    return mask("\n".join(lines), secrets).split("\n") if lines else []


def rows(part: Part, prefix: str) -> list[str]:
    """The lines for a terminal, which obeys none of what they may hold."""
    return [f"{prefix} | {plain(line)}" for line in part.lines]


def prefixes(hosts: Sequence[str]) -> dict[tuple[str, str], str]:
    """What stands before each line, by host and log; with one host the log's name alone."""
    widest = max(map(len, hosts), default=0)
    name = max(map(len, NAMES))
    return {
        (host, log): f"{log:<{name}}" if len(hosts) == 1 else f"{host:<{widest}} {log:<{name}}"
        for host in hosts
        for log in NAMES
    }


def as_json(seen: Mapping[str, tuple[Part, ...] | None]) -> str:
    """All hosts' lines by log; None for a log, or a host, that cannot be read."""
    hosts = {
        host: None
        if parts is None
        else {name: None if part.wrong else list(part.lines) for name, part in zip(NAMES, parts, strict=True)}
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


def _follow(logs: Logs, parts: tuple[Part, ...], prefix: Mapping[tuple[str, str], str]) -> NoReturn:
    """Show what the logs gain, for ever. Raises ValueError when they cannot be read any more."""
    while True:
        parts = logs.read(1, WAIT_SECONDS, parts)
        for name, part in zip(NAMES, parts, strict=True):
            _show(rows(part, prefix[logs.host.name, name]))


class Reading:
    """The logs of all hosts of a run: each is read in its turn, and all are shown at the end."""

    def __init__(self) -> None:
        self._seen: dict[Host, tuple[Logs, tuple[Part, ...] | None]] = {}

    def read(self, logs: Logs, count: int) -> None:
        """Read the last `count` lines of each log; what cannot be read is said."""
        parts = None
        try:
            parts = logs.read(count)
        except ValueError as error:
            fail(logs.host, f"The logs cannot be read: {error}")
        for name, part in zip(NAMES, parts or (), strict=False):
            if part.wrong:
                fail(logs.host, f"The log {name} cannot be read: {part.why}")
            elif part.place == ABSENT and not wants_json():
                logs.host.log(f"There is no log {name}", logger.warning)
        self._seen[logs.host] = logs, parts

    def show(self, *, follow: bool) -> int:
        """Show what was read, host by host; with `follow` go on with what comes, until Ctrl-C.

        Returns the exit status: 1 where something cannot be read.
        """
        # In the inventory's order, not in that of the answers.
        seen = [self._seen[host] for host in state.inventory if host in self._seen]
        prefix = prefixes([logs.host.name for logs, _ in seen])
        wrong = any(parts is None or any(part.wrong for part in parts) for _, parts in seen)
        if wants_json():
            _show([as_json({logs.host.name: parts for logs, parts in seen})])
        else:
            for logs, parts in seen:
                for name, part in zip(NAMES, parts or (), strict=False):
                    _show(rows(part, prefix[logs.host.name, name]))
        if follow:
            answering = [(logs, parts) for logs, parts in seen if parts is not None]
            wrong |= _follow_all(answering, prefix)
        return int(wrong or bool(state.failed_hosts))


def _follow_all(
    hosts: Iterable[tuple[Logs, tuple[Part, ...]]], prefix: Mapping[tuple[str, str], str]
) -> bool:
    """Follow the logs of all hosts until Ctrl-C, or until none answers. Returns whether one did not."""

    def follow(logs: Logs, parts: tuple[Part, ...]) -> bool:
        try:
            _follow(logs, parts, prefix)
        except ValueError as error:
            return fail(logs.host, f"The logs cannot be followed any more: {error}")

    greenlets = [gevent.spawn(follow, logs, parts) for logs, parts in hosts]
    # In the place of pyinfra's own answer to Ctrl-C, which would not end what still waits.
    before = signal.signal(signal.SIGINT, lambda *_: gevent.killall(greenlets, block=False))
    try:
        gevent.joinall(greenlets)
    finally:
        signal.signal(signal.SIGINT, before)
    return any(greenlet.value is False for greenlet in greenlets)


# Of this run.
READING = Reading()
