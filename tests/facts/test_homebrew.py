"""What came after Colima's start, and when that was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from facts.homebrew import Formula, FormulaeState, Upgrade, elapsed_seconds

INSTALLED = {"colima": Formula("0.10.3", linked=500, pinned=True), "qemu": Formula("10.1.2", 900, False)}
STATE = FormulaeState(INSTALLED, now=1000, age=200, up=300)


@pytest.mark.parametrize(
    ("changed", "newer"),
    [
        ({}, ("qemu 10.1.2",)),
        # Both in one second: the upgrade that restarts it comes first.
        ({"age": 100}, ()),
        ({"age": 300, "now": 700}, ("colima 0.10.3", "qemu 10.1.2")),
        # Started before the boot: the clock was set since.
        ({"up": 199}, None),
        ({"now": None}, None),
        ({"age": None}, None),
        ({"up": None}, None),
        ({"installed": {}}, None),
    ],
)
def test_newer(changed: dict[str, Any], newer: tuple[str, ...] | None) -> None:
    assert replace(STATE, **changed).newer == newer


def test_words() -> None:
    assert (STATE.version("qemu"), STATE.version("lima")) == ("10.1.2", None)
    assert str(Upgrade("qemu", "10.1.2", "10.2.0")) == "qemu 10.1.2 -> 10.2.0"


def test_elapsed_seconds() -> None:
    ages = {"    00:07": 7, "12:34": 754, "01:00:00": 3600, "03-04:05:06": 273906, "ps: no": None, "7": None}
    assert {text: elapsed_seconds(text) for text in ages} == ages
