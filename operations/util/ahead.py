"""Asking ahead: what the operations of a run want to know first, asked all at once just before their turn.

Each question over SSH is a round trip, and on a converged Mac nothing but questions is left. An answer counts
while this run has changed nothing on its host, and no longer than a few seconds: so an operation decides from
what its own question would have been answered, and never from a world that one before it has left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pyinfra import state
from pyinfra.api import Host
from pyinfra.context import ctx_host

from operations.util.remote import Question, in_one, joined, together

# How long an answer counts, in seconds: another host of the run may be waiting for a person.
SECONDS = 10


@dataclass(frozen=True)
class Answers:
    """What one host has answered, and when, by time.monotonic()."""

    at: float
    values: list[tuple[Question, Any]]


_answers: dict[Host, Answers] = {}


def ask(*groups: tuple[Question, ...]) -> None:
    """Ask this host what the operations will ask, each group in one command, the groups side by side.

    For the end of a deploy file, and for runs in which nobody has to agree first. What cannot be read fails
    nobody here: the operation that needs it asks again, and has the words for it.
    """
    at = time.monotonic()
    answered = together(*((joined(*group), {"_ignore_errors": True}) for group in groups))
    values = [
        (question, value)
        for group, each in zip(groups, answered, strict=True)
        for question, value in zip(group, each or (), strict=each is not None)
        if value is not None
    ]
    _answers[ctx_host.get()] = Answers(at, values)


def _still_counts(host: Host, answers: Answers) -> bool:
    """Whether the host is as it was when it answered, as far as this run and the time that passed go."""
    done = (data.operation_meta for data in state.ops[host].values())
    changed = any(meta.is_complete() and meta.did_change() for meta in done)
    return state.is_executing and not changed and time.monotonic() - answers.at <= SECONDS


def get(*questions: Question) -> list[Any]:
    """The values of several facts of this host, in order, for an operation that has run nothing yet.

    As they were asked ahead where that still counts, else asked now, in one command.
    """
    host = ctx_host.get()
    answers = _answers.get(host)
    if answers is not None and _still_counts(host, answers):
        found = [value for each in questions for question, value in answers.values if question == each]
        if len(found) == len(questions):
            return found
    return in_one(*questions)
