"""What a run came to, a line a host, at its very end: the tables of pyinfra have a line an operation."""

from __future__ import annotations

import atexit
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import click
import gevent
from pyinfra import logger, state
from pyinfra.api import Host
from pyinfra.api.operation import OperationMeta
from pyinfra.context import ctx_host
from typing_extensions import override

from operations.forecast import Words
from operations.util import fleet, terminal
from operations.util.remote import LOST, is_connected

UNCHANGED, CHANGED, WOULD_CHANGE = "unchanged", "changed", "would change"
REFUSED, FAILED, UNREACHABLE = "refused", "failed", "unreachable"
UNTOUCHED, UNFINISHED = "nothing was touched", "not finished"

NOT_LOOKED_AT = frozenset((REFUSED, FAILED, UNREACHABLE, UNTOUCHED, UNFINISHED))
COLOURS = {UNCHANGED: "cyan", CHANGED: "green", WOULD_CHANGE: "green"}

# What pyinfra says after a reason, or without one.
NO_REASON = re.compile(r"(Error|executed \d+ commands.*)?")

# By the hosts' names: what prepares each of them, and the first that each has said in red.
_preparations: dict[str, gevent.Greenlet] = {}
_errors: dict[str, str] = {}


Operations = list[tuple[Words, OperationMeta]]


@dataclass(frozen=True)
class Outcome:
    """What a run came to on one host, and why, or what changed there."""

    host: str
    what: str
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {'; '.join(self.why)}" if self.why else self.what


class _FirstErrors(logging.Handler):
    """Notes the first that each host says in red, be it our words or pyinfra's."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = click.unstyle(record.getMessage()).partition("\n")[0]
        for host in state.inventory:
            prefix = click.unstyle(host.print_prefix)
            reason = text.removeprefix(prefix).removeprefix("Error: ").rstrip(". ")
            if text.startswith(prefix) and not NO_REASON.fullmatch(reason):
                _errors.setdefault(host.name, reason)


def _failure(host: Host, at: tuple[str, ...] = ()) -> Outcome:
    error = _errors.get(host.name)
    return Outcome(host.name, FAILED, (error,) if error else at or ("see above",))


def _executed(host: Host, operations: Operations) -> Outcome:
    complete = [(words, meta) for words, meta in operations if meta.is_complete()]
    changed = tuple(words.state for words, meta in complete if meta.did_change())
    failed_at = tuple(f"at {words.state}" for words, meta in complete if meta.did_error())
    if failed_at or host in state.failed_hosts:
        return _failure(host, failed_at)
    if not complete:
        return Outcome(host.name, UNTOUCHED)
    if len(complete) < len(operations):
        return Outcome(host.name, UNFINISHED, changed)
    return Outcome(host.name, CHANGED if changed else UNCHANGED, changed)


def _forecast(host: Host, operations: Operations) -> Outcome:
    if host in state.failed_hosts:
        return _failure(host)
    preparation = _preparations.get(host.name)
    # With -y pyinfra does not look; and where a deploy file has not come to its end, not at everything.
    if not state.check_for_changes or preparation is None or preparation.value is not None:
        return Outcome(host.name, UNTOUCHED)
    would = tuple(words.change for words, meta in operations if meta.will_change)
    return Outcome(host.name, WOULD_CHANGE if would else UNCHANGED, would)


def outcome(host: Host) -> Outcome:
    """What this run has come to on `host` so far."""
    if host not in state.activated_hosts:
        return Outcome(host.name, UNREACHABLE)
    if not is_connected(host):
        return Outcome(host.name, FAILED, (LOST,))
    if why := fleet.refusal(host):
        return Outcome(host.name, REFUSED, why)
    operations = [
        (Words(host.name, name), data.operation_meta)
        for op_hash, data in state.ops[host].items()
        for name in state.op_meta[op_hash].names
    ]
    return _executed(host, operations) if state.is_executing else _forecast(host, operations)


def outcomes() -> list[Outcome]:
    """What this run has come to on each of its hosts."""
    return [outcome(host) for host in state.inventory if state.is_host_in_limit(host)]


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


def at_end(show: Callable[[], None] = _log) -> None:
    """Show what this run has come to when it ends, however it does; called for each host, before its facts.

    `show` is called once, in the end: the first one that was given.
    """
    if not _preparations:
        logger.addHandler(_FirstErrors(logging.ERROR))
        atexit.register(show)
    _preparations.setdefault(ctx_host.get().name, gevent.getcurrent())


def show_drift() -> None:
    """Print a line for each host that would change or could not be looked at; with `--json` all of them."""
    found = outcomes()
    if fleet.wants_json():
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
