"""What a run came to, a line a host, at its very end: the tables of pyinfra have a line an operation."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from dataclasses import dataclass

import click
from pyinfra import host, logger, state

from operations.util import internals, terminal
from operations.util.commands import explained

UNCHANGED, CHANGED, WOULD_CHANGE = "unchanged", "changed", "would change"
REFUSED, FAILED, UNREACHABLE = "refused", "failed", "unreachable"
UNTOUCHED, UNFINISHED = "nothing was touched", "not finished"

NOT_LOOKED_AT = frozenset((REFUSED, FAILED, UNREACHABLE, UNTOUCHED, UNFINISHED))
COLOURS = {UNCHANGED: "cyan", CHANGED: "green", WOULD_CHANGE: "green"}


@dataclass(frozen=True)
class Outcome:
    """What a run came to on one host, and why, or what changed there."""

    host: str
    what: str
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {'; '.join(self.why)}" if self.why else self.what


def _executed(found: internals.Progress) -> Outcome:
    name = found.host.name
    complete = [(operation, meta) for operation, meta in found.operations if meta.is_complete()]
    # With --no-wait pyinfra forgets to fail the host.
    if found.failed or any(meta.did_error() for _, meta in complete):
        return Outcome(name, FAILED, (internals.failure(found.host) or "see above",))
    if not complete:
        return Outcome(name, UNTOUCHED)
    done = explained(name, executing=True)
    if len(complete) < len(found.operations):
        return Outcome(name, UNFINISHED, done)
    changed = any(meta.did_change() for _, meta in complete)
    return Outcome(name, CHANGED, done) if changed else Outcome(name, UNCHANGED)


def _forecast(found: internals.Progress) -> Outcome:
    name = found.host.name
    if found.failed:
        return Outcome(name, FAILED, (internals.failure(found.host) or "see above",))
    if not internals.is_read() or name not in _prepared:
        return Outcome(name, UNTOUCHED)
    if any(meta.will_change for _, meta in found.operations):
        return Outcome(name, WOULD_CHANGE, explained(name, executing=False))
    return Outcome(name, UNCHANGED)


def outcome(found: internals.Progress) -> Outcome:
    """What this run has come to on a host so far."""
    name = found.host.name
    if not found.connected:
        return Outcome(name, UNREACHABLE)
    if internals.failure(found.host) == internals.LOST:
        return Outcome(name, FAILED, (internals.LOST,))
    # What refuses while pyinfra prepares may come after operations that change something.
    if (why := internals.refusal(found.host)) and not internals.has_changed(found.host):
        return Outcome(name, REFUSED, why)
    return _executed(found) if state.is_executing else _forecast(found)


def outcomes() -> list[Outcome]:
    """What this run has come to on each of its hosts."""
    return [outcome(each) for each in internals.progress()]


def _log() -> None:
    found = outcomes()
    # Of one host that was only looked at pyinfra has just said it all.
    if len(found) == 1 and not state.is_executing:
        return
    width = max(len(each.host) for each in found)
    logger.info("--> Summary:")
    for each in found:
        what, colon, why = str(each).partition(":")
        styled = click.style(what, COLOURS.get(each.what, "red"))
        logger.info(
            f"{click.style(each.host, bold=True)}{' ' * (width - len(each.host))}   {styled}{colon}{why}"
        )


_begun = False
_prepared: set[str] = set()


def at_end(show: Callable[[], None] = _log) -> None:
    """Show what this run has come to when it ends, however it does; called at the beginning of a deploy file.

    `show` is called once, in the end: the first one that was given.
    """
    global _begun
    if not _begun:
        _begun = True
        atexit.register(show)


def prepared() -> None:
    """Note that a deploy file has come to its end for this host: all its operations are known."""
    _prepared.add(host.name)


def show_drift() -> None:
    """Print a line for each host that would change or could not be looked at; with `--json` all of them."""
    found = outcomes()
    if internals.wants_json():
        click.echo(json.dumps({each.host: {"outcome": each.what, "why": each.why} for each in found}))
        return
    width = max(len(each.host) for each in found)
    for each in found:
        if each.what != UNCHANGED:
            terminal.echo(f"{each.host:{width}}   {each}")


def drift() -> int:
    """The exit status of a look at all hosts.

    0: none would change; 2: some would; 1: some could not be looked at, whatever the others would.
    """
    found = {each.what for each in outcomes()}
    if found & NOT_LOOKED_AT:
        return 1
    return 2 if WOULD_CHANGE in found else 0
