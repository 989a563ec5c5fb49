"""Numbers as people read them."""

from __future__ import annotations

from operations.util.words import GIB, MIB, count, gib, size, span


def test_span() -> None:
    words = {None: "", 0: "0 s", 119: "119 s", 120: "2 min", 7199: "119 min", 7200: "2 h", 172800: "2 d"}
    assert {seconds: span(seconds) for seconds in words} == words


def test_sizes() -> None:
    words = {0: "0", GIB * 5 // 2: "2.5", 9 * GIB: "9", 12 * GIB + 1: "12"}
    assert {number: gib(number) for number in words} == words
    assert [size(number) for number in (37 * MIB, GIB - 1, GIB)] == ["37 MiB", "1024 MiB", "1 GiB"]


def test_count() -> None:
    assert [count(number, "boot") for number in range(3)] == ["0 boots", "1 boot", "2 boots"]
