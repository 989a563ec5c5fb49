"""
Make a profile anew, or put a backup of it back: confirmed first, one backup, and taken up when interrupted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.backup import Contents, ProfileContents
from facts.colima import ColimaProfile, ProfileState
from facts.docker import DockerEngine, EngineState
from facts.launchd import LaunchdJob, plist_path
from files import script
from operations.colima import STOP_SECONDS, stop_command, sweep_command
from operations.launchd import launchctl, load_job, stop_job
from operations.util import terminal
from operations.util.remote import Commands, ask, fail, run
from settings import Fault, Settings

# The modes of a backup, as the setting has them; a prompt becomes one of the others.
MOVE, PROMPT, DELETE = "move", "prompt", "false"

# How long launchd and Colima may take to let go of an instance, in seconds.
DRAIN_SECONDS = STOP_SECONDS + 75


def stamp() -> str:
    """What tells this run's backup from others: YYYYmmdd-HHMMSS."""
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
        """The place of the profile that the settings name; `stamp` tells its backup from others."""
        user, profile = settings.homebrew_user, settings.colima_profile
        unit = f"{settings.backup_dir(home)}/{profile}-{stamp}"
        return cls(user, profile, settings.label, unit, other_dir)

    @property
    def name(self) -> str:
        return f"profile {self.profile} of {self.user}"

    @property
    def backup_dir(self) -> str:
        return self.unit.rpartition("/")[0]


def faults(settings: Settings, hosts: int, *, has_terminal: bool) -> list[str]:
    """Why what takes a profile away cannot be confirmed: no terminal, and nothing that stands in for it."""
    key = "FULL_RESET" if settings.full_reset else "DELETE_VM"
    if not (settings.full_reset or settings.delete_vm) or has_terminal:
        return []
    if hosts > 1:
        why = (
            f"{hosts} hosts at once are confirmed by typing, host by host: run this on a terminal, or for "
            "one of them (--limit HOST)"
        )
    elif not settings.force_yes:
        why = "there is no terminal to confirm it on; to do it nevertheless, add --data force_yes=true"
    else:
        return []
    return [str(Fault(key, True, why))]


def gib(kib: int) -> str:
    """An amount of KiB as people read it."""
    return f"{kib / 1024**2:.1f} GiB" if kib >= 1024**2 else f"{kib / 1024:.1f} MiB"


def anything(contents: Contents) -> bool:
    """Whether there is something to back up or to delete."""
    return bool(contents.parts) or contents.other_dir is not None


def of_place(place: Place, contents: Contents) -> Contents:
    """The contents without a second state directory, where the place has none."""
    return contents if place.other_dir else replace(contents, other_dir=None, other_dir_kib=0)


def takes(place: Place, contents: Contents, mode: str) -> list[str]:
    """What would be moved or deleted, in words."""
    total = gib(contents.kib)
    if mode == DELETE:
        found = [f"  DELETES without a backup, {total}:"]
    else:
        choice = ", or DELETES if you say so," if mode == PROMPT else ""
        found = [f"  moves{choice} to {place.unit}, {total}:"]
    found += [f"    {part.path} ({part.what}, {gib(part.kib)})" for part in contents.parts]
    if contents.other_dir is not None:
        found.append(f"    {contents.other_dir} (the whole directory, {gib(contents.other_dir_kib)})")
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
        return f"the backup takes {gib(contents.kib)}, and its volume has {gib(contents.free_kib)} free"
    return None


def describe(place: Place, settings: Settings, profile: ProfileState) -> str | None:
    """What the reset would change, for a person who reads `--dry`; None: nothing."""
    if settings.full_reset and settings.backup == DELETE:
        return f"Delete {place.name}, without a backup"
    if settings.full_reset:
        return f"Set {place.name} aside to {place.unit}"
    if settings.restore:
        return f"Put {place.name} back from {place.backup_dir}/{settings.restore}"
    if profile.unfinished is not None:
        return f"Take up the interrupted reset of {place.name}"
    return None


def forecast(host: Host, place: Place, mode: str) -> list[str]:
    """The whole plan of a full reset, as things are now."""
    contents, engine = _look(host, place)
    if contents is None:
        return [f"what {place.name} consists of cannot be read"]
    why = room(contents, mode)
    return [*plan(place, contents, engine, mode), *([f"  but: {why}"] if why else [])]


def _look(host: Host, place: Place) -> tuple[Contents | None, EngineState | None]:
    contents = host.get_fact(
        ProfileContents,
        user=place.user,
        profile=place.profile,
        backup=place.backup_dir,
        other=place.other_dir or "",
    )
    return contents and of_place(place, contents), host.get_fact(
        DockerEngine, user=place.user, profile=place.profile
    )


def _confirm(
    state: State, host: Host, place: Place, mode: str, word: str, typed: bool, stands_in: bool, anew: bool
) -> bool:
    """Say what will happen, and have the word typed where it has to be."""
    contents, engine = _look(host, place)
    if contents is None:
        return fail(host, f"what {place.name} consists of cannot be read. Nothing was touched.")
    for line in plan(place, contents, engine, mode, anew=anew):
        host.log(line)
    if (why := room(contents, mode)) is not None:
        return fail(
            host,
            f"{why}. Nothing was touched.",
            "Choose another place with BACKUP_DIR_BASE, or go without a backup: --data backup=false",
        )
    if not terminal.is_there():
        if stands_in:
            return True
        return fail(host, "there is no terminal to confirm this on. Nothing was touched.")
    what = f"{'reset' if anew else 'remove'} {place.name}"
    if typed and terminal.typed(f"[{host.name}] Type {word} to {what} on this host:") != word:
        return fail(host, f"{word} was not typed. Nothing was touched.")
    return True


@operation()
def confirmed(
    place: Place,
    mode: str = MOVE,
    word: str = "DESTROY",
    no_confirm: bool = False,
    force_yes: bool = False,
    hosts: int = 1,
    anew: bool = True,
) -> Commands:
    """
    Have a full reset confirmed on the controlling terminal, before anything else happens.

    + place: whose profile it is, and where its backup goes
    + mode: "move", "prompt" or "false", as the reset will have it
    + word: what has to be typed
    + no_confirm: do without the typing on a terminal
    + force_yes: go on where there is no terminal; on one the word is typed nevertheless
    + hosts: how many the run is for; with several the word is typed for each, whatever the two say
    + anew: whether the profile is made again afterwards, or goes for good

    Fails the host when it is not.

    **Example:**

    .. code:: python

        reset.confirmed(
            name="Confirm the reset",
            place=Place("alice", "default", "homebrew.mrcee.colima-pulse",
                        "/Users/alice/colima-pulse-backups/default-20261122-101530"),
        )
    """
    typed = hosts > 1 or not no_confirm
    yield FunctionCommand(_confirm, (place, mode, word, typed, hosts == 1 and force_yes, anew), {})


def _stop(state: State, host: Host, place: Place) -> bool:
    """Stop all that runs of the profile, so that nothing starts it again, at a boot in between neither."""
    return stop_job(
        state,
        host,
        place.label,
        DRAIN_SECONDS,
        before_unload=stop_command(place.user, place.profile),
        after_unload=sweep_command(place.user, place.profile),
    )


def _start_again(state: State, host: Host, place: Place, was_loaded: bool) -> None:
    """Leave launchd as it was found."""
    if was_loaded:
        if load_job(state, host, place.label):
            host.log(f"{place.label} was started again")
    else:
        launchctl(state, host, "enable", f"system/{place.label}")


def _move(state: State, host: Host, place: Place, mode: str) -> bool:
    """Set aside what is in place of the profile, or delete it; or finish what an earlier run began."""
    command = script(
        "bin/set-aside",
        place.user,
        place.profile,
        {DELETE: "delete"}.get(mode, mode),
        place.unit,
        plist_path(place.label),
        *([place.other_dir] if place.other_dir else []),
    )
    return run(state, host, command, live=True)[0]


def _set_aside(state: State, host: Host, place: Place, mode: str) -> bool:
    """Stop the profile and set it aside; when that cannot be done, start it again."""
    if mode == PROMPT:
        keep = terminal.ask(f"[{host.name}] Move {place.name} to {place.unit}? (No deletes it)", default=True)
        mode = MOVE if keep else DELETE
    job = host.get_fact(LaunchdJob, label=place.label)
    if job is None:
        return fail(host, f"launchd's answer about {place.label} cannot be read. Nothing was touched.")
    if not _stop(state, host, place):
        _start_again(state, host, place, was_loaded=False)
        return False
    if _move(state, host, place, mode):
        if mode == MOVE:
            name = place.unit.rpartition("/")[2]
            host.log(f"To put it back: pyinfra {host.name} deploys/restore.py --data restore={name}")
        return True
    found = host.get_fact(ColimaProfile, user=place.user, profile=place.profile)
    if found is not None and found.unfinished is None:
        _start_again(state, host, place, job.loaded)
    return fail(host, f"{place.name} was not reset. Remove the cause, and run this again.")


@operation()
def set_aside(place: Place, mode: str = MOVE) -> Commands:
    """
    Keep nothing of the profile in place: all of it goes into one backup, or is deleted.

    + place: whose profile it is, and where its backup goes
    + mode: "move", "false" (delete), or "prompt": asked on a terminal, and move without one

    The job is disabled meanwhile, so that a boot in the middle starts nothing. Nothing is deleted before the
    backup is complete, and other profiles are not touched. What cannot be set aside is started again.

    **Example:**

    .. code:: python

        reset.set_aside(name="Set the profile aside", place=Place("alice", "default", "..", "/Users/.."))
    """
    yield FunctionCommand(_set_aside, (place, mode), {})


def _resume(state: State, host: Host, place: Place) -> bool:
    return (_stop(state, host, place) and _move(state, host, place, "resume")) or fail(
        host, f"the interrupted reset of {place.name} cannot be ended. Remove the cause, and run this again."
    )


@operation()
def resumed(place: Place) -> Commands:
    """
    Finish or undo a reset or a restore that was interrupted, as far as it had come.

    + place: whose profile it is

    **Example:**

    .. code:: python

        reset.resumed(name="Take up the reset", place=Place("alice", "default", "..", "/Users/.."))
    """
    found = ask(ColimaProfile, user=place.user, profile=place.profile)
    if found is not None and found.unfinished is None:
        host.noop("no reset was interrupted")
        return
    host.log(f"a reset of {place.name} was interrupted: it is taken up first", logger.warning)
    yield FunctionCommand(_resume, (place,), {})


def _restore(state: State, host: Host, place: Place, backup: str) -> bool:
    """Set aside what is there, and put the backup in its place; when that cannot be done, what was there."""
    job = host.get_fact(LaunchdJob, label=place.label)
    if job is None:
        return fail(host, f"launchd's answer about {place.label} cannot be read. Nothing was touched.")
    if not _stop(state, host, place):
        _start_again(state, host, place, was_loaded=False)
        return False
    if not _move(state, host, place, "resume"):
        return False
    contents, _ = _look(host, place)
    if contents is None:
        return fail(host, f"what {place.name} consists of cannot be read.")
    if anything(contents) and not _move(state, host, place, MOVE):
        return fail(host, f"{place.name} stays as it was; {backup} was not put back.")
    if run(state, host, script("bin/restore-backup", place.user, place.profile, backup), live=True)[0]:
        return True
    fail(host, f"{backup} cannot be put back.")
    if (
        contents.parts
        and run(state, host, script("bin/restore-backup", place.user, place.profile, place.unit), live=True)[
            0
        ]
    ):
        host.log("What was there before is in its place again.")
    _start_again(state, host, place, job.loaded)
    return False


@operation()
def restored(place: Place, backup: str) -> Commands:
    """
    Put a backup in the profile's place; what is there now becomes a backup itself.

    + place: whose profile it is, and where what is there now goes
    + backup: the path of the backup, which stays

    **Example:**

    .. code:: python

        reset.restored(
            name="Put the backup back", place=Place("alice", "default", "..", "/Users/.."),
            backup="/Users/alice/colima-pulse-backups/default-20261122-101530",
        )
    """
    yield FunctionCommand(_restore, (place, backup), {})
