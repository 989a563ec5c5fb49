"""What is read from a Mac is plain text, whoever wrote it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.util import plain, read_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb ü 日本", "a\tb ü 日本"),
        ("\x1b[31m", "?[31m"),
        ("a\x00\n\r\x07\x7f\x80\x9bb", "a???????b"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_all_that_a_script_prints() -> None:
    """Its values, its keys, and what is written with escapes in its JSON."""
    lines = read_lines(
        [
            "name=\x1b]52;c;QQ==\x07",
            "k\x9b=v",
            '|{"a\\u001b": ["\\u0007\\t", {"b": "\\u009b"}], "n": 1}',
            "end",
        ]
    )
    assert lines.values == {"name": "?]52;c;QQ==?", "k?": "v"}
    assert lines.objects() == [{"a?": ["?\t", {"b": "?"}], "n": 1}]
    assert read_lines(["|\x1b[2J", "end"]).raw == ["?[2J"]


def test_what_is_too_large_or_too_deep_is_no_value() -> None:
    lines = read_lines([f"clock={'9' * 5000}", f"n={'9' * 15}", f'|{{"a": {"[" * 9999}{"]" * 9999}}}', "end"])
    assert (lines.number("clock"), lines.number("n")) == (None, 999_999_999_999_999)
    with pytest.raises(FactProcessError):
        lines.objects()
