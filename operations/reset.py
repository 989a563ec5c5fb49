"""
Make a profile anew, or put a backup of it back: confirmed first, one backup, and finished when interrupted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pyinfra import host, state
from pyinfra.api import operation

from facts.backup import Contents, ProfileContents
from facts.colima import ColimaProfile
from facts.docker import DockerEngine, EngineState
from operations.util import terminal
from operations.util.ahead import together
from operations.util.commands import Commands, ask, explain, live, refuse
from operations.util.internals import hosts_of_run
from operations.util.words import size
from settings import Settings

# The modes of a backup, as the setting has them; a prompt becomes one of the others.
MOVE, PROMPT, DELETE = "move", "prompt", "false"


def stamp() -> str:
    """The end of the name of this run's backup: YYYYmmdd-HHMMSS."""
    return time.strftime("%Y%m%d-%H%M%S")


@dataclass(frozen=True)
class Place:
    """Whose profile it is, what supervises it, and where it goes: `unit` is the backup's path."""

    user: str
    profile: str
    label: str
    unit: str
    other_dir: str | None = None

    @classmethod
    def of(cls, settings: Settings, home: str, stamp: str, other_dir: str | None = None) -> Place:
        """The place of the profile that the settings name; `stamp` ends its backup's name."""
        user, profile = settings.homebrew_user, settings.colima_profile
        unit = f"{settings.backup_dir(home)}/{profile}-{stamp}"
        return cls(user, profile, settings.label, unit, other_dir)

    @property
    def name(self) -> str:
        return f"profile {self.profile} of {self.user}"

    @property
    def backup_dir(self) -> str:
        return self.unit.rpartition("/")[0]


def anything(contents: Contents) -> bool:
    """Whether there is something to back up or to delete."""
    return bool(contents.parts) or contents.other_dir is not None


def of_place(place: Place, contents: Contents) -> Contents:
    """The contents without a second state directory, where the place has none."""
    return contents if place.other_dir else replace(contents, other_dir=None, other_dir_kib=0)


def takes(place: Place, contents: Contents, mode: str) -> list[str]:
    """What would be moved or deleted, in words, a line each."""
    total = size(1024 * contents.kib)
    if mode == DELETE:
        found = [f"  DELETES without a backup, {total}:"]
    else:
        choice = ", or DELETES if you say so," if mode == PROMPT else ""
        found = [f"  moves{choice} to {place.unit}, {total}:"]
    found += [f"    {part.path} ({part.what}, {size(1024 * part.kib)})" for part in contents.parts]
    if contents.other_dir is not None:
        found.append(f"    {contents.other_dir} (the whole directory, {size(1024 * contents.other_dir_kib)})")
    return found


def stops(label: str, engine: EngineState | None) -> str:
    """What would be stopped, in words."""
    running = engine.running if engine is not None else []
    return f"  stops: {label}, the VM" + (f", and in it {', '.join(running)}" if running else "")


def plan(
    place: Place, contents: Contents, engine: EngineState | None, mode: str, *, anew: bool = True
) -> list[str]:
    """What a full reset would stop, move, delete and leave, in words; not `anew`: it goes for good."""
    found = [f"{'Full reset' if anew else 'Removal'} of {place.name}", stops(place.label, engine)]
    if anything(contents):
        found += takes(place, contents, mode)
    else:
        found.append("  there is nothing of it to back up or to delete")
    if contents.others:
        found.append(f"  leaves the other profiles as they are: {', '.join(contents.others)}")
    if anew:
        found.append("  makes it anew: with no image, container or volume in it")
    return found


def room(contents: Contents, mode: str) -> str | None:
    """Why the backup has no place; None: it has. Asked before anything is stopped."""
    if mode == DELETE or not anything(contents):
        return None
    if not contents.writable:
        return "the backup directory cannot be written by the user"
    if not contents.same_volume and contents.free_kib is not None and contents.free_kib < contents.kib:
        needs, free = size(1024 * contents.kib), size(1024 * contents.free_kib)
        return f"the backup takes {needs}, and its volume has {free} free"
    return None


def confirmation(place: Place, word: str, no_confirm: bool, force_yes: bool, anew: bool) -> str | None:
    """Have the word typed where it has to be; why the profile stays as it is, None: it is confirmed.

    With several hosts the word is typed for each, whatever stands in for it.
    """
    several = hosts_of_run() > 1
    if not terminal.is_there():
        return None if force_yes and not several else "there is no terminal to confirm this on"
    if no_confirm and not several:
        return None
    what = f"{'reset' if anew else 'remove'} {place.name}"
    typed = terminal.typed(f"[{host.name}] Type {word} to {what} on this host:")
    return None if typed == word else f"{word} was not typed"


@operation()
def confirmed(
    place: Place,
    mode: str = MOVE,
    word: str = "DESTROY",
    no_confirm: bool = False,
    force_yes: bool = False,
    anew: bool = True,
) -> Commands:
    """
    Have it confirmed on the controlling terminal that a profile goes, before anything else happens.

    + place: whose profile it is, and where its backup goes
    + mode: "move", "prompt" or "false", as the reset will have it
    + word: what has to be typed
    + no_confirm: for one host, do without the typing on a terminal
    + force_yes: for one host, go on where there is no terminal; on one the word is typed nevertheless
    + anew: whether the profile is made again afterwards, or goes for good

    Says all that would happen first. Fails the host when it is not confirmed.

    **Example:**

    .. code:: python

        reset.confirmed(
            name="Confirm the full reset",
            place=Place("alice", "default", "homebrew.mrcee.colima-pulse",
                        "/Users/alice/colima-pulse-backups/default-20261122-101530"),
        )
    """
    contents, engine = together(
        (
            ProfileContents,
            {
                "user": place.user,
                "profile": place.profile,
                "backup": place.backup_dir,
                "other": place.other_dir or "",
            },
        ),
        (DockerEngine, {"user": place.user, "profile": place.profile}),
    )
    if contents is None:
        yield from refuse(f"what {place.name} consists of cannot be read. Nothing was touched.")
        return
    contents = of_place(place, contents)
    for line in plan(place, contents, engine, mode, anew=anew):
        host.log(line)
    why = room(contents, mode)
    if why is not None:
        why += ". Choose another place with BACKUP_DIR_BASE, or go without a backup: --data backup=false"
    elif state.is_executing:
        why = confirmation(place, word, no_confirm, force_yes, anew)
    if why is not None:
        yield from refuse(f"{why}. Nothing was touched.")


@operation()
def set_aside(place: Place, mode: str = MOVE) -> Commands:
    """
    Take the profile out of its place: all of it goes into one backup, or is deleted.

    + place: whose profile it is, and where its backup goes
    + mode: "move", "false" (delete), or "prompt": asked on a terminal, and move without one

    Its job is stopped before, and stays disabled, so that a boot in the middle starts nothing. Nothing is
    deleted before the backup is complete, and other profiles are not touched. What cannot be set aside is
    started again.

    **Example:**

    .. code:: python

        reset.set_aside(name="Set the profile aside", place=Place("alice", "default", "..", "/Users/.."))
    """
    if mode == PROMPT and state.is_executing:
        question = f"[{host.name}] Move {place.name} to {place.unit}? (No deletes it)"
        mode = MOVE if terminal.ask(question, default=True) else DELETE
    if mode == DELETE:
        explain(f"Delete {place.name}, without a backup")
    else:
        choice = ", or delete it if you say so" if mode == PROMPT else ""
        explain(f"Set {place.name} aside to {place.unit}{choice}")
    other = [place.other_dir] if place.other_dir else []
    yield live("set-aside", place.label, "delete" if mode == DELETE else "move", place.unit, *other)
    if mode != DELETE:
        name = place.unit.rpartition("/")[2]
        host.log(f"To put it back: pyinfra {host.name} deploys/restore.py --data restore={name}")


@operation()
def resumed(place: Place) -> Commands:
    """
    Finish or undo a reset or a restore that was interrupted, as far as it had come.

    + place: whose profile it is

    **Example:**

    .. code:: python

        reset.resumed(name="Finish the reset", place=Place("alice", "default", "..", "/Users/.."))
    """
    found = ask(ColimaProfile, user=place.user, profile=place.profile)
    if found is not None and found.unfinished is None:
        host.noop("no reset was interrupted")
        return
    explain(f"Finish the interrupted reset of {place.name}")
    yield live("finish-reset", place.label)


@operation()
def restored(place: Place, backup: str) -> Commands:
    """
    Put a backup in the profile's place; what is there now becomes a backup itself.

    + place: whose profile it is, and where what is there now goes
    + backup: the path of the backup, which stays

    When that cannot be done, what was there is put back and started again.

    **Example:**

    .. code:: python

        reset.restored(
            name="Restore the backup", place=Place("alice", "default", "..", "/Users/.."),
            backup="/Users/alice/colima-pulse-backups/default-20261122-101530",
        )
    """
    explain(f"Put {place.name} back from {backup}")
    yield live("restore-backup", place.label, backup, place.unit)
