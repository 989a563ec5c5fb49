"""How a terminal's output becomes a picture, and that the pictures are there."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.pictures import HERE, PICTURES, Picture, draw, shorten

RAW = (
    "--> Loading...\r\n"
    "    \x1b[0m[\x1b[1mmac\x1b[0m] \x1b[32mConnected\x1b[0m\r\n"
    "\r\n"
    "      \x1b[31m- \t<a & b>\x1b[0m\r\n"
    "        \t<c>   \r\n"
    f"[mac] {'4f' * 32}\r\n"
    '[mac] Current context is now "colima"\r\n'
    "dull 1\r\n\x1b[1mdull\x1b[0m 2\r\n"
    "end\r\n"
)
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[list[tuple[int, str]]]:
    """The lines of a picture, below its title: each piece with the column that it begins in."""
    lines: dict[float, list[tuple[int, str]]] = {}
    for each in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        if not str(each.get("class")).endswith("-title"):
            column = round(float(each.get("x", "")) / 12)
            text = str(each.text).replace("\xa0", " ")
            lines.setdefault(float(each.get("y", "")), []).append((column, text))
    return [lines[y] for y in sorted(lines)]


def test_draw() -> None:
    picture = Picture("x", "say <this>", without=((r"^(dull.*\n)+", "of dullness"),), columns=80)
    svg = draw(picture, RAW)
    assert texts(svg) == [
        [(0, "--> Loading...")],
        [(0, "    ["), (5, "mac"), (8, "] "), (10, "Connected")],
        [(6, "-         <a & b>")],
        [(0, "                <c>")],
        [(0, f"[mac] {'0123456789abcdef' * 4}")],
        [(0, "... 2 lines of dullness ...")],
        [(0, "end")],
    ]
    assert "say&#160;&lt;this&gt;" in svg
    assert svg == draw(picture, RAW)


def test_a_long_line_goes_on_in_the_next() -> None:
    svg = draw(Picture("x", "x", columns=20), "a line of more than twenty columns\n")
    assert "".join(text for line in texts(svg) for _, text in line).split() == (
        "a line of more than twenty columns".split()
    )
    assert len(texts(svg)) == 2


@pytest.mark.parametrize("moves", ["\x1b[1A", "\x1b[K", "progress\rdone", "\x07"])
def test_only_lines_and_colours_are_drawn(moves: str) -> None:
    with pytest.raises(ValueError, match="moves the cursor"):
        draw(Picture("x", "x"), f"a\r\nb{moves}c\r\n")


@pytest.mark.parametrize("pattern", ["nothing of this", "ne\ntw", "one"])
def test_what_is_left_out_is_there_and_whole_lines(pattern: str) -> None:
    with pytest.raises(ValueError, match="are no lines of"):
        shorten(["one", "two"], ((pattern, ""),))


def test_the_pictures_are_those_that_are_listed() -> None:
    assert sorted(HERE.glob("*.svg")) == sorted(picture.path for picture in PICTURES)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_picture(picture: Picture) -> None:
    """It is of its command, loads nothing, and names nothing of the machine that drew it."""
    svg = picture.path.read_text()
    assert picture.command.replace(" ", "&#160;") in svg
    assert not re.search(r"@import|@font-face|url\((?!#)|href", svg)
    said = "\n".join("".join(text for _, text in line) for line in texts(svg))
    assert not re.search(r"/(tmp|var/tmp|home|root)/|127\.0\.0\.1", said)
    assert "[macmini.lan] Connected" in said
