"""What an installation has left on a Mac besides launchd's jobs, the VM and backups."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import FactBase, StringCommand

from facts.util import Record, read_lines
from files import script


@dataclass(frozen=True)
class TracesState(Record):
    """What there is: `paths` of this installation alone; `others`, the labels of other installations, which
    use the same scripts; `unfinished`, the user and the profile of each reset that was interrupted."""

    paths: tuple[str, ...]
    others: tuple[str, ...] = ()
    unfinished: tuple[tuple[str, str], ...] = ()


class Traces(FactBase["TracesState | None"]):
    """
    Returns what an installation has left: scripts, state, logs, and a directory for Colima's temporary files;
    None when unreadable.

    + user: who runs Colima
    + label: the LaunchDaemon's label
    + log_path: Colima's log

    .. code:: python

        TracesState(paths=("/Library/ColimaPulse", "/var/run/colima-pulse", "/var/log/colima.log"))
    """

    def command(self, user: str, label: str, log_path: str) -> StringCommand:
        return script("facts/traces", user, label, log_path)

    def process(self, output: list[str]) -> TracesState:
        lines = read_lines(output)
        resets = (value.split(" ", 1) for value in lines.every("unfinished", words=2))
        return TracesState(
            lines.every("trace"), lines.every("other"), tuple((user, profile) for user, profile in resets)
        )
