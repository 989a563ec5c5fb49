"""What the logs of a profile say: Colima's, the two of Lima's host agent, and the pulse's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record
from files import script

# As files/facts/logs has them.
NAMES = ("colima", "ha.stderr", "ha.stdout", "pulse")
ABSENT, UNREADABLE = "absent", "unreadable"


@dataclass(frozen=True)
class LogLines(Record):
    """What a log says, from one place on: its `lines`, and the `place` where they end.

    The place is "absent" where there is no such log, and "unreadable" where it cannot be read: `why`.
    """

    place: str
    lines: tuple[str, ...] = ()
    why: str = ""

    @property
    def wrong(self) -> bool:
        return self.place == UNREADABLE


class Logs(FactBase["tuple[LogLines, ...] | None"]):
    """
    Returns what each of the logs in NAMES says; None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the job's
    + log: where Colima's log is
    + count: how many of its last lines
    + seconds: for how long to wait for more
    + places: those of an earlier answer, to get what was written since

    .. code:: python

        (LogLines(place="8612:2048", lines=('time="..." level=info msg=done',)), ...)
    """

    def command(
        self,
        user: str,
        label: str,
        log: str,
        profile: str = "default",
        count: int = 50,
        seconds: int = 0,
        places: Sequence[str] = (),
    ) -> StringCommand:
        return script("facts/logs", user, profile, label, log, count, seconds, *places)

    def process(self, output: list[str]) -> tuple[LogLines, ...]:
        found: list[tuple[str, str, list[str]]] = []
        # What sudo may say besides is passed over.
        for line in output:
            if line.startswith("|") and found:
                found[-1][2].append(line[1:])
            elif match := re.fullmatch(r"\[([^]]+)\](?: (.*))?", line):
                found.append((match[1], match[2] or "", []))
        if len(found) != len(NAMES) or "end" not in output:
            raise FactProcessError("the answer is incomplete")
        return tuple(LogLines(place, tuple(lines), why) for place, why, lines in found)
