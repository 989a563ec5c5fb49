"""A person on the controlling terminal: whether there is one, and what they answer."""

from __future__ import annotations

from io import FileIO
from pathlib import Path


def _open() -> FileIO:
    # Unbuffered: a terminal cannot be searched in, and what is read ahead would be lost.
    return Path("/dev/tty").open("r+b", buffering=0)


def is_there() -> bool:
    """Whether this process has a controlling terminal: standard input tells nothing of it."""
    try:
        _open().close()
    except OSError:
        return False
    return True


def ask(question: str, *, default: bool) -> bool:
    """Ask yes or no on the controlling terminal.

    `default` is the answer of an empty line, and the one without a terminal; any other words are a no.
    """
    try:
        with _open() as terminal:
            terminal.write(f"\r\x1b[K{question} [{'Y/n' if default else 'y/N'}] ".encode())
            answer = terminal.readline().decode(errors="replace").strip().lower()
    except OSError:
        return default
    return answer in {"y", "yes"} or (answer == "" and default)


def typed(question: str) -> str | None:
    """What is typed after the question on the controlling terminal, without the line's end; None without."""
    try:
        with _open() as terminal:
            terminal.write(f"\r\x1b[K{question} ".encode())
            return terminal.readline().decode(errors="replace").rstrip("\r\n")
    except OSError:
        return None
