"""What a reset would take, what one has left half-way, and the units that earlier ones have set aside."""

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
class Unfinished(Record):
    """What a reset or restore has begun and not ended: stage, mode (move, delete, restore) and unit."""

    stage: str
    mode: str
    unit: str | None


@dataclass(frozen=True)
class Contents(Record):
    """What a reset of a profile takes, and what is around it. Sizes in KiB.

    `others` are the other profiles of the state directory, which stay. `other_dir` is a second state
    directory, None when there is none, `other_dir_kib` its size and `other_dir_profiles` the profiles in it,
    each with its size. `free_kib` (None: unknown) and `same_volume` are the backup directory's, and
    `writable` says whether the user may write there; of its nearest directory that exists, where it does not.
    """

    parts: tuple[Part, ...]
    others: tuple[str, ...]
    other_dir: str | None
    other_dir_kib: int
    other_dir_profiles: tuple[tuple[str, int], ...]
    free_kib: int | None
    same_volume: bool
    writable: bool
    unfinished: Unfinished | None

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
    path: str
    complete: bool
    profile: str | None
    made: str | None
    kib: int
    vm_type: str | None
    disk: int | None
    parts: tuple[str, ...]


def sized(value: str) -> tuple[int, str]:
    """Split `KIB NAME`; a size that could not be had is 0."""
    kib, _, name = value.partition(" ")
    return int(kib) if kib.isdecimal() else 0, name


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
            parts.append(Part(what, path, int(kib) if kib.isdecimal() else 0))
        other_kib, other_dir = sized(values.get("other_dir", ""))
        others = (sized(value) for value in lines.every("other_dir_profile"))
        unfinished = None
        if "unfinished" in values:
            stage, mode = values["unfinished"] or "unknown", values.get("mode", "unknown")
            unfinished = Unfinished(stage, mode, values.get("unit") or None)
        return Contents(
            parts=tuple(parts),
            others=lines.every("other"),
            other_dir=other_dir or None,
            other_dir_kib=other_kib,
            other_dir_profiles=tuple((name, kib) for kib, name in others),
            free_kib=lines.number("free"),
            same_volume=lines.required("same_volume") == "yes",
            writable=lines.required("writable") == "yes",
            unfinished=unfinished,
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
        return [unit(read_lines([*output[start:end], "end"])) for start, end in pairwise(starts)]


def unit(lines: Lines) -> Unit:
    """One unit of facts/backups' answer.

    Raises FactProcessError when it has no path.
    """
    path = PurePosixPath(lines.required("path"))
    return Unit(
        name=path.name,
        path=str(path),
        complete=path.suffix != ".part",
        profile=lines.values.get("profile"),
        made=lines.values.get("made"),
        kib=lines.number("kib") or 0,
        vm_type=lines.values.get("vm_type"),
        disk=lines.number("disk"),
        parts=lines.every("part"),
    )
