"""What a reset would take, and the backups that earlier ones have made."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from pyinfra.api import FactBase, StringCommand

from facts.util import Lines, Record, read_lines
from files import script_as


@dataclass(frozen=True)
class Part(Record):
    """A part of a profile: `what` it is (profile, instance, disk, store.json), its path and size in KiB."""

    what: str
    path: str
    kib: int


@dataclass(frozen=True)
class Contents(Record):
    """What a reset of a profile takes, and what is around it. Sizes in KiB.

    `others` are the other profiles of the state directory, which stay. `other_dir` is a second state
    directory, None when there is none, and `other_dir_kib` its size. `free_kib` (None: unknown) and
    `same_volume` are the backup directory's, and `writable` is whether the user may write there; of its
    nearest directory that exists, where it does not.
    """

    parts: tuple[Part, ...]
    others: tuple[str, ...]
    other_dir: str | None
    other_dir_kib: int
    free_kib: int | None
    same_volume: bool
    writable: bool

    @property
    def kib(self) -> int:
        """What a backup of all of it takes on another volume."""
        return sum(part.kib for part in self.parts) + self.other_dir_kib


@dataclass(frozen=True)
class Unit(Record):
    """A profile that was set aside: a directory. Disk in GiB, `made` in ISO 8601, UTC.

    `complete` is False for one whose making was interrupted; it then has no `made`, and often no `profile`.
    """

    name: str
    complete: bool
    profile: str | None
    made: str | None
    kib: int
    vm_type: str | None
    disk: int | None


def _kib(value: str) -> int:
    """A size; one that could not be had is 0."""
    return int(value) if value.isdecimal() else 0


class ProfileContents(FactBase["Contents | None"]):
    """
    Returns what a full reset of a profile would take; None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name
    + backup: the absolute path of the directory that units go to; it need not exist
    + other: a second state directory; `~/.config/colima` without

    .. code:: python

        Contents(parts=(Part("profile", "/Users/alice/.colima/default", 8), ...), others=("work",), ...)
    """

    def command(self, user: str, profile: str, backup: str, other: str = "") -> StringCommand:
        return script_as(user, 900, "facts/contents", user, profile, backup, other)

    def process(self, output: list[str]) -> Contents | None:
        lines = read_lines(output)
        values = lines.values
        if not values.get("home"):
            return None
        parts = []
        for what, kib, path in (value.split(" ", 2) for value in lines.every("part", words=3)):
            parts.append(Part(what, path, _kib(kib)))
        other_kib, _, other_dir = values.get("other_dir", "").partition(" ")
        return Contents(
            parts=tuple(parts),
            others=lines.every("other"),
            other_dir=other_dir or None,
            other_dir_kib=_kib(other_kib),
            free_kib=lines.number("free"),
            same_volume=lines.required("same_volume") == "yes",
            writable=lines.required("writable") == "yes",
        )


class Backups(FactBase["list[Unit] | None"]):
    """
    Returns the units in a backup directory, by name; None when unreadable.

    + user: who runs Colima
    + backup: the absolute path of the directory

    .. code:: python

        [Unit(name="default-20261122-101530", complete=True, profile="default", kib=20971520, ...)]
    """

    def command(self, user: str, backup: str) -> StringCommand:
        return script_as(user, 900, "facts/backups", user, backup)

    def process(self, output: list[str]) -> list[Unit] | None:
        if not read_lines(output).values.get("home"):
            return None
        starts = [at for at, line in enumerate(output) if line == "[unit]"] + [len(output) - 1]
        return [_unit(read_lines([*output[start:end], "end"])) for start, end in pairwise(starts)]


def _unit(lines: Lines) -> Unit:
    path = PurePosixPath(lines.required("path"))
    return Unit(
        name=path.name,
        complete=path.suffix != ".part",
        profile=lines.values.get("profile"),
        made=lines.values.get("made"),
        kib=lines.number("kib") or 0,
        vm_type=lines.values.get("vm_type"),
        disk=lines.number("disk"),
    )
