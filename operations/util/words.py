"""Numbers as people read them."""

from __future__ import annotations

MIB, GIB = 1024**2, 1024**3


def span(seconds: int | None) -> str:
    """A length of time in one number: 75 s, 90 min, 30 h, 3 d; empty when it is unknown."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def gib(number: float) -> str:
    """A size in bytes as GiB, without the unit."""
    return f"{number / GIB:.1f}".removesuffix(".0") if number < 10 * GIB else f"{number / GIB:.0f}"


def size(number: int) -> str:
    """A size in bytes, with its unit: 3.4 GiB, 37 MiB."""
    return f"{gib(number)} GiB" if number >= GIB else f"{number / MIB:.0f} MiB"


def count(number: int, what: str) -> str:
    """A number of things: 1 boot, 2 boots."""
    return f"{number} {what}" + ("s" if number != 1 else "")
