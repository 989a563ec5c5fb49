"""What operations here consist of: questions, reasons, and commands of the toolkit on the Mac."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from pyinfra import host, logger, state
from pyinfra.api import FactBase, OperationError, QuoteString
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from files import script
from operations.util import internals
from operations.util.internals import Command

T = TypeVar("T")
Commands = Generator[PyinfraCommand, None, None]

# Where the toolkit's commands are on the Mac (operations/toolkit.py).
BIN = "/Library/ColimaPulse/bin"

# What operations have explained, by the hosts' names and whether they were executing.
_explained: dict[tuple[str, bool], list[str]] = {}


def ask(fact: type[FactBase[T]], **arguments: Any) -> T | None:
    """Get a fact of this host; None where it cannot be read, also because the connection is lost.

    A fact fails no host by itself: pyinfra would go on preparing a host that it has failed, and ends in a
    traceback when a fact fails the last one while operations run. `arguments` are the fact's, and pyinfra's.
    """
    at = ctx_host.get()
    value: T | None = None
    if internals.is_connected(at):
        try:
            value = at.get_fact(fact, **{"_ignore_errors": True, **arguments})
        except internals.WIRE_ERRORS as error:
            internals.fail_for(at, error)
        internals.mention_password(at)
    if not internals.is_connected(at):
        internals.fail(at, internals.LOST)
    return value


def explain(what: str) -> None:
    """Say what an operation changes, and why: while pyinfra prepares, and again when it happens."""
    host.log(what)
    _explained.setdefault((host.name, state.is_executing), []).append(what)


def explained(name: str, *, executing: bool) -> tuple[str, ...]:
    """What operations have said of the host `name` while pyinfra executed, or while it prepared."""
    return tuple(_explained.get((name, executing), ()))


def command(name: str, label: str, *arguments: object, stdin: str | None = None) -> Command:
    """A command of the toolkit; what it says is shown with -vvv, or when it fails."""
    return _command(name, label, *arguments, live=False, stdin=stdin)


def live(name: str, label: str, *arguments: object, stdin: str | None = None) -> Command:
    """A command of the toolkit, what it says shown as it comes."""
    return _command(name, label, *arguments, live=True, stdin=stdin)


def _command(name: str, label: str, *arguments: object, live: bool, stdin: str | None) -> Command:
    words = (QuoteString(str(word)) for word in (label, *arguments))
    given = {} if stdin is None else {"_stdin": stdin}
    return Command(f"{BIN}/{name}", *words, live=live, **given)


def refuse(why: str) -> Commands:
    """Refuse to go on with this host: fails it, and no other one.

    While pyinfra prepares a run for one host, raises OperationError, which ends it before anything is asked.
    """
    at = ctx_host.get()
    if not state.is_executing:
        internals.note_refusal(at, (why.partition("\n")[0],))
        if internals.hosts_of_run() == 1:
            raise OperationError(f"{at.name}: {why}")
        for line in why.splitlines():
            at.log_styled(line, fg="red", log_func=logger.error)
    yield Command(script("refuse", *why.splitlines()))
