"""The shell that runs on the Mac: POSIX sh, one thing a file.

    bin/      commands for operations, and for people; each takes the label first and explains itself with -h
    daemons/  what launchd runs
    facts/    what facts send; they need nothing on the Mac
    lib/      what these share, by subject

A script names the libraries that it needs on a line "# lib: NAME NAME", and they are put there, whole. So
what runs on the Mac is always one text that needs no other file: whoever runs a command while it is replaced
has the old one or the new one.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from pyinfra.api import QuoteString, StringCommand

HERE = Path(__file__).parent

LIBRARIES = re.compile(r"(?m)^# lib: (.*)\n")
COMMENT = re.compile(r"(?m)^[ \t]*#(?!!).*\n")


@cache
def text(path: str) -> str:
    """The script at `path`, such as bin/gate, with its libraries."""

    def whole(named: re.Match[str]) -> str:
        return "".join((HERE / "lib" / name).read_text() for name in named[1].split())

    return LIBRARIES.sub(whole, (HERE / path).read_text())


@cache
def sent(path: str) -> str:
    """The script at `path` as it is sent, which is often: without comments."""
    return COMMENT.sub("", text(path))


@cache
def toolkit() -> dict[str, str]:
    """What is installed on the Mac, all in one directory: the commands and the daemons' programs, by name."""
    paths = sorted([*(HERE / "bin").iterdir(), *(HERE / "daemons").iterdir()], key=lambda path: path.name)
    return {path.name: text(str(path.relative_to(HERE))) for path in paths}


@cache
def archive() -> str:
    """The toolkit as one text: a line "=NAME" for each file, and its lines behind a "|"."""
    return "".join(
        f"={name}\n" + "".join(f"|{line}\n" for line in each.splitlines()) for name, each in toolkit().items()
    )


@cache
def digest() -> str:
    """The toolkit's sha256: files/lib/archive makes the same of what is installed."""
    return sha256(archive().encode()).hexdigest()


def script(path: str, *args: object) -> StringCommand:
    """A command that runs the script at `path` with `args`, each quoted, without a file on the Mac."""
    name = path.rpartition("/")[2]
    words = (QuoteString(str(arg)) for arg in args)
    return StringCommand("/bin/sh", "-c", QuoteString(sent(path)), name, *words)


def script_as(user: str, seconds: int, path: str, *args: object) -> StringCommand:
    """A command that runs the script at `path` as `user`, without a terminal, for at most `seconds`.

    It prints nothing when the script fails or takes longer, and always exits 0.
    """
    return script("facts/as-user", user, seconds, sent(path), path.rpartition("/")[2], *args)
