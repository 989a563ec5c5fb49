"""The shell that runs on the Mac, as files of POSIX sh, and the way Python hands it over.

Each script becomes one self-contained text there: the installed ones lie in a directory that root alone can
write, and the others are never a file on the Mac at all. Where a script says `# lib` (or `# lib-reset`), that
file's functions and variables come in, as far as the script needs them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pyinfra.api import QuoteString, StringCommand

HERE = Path(__file__).parent

# A line "# lib" of a script, where that library comes in.
NAMED = re.compile(r"(?m)^# (lib(?:-\w+)?)\n")

# What a library consists of, at the beginning of a line: a function, to the next "}" there or on one line, or
# a variable, whose quoted text may have many lines. What shellcheck is told of one goes with it.
DEFINITION = re.compile(
    r"(?m)^(?:# shellcheck disable=.*\n)?"
    r"(?:(?P<function>\w+)\(\) \{(?:\n(?:.*\n)*?\}|.* \})|(?P<variable>\w+)=(?:'[^']*'|[\w/.]*))\n",
)
COMMENT = re.compile(r"(?m)^[ \t]*#.*\n")


@cache
def definitions(library: str) -> Mapping[str, str]:
    """The functions and variables of a library, in order; a variable's name begins with "$".

    Raises ValueError when it holds anything else but comments, which would not reach the Mac.
    """
    found, rest = {}, (HERE / library).read_text()
    for match in DEFINITION.finditer(rest):
        found[match["function"] or f"${match['variable']}"] = match[0]
    if foreign := COMMENT.sub("", DEFINITION.sub("", rest)).strip():
        raise ValueError(f"files/{library}: neither a function nor a variable: {foreign.splitlines()[0]!r}")
    return found


def names_in(code: str, known: Mapping[str, str]) -> set[str]:
    """Which of the `known` functions and variables a piece of shell names, be it as a word of something else:
    a function may be another one's argument, and one too many does no harm."""
    code = COMMENT.sub("", code)
    words = set(re.findall(r"(?<![\w/.$-])\w+(?![\w=/])", code))
    words |= {f"${name}" for name in re.findall(r"\$\{?(\w+)", code)}
    return words & known.keys()


@cache
def assembled(name: str) -> str:
    """The script `name` with what it needs of the libraries that it names, comments included."""
    script = (HERE / name).read_text()
    libraries = {library: definitions(library) for library in NAMED.findall(script)}
    known = {each: code for defined in libraries.values() for each, code in defined.items()}
    needed: set[str] = set()
    new = names_in(script, known)
    while new:
        needed |= new
        new = {other for each in new for other in names_in(known[each], known)} - needed

    def wanted(named: re.Match[str]) -> str:
        return "".join(code for each, code in libraries[named[1]].items() if each in needed)

    return NAMED.sub(wanted, script)


@cache
def text(name: str) -> str:
    """The script `name` as it reaches the Mac: assembled, and without comments but for what it says it is."""
    script = assembled(name)
    head = re.match(r"(?:#.*\n)*", script)
    code = script[head.end() if head else 0 :]
    return (head[0] if head else "") + re.sub(r"\n\n+", "\n", COMMENT.sub("", code)).lstrip("\n")


def script(name: str, *args: object) -> StringCommand:
    """A command that runs the script `name` with `args`, each quoted, without a file on the Mac."""
    return StringCommand(
        "/bin/sh", "-c", QuoteString(text(name)), name, *(QuoteString(str(arg)) for arg in args)
    )


def script_as(user: str, seconds: int, name: str, *args: object) -> StringCommand:
    """A command that runs the script `name` as `user`, without a terminal, for at most `seconds`.

    It prints nothing when the script fails or takes longer, and always exits 0.
    """
    return script("as-user", user, seconds, text(name), name, *args)
