"""What operations ask first, asked in one command before the first of them: a converged Mac needs no more.

An answer counts for a few seconds, and while this run has changed nothing on its host.
"""

from __future__ import annotations

import time
from typing import Any

from pyinfra import host, logger, state
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
    """One fact that asks several in one command: their values in order, None for what cannot be read."""

    class Joined(FactBase[list[Any]]):
        @override
        def command(self) -> StringCommand:
            bits: list[Any] = []
            for fact, arguments in asked:
                bits += [fact().command(**arguments), ";", "echo", QuoteString(NEXT), ";"]
            return StringCommand(*bits[:-1])

        @override
        @staticmethod
        def default() -> list[Any]:
            return [None for _ in asked]

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
            return [_value(fact, lines) for (fact, _), lines in zip(asked, answers, strict=True)]

    Joined.name = ", ".join(fact.name for fact, _ in asked)
    Joined.asked = asked  # type: ignore[attr-defined]
    return Joined


def _value(fact: type[FactBase[Any]], lines: list[str]) -> Any:
    try:
        return fact().process(lines) if lines else fact.default()
    except FactProcessError as error:
        host.log(f"{fact.name}: {error}", logger.warning)
        return None


def together(*questions: Question, **arguments: Any) -> list[Any]:
    """Get several facts of this host in one command, in order; None for what cannot be read.

    `arguments` are pyinfra's for the command, such as `_sudo`.
    """
    return ask(joined(*questions), **arguments) or [None for _ in questions]


def look(*questions: Question) -> list[Any]:
    """Ask in one command what operations will ask, and return the values, as together() does.

    For runs in which nobody is asked between this and the operations. What cannot be read fails no host here:
    the operation that needs it asks again.
    """
    at = time.monotonic()
    values = together(*questions)
    known = [each for each in zip(questions, values, strict=True) if each[1] is not None]
    _answers[ctx_host.get().name] = at, known
    return values


def get(*questions: Question) -> list[Any]:
    """The values of facts of this host, in order, for an operation that has run nothing yet.

    As they were asked ahead where that still counts, else asked now, in one command.
    """
    at, answers = _answers.get(host.name, (0.0, []))
    if state.is_executing and time.monotonic() - at <= SECONDS and not has_changed(ctx_host.get()):
        found = [value for each in questions for question, value in answers if question == each]
        if len(found) == len(questions):
            return found
    return together(*questions)
