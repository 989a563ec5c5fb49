"""What operations ask first, asked before the first of them: on a converged Mac that is all there is to do.

An answer counts while this run has changed nothing on its host, and for a few seconds: an operation decides from
what its own question would have been answered, and never from a world that one before it has left.
"""

from __future__ import annotations

import time
from typing import Any

from pyinfra import state
from pyinfra.api import FactBase, FactProcessError, QuoteString, StringCommand
from pyinfra.context import ctx_host
from typing_extensions import override

from operations.util.commands import ask
from operations.util.internals import has_changed

# How long an answer counts, in seconds: another host of the run may be waiting for a person.
SECONDS = 10

# A fact and its arguments.
Question = tuple[type[FactBase[Any]], dict[str, Any]]

# A line between the answers of several facts; those that may hold any line have a "|" before each.
NEXT = "[next]"

# By the hosts' names, when they were asked, by time.monotonic(), and what they answered.
_answers: dict[str, tuple[float, list[tuple[Question, Any]]]] = {}


def joined(*asked: Question) -> type[FactBase[list[Any]]]:
    """One fact that asks several in one command, each given as its class and its arguments.

    Its value is theirs, in order; one that says nothing has its default.
    """

    class Joined(FactBase[list[Any]]):
        asked: tuple[Question, ...]

        @override
        def command(self) -> StringCommand:
            bits: list[Any] = []
            for fact, arguments in asked:
                bits += [fact().command(**arguments), ";", "echo", QuoteString(NEXT), ";"]
            return StringCommand(*bits[:-1])

        @override
        @staticmethod
        def default() -> list[Any]:
            return [fact.default() for fact, _ in asked]

        @override
        def process(self, output: list[str]) -> list[Any]:
            answers: list[list[str]] = [[]]
            for line in output:
                if line == NEXT:
                    answers.append([])
                else:
                    answers[-1].append(line)
            if len(answers) != len(asked) + 1 or answers.pop():
                raise FactProcessError("the answer is incomplete")
            return [
                fact().process(lines) if lines else fact.default()
                for (fact, _), lines in zip(asked, answers, strict=True)
            ]

    Joined.name = ", ".join(fact.name for fact, _ in asked)
    Joined.asked = asked
    return Joined


def together(*questions: Question, **arguments: Any) -> list[Any]:
    """Get several facts of this host in one command, in order; None for what cannot be read.

    `arguments` are pyinfra's for the command, such as `_sudo`.
    """
    values = ask(joined(*questions), **arguments)
    return [None for _ in questions] if values is None else values


def look(*groups: tuple[Question, ...]) -> None:
    """Ask what operations will ask, each group in one command.

    For the end of a deploy file, and for runs in which nobody has to agree first. What cannot be read fails
    nobody here: the operation that needs it asks again.
    """
    at = time.monotonic()
    found: list[tuple[Question, Any]] = []
    for group in groups:
        values = together(*group, _ignore_errors=True)
        found += [
            (question, value) for question, value in zip(group, values, strict=True) if value is not None
        ]
    _answers[ctx_host.get().name] = at, found


def get(*questions: Question) -> list[Any]:
    """The values of facts of this host, in order, for an operation that has run nothing yet.

    As they were asked ahead where that still counts, else asked now, in one command.
    """
    host = ctx_host.get()
    at, answers = _answers.get(host.name, (0.0, []))
    if state.is_executing and time.monotonic() - at <= SECONDS and not has_changed(host):
        found = [value for each in questions for question, value in answers if question == each]
        if len(found) == len(questions):
            return found
    return together(*questions)
