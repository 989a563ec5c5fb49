"""What operations here consist of: questions, reasons, and commands of the toolkit on the Mac."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from paramiko import SSHException
from pyinfra import host, logger, state
from pyinfra.api import FactBase, OperationError, QuoteString
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from files import script
from operations.util.internals import (
    LOST,
    Command,
    hosts_of_run,
    is_connected,
    mention_password,
    note_failure,
)

T = TypeVar("T")
Commands = Generator[PyinfraCommand, None, None]

# Where the toolkit's commands are on the Mac (operations/toolkit.py).
BIN = "/Library/ColimaPulse/bin"

NO_PASSWORD = (
    "sudo wants a password, and there is no terminal to ask for it. Run this on a terminal, or allow the "
    "user you connect as sudo without one (NOPASSWD): README.md, sudo"
)

# By the hosts' names, what operations have said they would do, or have done.
_explained: dict[tuple[str, bool], list[str]] = {}


def ask(fact: type[FactBase[T]], **arguments: Any) -> T | None:
    """Get a fact of this host; None where it cannot be read, also because the connection was lost.

    An exception would stop all hosts of a run that executes.
    """
    at = ctx_host.get()
    try:
        value: T | None = at.get_fact(fact, **arguments)
    except (OSError, EOFError, SSHException) as error:
        value, why = None, LOST
        if is_connected(at):
            why = NO_PASSWORD if isinstance(error, EOFError) else (str(error) or type(error).__name__)
        note_failure(at, why)
        at.log_styled(why, fg="red", log_func=logger.error)
    mention_password(at)
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
    if not state.is_executing:
        if hosts_of_run() == 1:
            raise OperationError(f"{host.name}: {why}")
        host.log_styled(why, fg="red", log_func=logger.error)
    yield Command(*script("refuse", *why.splitlines()).bits)
