"""Stands in for pyinfra's host and state, so that a decision is tested without a connection."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.command import PyinfraCommand
from pyinfra.connectors.util import CommandOutput, OutputLine

from operations.util.commands import BIN

Answer = tuple[bool, list[str]]


def words(command: PyinfraCommand | str) -> list[str]:
    """A command's words as the Mac's shell would have them: of the toolkit's its name and
    arguments; of a script that is sent likewise, also where as-user runs it.
    """
    if isinstance(command, FunctionCommand):
        return [command.function.__name__]
    raw = command.get_raw_value() if isinstance(command, StringCommand) else str(command)
    found = shlex.split(raw)
    if found[:2] != ["/bin/sh", "-c"]:
        return [found[0].removeprefix(f"{BIN}/"), *found[1:]]
    return found[7:] if found[3:4] == ["as-user"] else found[3:]


@dataclass(frozen=True)
class Ran:
    """A command that was run on a FakeHost."""

    words: list[str]
    live: bool
    arguments: dict[str, Any]

    @property
    def stdin(self) -> Any:
        return self.arguments.get("_stdin")


class Series:
    """A fact's values one after another; the last one stays."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def __call__(self, **_: Any) -> Any:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]


@dataclass(eq=False)
class FakeHost:
    """A host with given facts (values, or callables of the fact's arguments) that records what it is told."""

    facts: Mapping[Any, Any] = field(default_factory=dict)
    answer: Callable[[list[str]], Answer] = lambda words: (True, [])
    name: str = "mini"
    connector: Any = field(default_factory=SimpleNamespace)
    connector_data: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    current_op_global_arguments: dict[str, Any] = field(default_factory=dict)
    noops: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)

    def get_fact(self, fact: Any, **arguments: Any) -> Any:
        arguments.pop("_ignore_errors", None)
        if together := getattr(fact, "asked", ()):  # of operations.util.ahead.joined()
            return [self.get_fact(each, **given, **arguments) for each, given in together]
        value = self.facts[fact]
        return value(**arguments) if callable(value) else value

    def run_shell_command(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        self.ran.append(Ran(words(command), print_output, arguments))
        status, lines = self.answer(self.ran[-1].words)
        return status, CommandOutput([OutputLine("stdout", line) for line in lines])

    def noop(self, text: str) -> None:
        self.noops.append(text)

    def log(self, text: str, *_: Any) -> None:
        self.logged.append(text)

    def log_styled(self, text: str, **_: Any) -> None:
        self.logged.append(text)

    @property
    def said(self) -> str:
        """All that was logged, as one text."""
        return "\n".join(self.logged)

    @property
    def told(self) -> list[list[str]]:
        """The words of each command that was run."""
        return [each.words for each in self.ran]


def fake_state(*, executing: bool = True, diff: bool = False, reads: bool = False, hosts: int = 1) -> Any:
    """What operations ask of pyinfra's state."""
    return SimpleNamespace(
        is_executing=executing,
        cwd="/",
        config=SimpleNamespace(DIFF=diff),
        print_output=False,
        print_input=False,
        active_hosts=set(),
        failed_hosts=set(),
        should_check_for_changes=lambda: reads,
        ops=defaultdict(dict),
        limit_hosts=range(hosts),
    )


@dataclass
class Clock:
    """A time module in which sleeping takes no time."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
