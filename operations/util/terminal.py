"""A person on a terminal: what they are shown, whether they are there, and what they answer."""

from __future__ import annotations

import logging
import re
from io import FileIO
from pathlib import Path
from typing import Any

import click
from pyinfra import logger
from pyinfra.api.output import set_echo

# Colours and lines are ours, and harmless whoever wrote them; what else a terminal obeys is not.
_OBEYED = re.compile(r"(\x1b\[[0-9;]*m|[\t\n])|[\x00-\x1f\x7f-\x9f]")


def safe(text: str) -> str:
    """The text with a "?" for each control character, but for colours, tabs and the ends of lines."""
    return _OBEYED.sub(lambda match: match[1] or "?", text)


def echo(message: Any = None, **options: Any) -> None:
    """Show a message as click.echo() does, and safely."""
    click.echo(None if message is None else safe(str(message)), **options)


def _safe_record(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, str):
        record.msg, record.args = safe(record.getMessage()), ()
    return True


def guard() -> None:
    """Have nothing that pyinfra shows from here on do more to a terminal than colour it."""
    set_echo(echo)
    logger.addFilter(_safe_record)


def _open() -> FileIO:
    # Unbuffered: a terminal cannot be searched in, and what is read ahead would be lost.
    return Path("/dev/tty").open("r+b", buffering=0)


def is_there() -> bool:
    """Whether this process has a controlling terminal: standard input says nothing of it."""
    try:
        _open().close()
    except OSError:
        return False
    return True


def typed(question: str) -> str | None:
    """What is typed after the question on the controlling terminal, without the line's end; None without."""
    try:
        with _open() as terminal:
            # What pyinfra's progress has left on the line goes first.
            terminal.write(f"\r\x1b[K{safe(question)} ".encode())
            return terminal.readline().decode(errors="replace").rstrip("\r\n")
    except OSError:
        return None


def ask(question: str, *, default: bool) -> bool:
    """Ask yes or no on the controlling terminal.

    `default` is the answer of an empty line, and the one without a terminal; any other words are a no.
    """
    answer = (typed(f"{question} [{'Y/n' if default else 'y/N'}]") or "").strip().lower()
    return answer in {"y", "yes"} or (answer == "" and default)
