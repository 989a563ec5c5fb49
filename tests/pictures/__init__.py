"""The pictures of the documents: what is on those of terminals, and how its output becomes an SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).parent
PAGE = HERE / "page.webp"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# What is another in every run, and what stands for it: a container's id; a time; and what Colima's docker
# client says at the end of a start, which is in its log a moment before Docker is found ready, or after.
STEADY = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "0123456789abcdef" * 4),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-22T10:15:30Z"),
    (re.compile(r'(?m)^.*\] (?:colima|(?:Successfully created|Current) context .*"colima")\s*\n'), ""),
)


@dataclass(frozen=True)
class Picture:
    """A command typed in a clone of this repository, and what of its output is left out.

    `settings` join those of the pictures before it in `.env`. With `power_cut` the Mac has had one, and the
    command is typed until it says `until` (a pattern). Each of `without` is a pattern (of whole lines,
    without colours) and what stands in the picture for the lines that match, after their number.
    """

    name: str
    command: str
    settings: Mapping[str, str] = field(default_factory=dict)
    power_cut: bool = False
    until: str = ""
    without: tuple[tuple[str, str], ...] = ()
    columns: int = 100

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.svg"


# In this order on one Mac, to which nothing was deployed before.
PICTURES = (
    Picture(
        "deploy",
        "pyinfra @ssh/macmini.lan deploy.py -y",
        without=(
            (r"(?<=Hello from Docker!\n)(\[\S+\].*\n)+", "of hello-world's greeting"),
            (r"^--> Results:\n( {4}.*\n)+", "of results, an operation a line"),
        ),
        columns=118,
    ),
    Picture(
        "status",
        "pyinfra @ssh/macmini.lan deploys/status.py",
        power_cut=True,
        until="1 of 1 ran",
        columns=118,
    ),
    Picture("resize", "pyinfra @ssh/macmini.lan deploy.py --dry --diff", {"COLIMA_MEMORY": "4"}),
)

# One window that can be read on a light page and on a dark one.
THEME = TerminalTheme(
    (0x1E, 0x22, 0x27),
    (0xD7, 0xDA, 0xE0),
    [
        (0x54, 0x5D, 0x68),
        (0xF4, 0x70, 0x67),
        (0x6B, 0xC4, 0x6D),
        (0xDA, 0xAA, 0x3F),
        (0x6C, 0xB6, 0xFF),
        (0xDC, 0xBD, 0xFB),
        (0x76, 0xE3, 0xEA),
        (0xD7, 0xDA, 0xE0),
    ],
)

# rich's own, without the fonts that it would load from the network.
FORMAT = """\
<svg viewBox="0 0 {{width}} {{height}}" width="{{width}}" height="{{height}}" role="img" aria-label="{label}"
     xmlns="http://www.w3.org/2000/svg">
<style>
.{{unique_id}}-matrix {{{{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {{char_height}}px;
}}}}
.{{unique_id}}-title {{{{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: 18px;
    font-weight: bold;
}}}}
{{styles}}
</style>
<defs>
{{lines}}
</defs>
{{chrome}}
<g transform="translate({{terminal_x}}, {{terminal_y}})">
{{backgrounds}}
<g class="{{unique_id}}-matrix">
{{matrix}}
</g>
</g>
</svg>
"""


def shorten(lines: list[str], without: tuple[tuple[str, str], ...]) -> list[str]:
    """Leave out what matches, and say in its place how many lines of what that were.

    raises: ValueError when a pattern matches nothing, or not whole lines: look at the picture again.
    """
    for pattern, what in without:
        plain = "".join(COLOUR.sub("", line) + "\n" for line in lines)
        match = re.search(pattern, plain, re.MULTILINE)
        whole = match and all(at == 0 or plain[at - 1] == "\n" for at in match.span())
        if not match or not whole:
            raise ValueError(f"{pattern!r} are no lines of:\n{plain}")
        first, last = (plain.count("\n", 0, at) for at in match.span())
        lines = [*lines[:first], f"\x1b[2m... {last - first} lines {what} ...\x1b[0m", *lines[last:]]
    return lines


def expand_tabs(line: str) -> str:
    """Expand a line's tabs as a terminal does, to which colours have no width."""
    expanded, width = "", 0
    for piece in re.split(rf"({COLOUR.pattern})", line):
        shown = piece if COLOUR.fullmatch(piece) else (" " * width + piece).expandtabs()[width:]
        expanded += shown
        width += 0 if COLOUR.fullmatch(piece) else len(shown)
    return expanded


def draw(picture: Picture, raw: str) -> str:
    """Draw what a terminal got: an SVG of a window with the command as its title.

    raises: ValueError when it holds more than lines and colours; or see `shorten`.
    """
    for pattern, steady in STEADY:
        raw = pattern.sub(steady, raw)
    lines = [expand_tabs(line.rstrip()) for line in raw.replace("\r\n", "\n").strip("\n").split("\n")]
    if any(re.search(r"[\x00-\x1f]", COLOUR.sub("", line)) for line in lines):
        raise ValueError(f"{picture.command} moves the cursor, or draws")
    console = Console(record=True, width=picture.columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(shorten(lines, picture.without))))
    svg = console.export_svg(
        title=picture.command,
        theme=THEME,
        code_format=FORMAT.format(label=escape(f"A terminal: {picture.command}")),
        font_aspect_ratio=0.6,
        unique_id=picture.name,
    )
    # The line ends are segments too, to rich. A line of text a line of the file, for the diff.
    svg = re.sub(r"<text [^>]*>\n</text>", "", svg)
    svg = re.sub(r"(\d\.\d)\d{6,}", r"\1", svg)
    svg = svg.replace("><text", ">\n<text").replace("><rect", ">\n<rect")
    return "".join(line.rstrip() + "\n" for line in svg.splitlines() if line.strip())
