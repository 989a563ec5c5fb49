"""What the facts share: reading the lines that the scripts in files/ print."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from pyinfra.api import FactProcessError

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text with a "?" for each control character but a tab: on a Mac anybody writes some, and a terminal
    obeys it."""
    return _CONTROL.sub("?", text)


def _plain(value: Any) -> Any:
    """A JSON value with all its texts plain."""
    if isinstance(value, dict):
        return {plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return plain(value) if isinstance(value, str) else value


class Record:
    """A dataclass that pyinfra can print: `pyinfra HOST fact ... --json`."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Lines:
    """A script's output: its `key=value` pairs, every value of a repeated key, and its `|` lines."""

    values: dict[str, str]
    all: list[tuple[str, str]]
    raw: list[str]

    def required(self, key: str) -> str:
        """The value of a key that every whole answer has.

        Raises FactProcessError when it is not there.
        """
        if key not in self.values:
            raise FactProcessError(f"the answer has no {key}")
        return self.values[key]

    def every(self, key: str, words: int = 1) -> tuple[str, ...]:
        """The values of a key that may be there more than once, each of at least so many words.

        Raises FactProcessError when one has fewer.
        """
        values = tuple(value for each, value in self.all if each == key)
        if any(value.count(" ") < words - 1 for value in values):
            raise FactProcessError(f"{key} is not of {words} words")
        return values

    def number(self, key: str) -> int | None:
        """The value as a whole number; None when it is missing or is none."""
        value = self.values.get(key, "").strip()
        return int(value) if value.isdecimal() and len(value) <= 15 else None

    def objects(self) -> list[dict[str, Any]]:
        """The `|` lines as JSON objects, their texts plain.

        Raises FactProcessError when one is not.
        """
        try:
            found = [_plain(json.loads(line)) for line in self.raw if line.strip()]
        except (ValueError, RecursionError) as error:
            raise FactProcessError(f"not JSON: {error}") from error
        if not all(isinstance(each, dict) for each in found):
            raise FactProcessError("not JSON objects")
        return found


def read_lines(output: list[str]) -> Lines:
    """Read a script's output, which ends with a line `end`; all texts are plain.

    Raises FactProcessError when it does not: it was cut off, and what is missing is unknown.
    """
    if not output or output[-1] != "end":
        raise FactProcessError("the answer is incomplete")
    pairs = []
    output = list(map(plain, output))
    for line in output[:-1]:
        key, equals, value = line.partition("=")
        if equals and not line.startswith("|"):
            pairs.append((key, value))
    return Lines(dict(pairs), pairs, [line[1:] for line in output if line.startswith("|")])
