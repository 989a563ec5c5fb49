"""What the facts share: reading the lines that the scripts in files/ print."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pyinfra.api import FactProcessError


class Record:
    """A dataclass that pyinfra can print: `pyinfra HOST fact ... --json`."""

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return {
            key: sorted(value) if isinstance(value, frozenset) else value for key, value in record.items()
        }


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

    def number(self, key: str) -> int | None:
        """The value as a whole number; None when it is missing or is none."""
        value = self.values.get(key, "").strip()
        return int(value) if value.isdecimal() else None

    def objects(self) -> list[dict[str, Any]]:
        """The `|` lines as JSON objects.

        Raises FactProcessError when one is not.
        """
        try:
            found = [json.loads(line) for line in self.raw if line.strip()]
        except ValueError as error:
            raise FactProcessError(f"not JSON: {error}") from error
        if not all(isinstance(each, dict) for each in found):
            raise FactProcessError("not JSON objects")
        return found


def read_lines(output: list[str]) -> Lines:
    """Read a script's output, which ends with a line `end`.

    Raises FactProcessError when it does not: it was cut off, and what is missing is unknown.
    """
    if not output or output[-1] != "end":
        raise FactProcessError("the answer is incomplete")
    pairs = []
    for line in output[:-1]:
        key, equals, value = line.partition("=")
        if equals and not line.startswith("|"):
            pairs.append((key, value))
    return Lines(dict(pairs), pairs, [line[1:] for line in output if line.startswith("|")])
