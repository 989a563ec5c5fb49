"""What of Colima Pulse itself is installed on a Mac."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import FactBase, StringCommand

from facts.util import Record, read_lines
from files import script


@dataclass(frozen=True)
class ToolkitState(Record):
    """The commands, by their digest (None: there are none), and the settings of one label.

    `safe` is whether the file with the settings is root's alone; `settings` is empty where there is none.
    """

    digest: str | None
    settings: dict[str, str] = field(default_factory=dict)
    safe: bool = False


class Toolkit(FactBase["ToolkitState | None"]):
    """
    Returns which toolkit is installed, and what its commands know of a label; None when unreadable.

    + label: the LaunchDaemon's label

    .. code:: python

        ToolkitState(digest="5f2b..", settings={"user": "alice", "profile": "default", ...}, safe=True)
    """

    def command(self, label: str) -> StringCommand:
        return script("facts/toolkit", label)

    def process(self, output: list[str]) -> ToolkitState:
        lines = read_lines(output)
        settings = (line.partition("=") for line in lines.raw)
        return ToolkitState(
            digest=lines.values.get("digest"),
            settings={key: value for key, _, value in settings},
            safe=lines.values.get("settings") == "Regular File 0 0 644",
        )
