"""What a Mac does to save power, for each of its sources of power (pmset(1))."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra.api import FactBase, StringCommand

from facts.util import Record, read_lines
from files import script


@dataclass(frozen=True)
class PowerState(Record):
    """The settings of each source ("AC Power", "Battery Power"), by pmset's keys: those that the Mac has.

    `pmset -g custom` is about all sources, and may know keys that the Mac has not; `pmset -g cap` names what
    it has, for the source in use alone (pmset.c).

    Durations are in minutes, 0: never; what is on or off is 1 or 0.
    """

    sources: Mapping[str, Mapping[str, int]]


class Power(FactBase["PowerState | None"]):
    """
    Returns what the Mac does to save power on each source, also on those that it does not run on now; None
    when unreadable.

    .. code:: python

        PowerState(sources={"AC Power": {"sleep": 1, "disksleep": 10, "autorestart": 0, ...}})
    """

    def command(self) -> StringCommand:
        return script("facts/power")

    def process(self, output: list[str]) -> PowerState | None:
        sources: dict[str, dict[str, int]] = {}
        takes: set[str] | None = None
        settings: dict[str, int] | None = None
        for line in read_lines(output).raw:
            if re.fullmatch(r"Capabilities for .*:", line):
                settings, takes = None, takes or set()
            elif heading := re.fullmatch(r"(\S.*):", line):
                settings = sources.setdefault(heading[1], {})
            elif settings is None and takes is not None:
                takes.add(line.strip())
            # A key may hold spaces, and a value may be explained: "sleep  0 (sleep prevented by caffeinate)".
            elif settings is not None and (pair := re.fullmatch(r" (\S.*?)\s+(\d+)(?: \(.*\))?", line)):
                settings[pair[1]] = int(pair[2])
        if not sources or not takes:
            return None
        return PowerState(
            {
                source: {key: value for key, value in found.items() if key in takes}
                for source, found in sources.items()
            }
        )
