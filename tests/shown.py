"""The commands that a page of documentation shows, found where its reader finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What a line in a block begins with when it is a command and no output.
PROGRAMS = frozenset(
    ". .venv/bin/pyinfra brew cd chmod codesign colima cp crontab docker git launchctl limactl make mkdir mv "
    "pip python python3 pyinfra rm sh ssh sudo tail uv".split()
)
# And a span in the text, where the rest of them are rather spoken of.
IN_TEXT = frozenset("brew chmod cp docker git make python pyinfra sudo uv".split())
SPOKEN_OF = frozenset(("brew services", "brew upgrade", "docker info", "docker run", "docker pull"))
SHELLS = ("sh", "bash", "shell", "zsh")
PLAIN = ("", "console", "shell-session", "text", "txt")


@dataclass(frozen=True)
class Shown:
    """A command as a document shows it, blanks and comments apart, and where."""

    document: str
    line: int
    command: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.command}"


def _blocks_apart(text: str) -> Iterator[tuple[str | None, int, list[str]]]:
    """Split Markdown into parts: the language of a block ("" for an indented one, None for text), its first
    line's number, its lines."""
    part: list[str] = []
    language: str | None = None
    first, fence = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*(```+|~~~+)\s*([\w-]*)", line)
        if fence:
            if line.strip() == fence:
                yield language, first, part
                part, language, first, fence = [], None, number + 1, ""
            else:
                part.append(line)
        elif opened:
            yield language, first, part
            part, language, first, fence = [], opened[2].lower(), number + 1, opened[1]
        elif language is None and line.startswith("    ") and (not part or not part[-1].strip()):
            yield None, first, part
            part, language, first = [line], "", number
        elif language == "" and line.strip() and not line.startswith("    "):
            yield "", first, part
            part, language, first = [line], None, number
        else:
            part.append(line)
    yield language, first, part


def _tidy(command: str) -> str:
    """A command without its comment, its blanks single."""
    return " ".join(re.sub(r"(^|\s)#.*", "", command).split())


def _first_word(command: str) -> str:
    """The first word behind assignments."""
    return next((word for word in command.split() if not re.match(r"\w+=", word)), "")


def _of_block(language: str, first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """In a shell's block each line is a command; in a plain one what a prompt or a program's name begins."""
    if language not in (*SHELLS, *PLAIN):
        return
    begun: tuple[int, str] | None = None
    for number, line in enumerate(lines, first):
        prompted = line.strip().startswith("$ ")
        command = line.strip().removeprefix("$ ")
        if begun:
            number, command = begun[0], f"{begun[1]} {command}"
        elif not prompted and language not in SHELLS and _first_word(command) not in PROGRAMS:
            continue
        begun = (number, command[:-1]) if command.endswith("\\") else None
        if not begun and _tidy(command):
            yield number, _tidy(command)


def _of_text(first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """A span is a command when a program's name and more are in it, and nothing is left out (`...`)."""
    text = "\n".join(lines)
    # No span goes on over a blank line.
    for match in re.finditer(r"(?<!`)`([^`\n]+(?:\n(?!\s*\n)[^`\n]+)*)`(?!`)", text):
        command = " ".join(match[1].replace(r"\|", "|").split())
        words = command.split()
        if (
            _first_word(command) in IN_TEXT
            and len(words) > 1
            and command not in SPOKEN_OF
            and not {"..", "..."} & set(words)
        ):
            yield first + text.count("\n", 0, match.start()), command


def _text(document: Path) -> str:
    """A document without its blocks."""
    parts = _blocks_apart(document.read_text())
    return "\n".join("\n".join(lines) for language, _, lines in parts if language is None)


def anchors(document: Path) -> set[str]:
    """What a link can name in a Markdown document, as GitHub does: its headings."""
    headings = re.findall(r"(?m)^#{1,6} +(.+?) *$", _text(document))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[str]:
    """What a Markdown document links to, and shows, but for the web."""
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", _text(document))


def commands(document: Path) -> list[Shown]:
    """The commands that a Markdown document shows, in its order."""
    found = []
    for language, first, lines in _blocks_apart(document.read_text()):
        part = _of_text(first, lines) if language is None else _of_block(language, first, lines)
        found += [Shown(document.name, number, command) for number, command in part]
    return found
