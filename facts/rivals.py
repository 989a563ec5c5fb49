"""The launchd jobs that have to do with Colima, and what each of them starts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record, plain
from files import script


@dataclass(frozen=True)
class Definition(Record):
    """A launchd job that mentions Colima or Lima: where it is defined, and what it starts.

    `kind` is file, link (a symbolic link, never opened), unreadable, or loaded (without a file); `label` is
    None where it cannot be read. The path of a directory that cannot be listed is unreadable as well.
    `profile` is the Colima profile that it starts, None where none is known; `user`
    is who it runs as.
    """

    kind: str
    domain: str
    path: str | None
    label: str | None
    profile: str | None = None
    user: str | None = None


def _definition(domain: str, directory: str, line: str) -> Definition:
    """One job, of a line of files/facts/rivals.

    What does not fit together is unreadable: that is only mentioned, and no user can void a deploy with it.
    """
    fields = line.split("\t")
    if len(fields) != 5:
        return Definition("unreadable", domain, directory or None, None)
    kind, name, label, profile, user = fields
    path = f"{directory}/{name}".removesuffix("/") or None
    in_place = name.endswith(".plist") and "/" not in name if directory else not name
    if kind == "link" and in_place:
        return Definition("link", domain, path, None)
    # An empty label would be the whole domain to launchctl.
    named = bool(label) and label.isprintable()
    if kind != ("file" if directory else "loaded") or not in_place or not named:
        return Definition("unreadable", domain, path, None)
    return Definition(kind, domain, path, label, profile or None, user or None)


class Definitions(FactBase["list[Definition] | None"]):
    """
    Returns the launchd jobs that mention Colima or Lima: daemons and agents, of the system and of one user,
    and what is loaded without a file; None when unreadable.

    + user: whose agents to look at
    + label: our own LaunchDaemon, which is left out, as is its pulse

    .. code:: python

        [Definition(kind="file", domain="gui/502", label="homebrew.mxcl.colima", profile="default",
                    user="alice", path="/Users/alice/Library/LaunchAgents/homebrew.mxcl.colima.plist")]
    """

    def command(self, user: str, label: str = "") -> StringCommand:
        return script("facts/rivals", user, label)

    def process(self, output: list[str]) -> list[Definition]:
        if not output or output[-1] != "end":
            raise FactProcessError("the answer is incomplete")
        found, place = [], None
        for line in output[:-1]:
            if place and line.startswith("|"):
                found.append(_definition(*place, plain(line[1:])))
            elif match := re.fullmatch(r"\[(\S+) (.*)\]", line):
                place = match[1], match[2]
            else:
                raise FactProcessError(f"the answer has a line {line!r}")
        return found
