"""The shell that runs on the Mac, as files of POSIX sh, and the way Python hands it over."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pyinfra.api import QuoteString, StringCommand

HERE = Path(__file__).parent


@cache
def text(name: str) -> str:
    """The script `name` with the functions of files/lib, and of others it names, before its first command.

    Each script is one self-contained text on the Mac: the installed ones lie in a directory that root
    alone can write, and the others are never a file there at all.
    """
    script = (HERE / name).read_text()
    return re.sub(r"(?m)^# (lib(?:-\w+)?)\n", lambda named: (HERE / named[1]).read_text(), script)


def script(name: str, *args: object) -> StringCommand:
    """A command that runs the script `name` with `args`, each quoted, without a file on the Mac."""
    return StringCommand(
        "/bin/sh", "-c", QuoteString(text(name)), name, *(QuoteString(str(arg)) for arg in args)
    )
