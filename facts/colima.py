"""What Lima says of a Colima profile. The one module that knows Colima's and Lima's states.

`limactl list --json` is asked, never `colima status`: that one prints a label for the VM type, calls a broken
instance "not running" and makes several SSH calls without a limit (Colima 0.6 to 0.10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.launchd import NOT_FOUND, OK
from facts.util import Record, read_lines
from files import script, script_as

RUNNING = "Running"
QEMU = "qemu"


def profile_of(name: str) -> str:
    """A profile's short name, whichever way it is written (colima config/profile.go)."""
    if name in {"", "default", "colima"}:
        return "default"
    return name.removeprefix("colima-")


@dataclass(frozen=True)
class ProfileState(Record):
    """A Colima profile and Lima's instance of it. Memory in bytes, disk in GiB.

    `status` is Lima's word (Running, Stopped, Broken, ...), None when there is no instance. Running says that
    the host agent answers, not that the guest has booted. `provisioned` says that a start has succeeded once.
    `other_dir` is a state directory beside ~/.colima; `profiles` and `other_profiles` have an instance in
    the one and in the other.
    `unfinished` is the stage at which a reset or a restore was interrupted, None when none was.
    """

    home: str
    instance: str
    state_dir: bool
    other_dir: str | None
    data_disk: bool
    provisioned: bool = False
    status: str | None = None
    vm_type: str | None = None
    runtime: str | None = None
    cpus: int | None = None
    memory: int | None = None
    disk: int | None = None
    profiles: tuple[str, ...] = ()
    other_profiles: tuple[str, ...] = ()
    unfinished: str | None = None


class ColimaProfile(FactBase["ProfileState | None"]):
    """
    Returns a profile's state as Lima has it; None when unreadable, `status=None` when it does not exist.

    + user: who runs Colima
    + profile: the profile's short name

    .. code:: python

        ProfileState(instance="colima", status="Running", vm_type="qemu", cpus=2, disk=20, ...)
    """

    def command(self, user: str, profile: str = "default") -> StringCommand:
        return script_as(user, 60, "facts/profile", user, profile)

    def process(self, output: list[str]) -> ProfileState | None:
        lines = read_lines(output)
        values = lines.values
        if not values.get("home"):
            return None
        state = ProfileState(
            home=values["home"],
            instance=lines.required("instance"),
            state_dir=values.get("state_dir") == "yes",
            other_dir=values.get("other_dir") or None,
            data_disk=values.get("data_disk") == "yes",
            provisioned=values.get("provisioned") == "yes",
            profiles=lines.every("profile"),
            other_profiles=lines.every("other_profile"),
            unfinished=(values["unfinished"] or "unknown") if "unfinished" in values else None,
        )
        if values.get("lima") == "absent":
            return state
        if values.get("lima") != "0":
            return None
        try:
            instances = lines.objects()
        except FactProcessError:
            return None
        for instance in instances:
            if instance.get("name") == state.instance:
                return replace(
                    state,
                    status=str(instance.get("status") or "Unknown"),
                    vm_type=instance.get("vmType"),
                    runtime=values.get("runtime") or None,
                    cpus=instance.get("cpus"),
                    memory=instance.get("memory"),
                    disk=lines.number("disk"),
                )
        return state


@dataclass(frozen=True)
class Disk(Record):
    """A file system: what it holds, what of that is used and what is free to users, in bytes."""

    size: int
    used: int
    free: int


@dataclass(frozen=True)
class GuestState(Record):
    """A profile's guest, asked over SSH: whether it answers, and systemd's words for Docker in it.

    The words (active, activating, failed, inactive, ...) are None where they are not known. `docker_seconds`
    is for how long Docker has been active, None where it is not or that is not known; `disk` is what holds
    its images, containers and volumes. `clock_off` is by how many seconds its clock is ahead of the Mac's at
    least (below 0: behind), 0 where the time that the question took explains it.
    """

    answers: bool
    docker: str | None = None
    containerd: str | None = None
    docker_seconds: int | None = None
    disk: Disk | None = None
    clock_off: int | None = None


def _off(before: int | None, clock: int | None, after: int | None) -> int | None:
    """How far a clock is ahead of one that showed `before` at the question and `after` at the answer."""
    if before is None or clock is None or after is None:
        return None
    return min(clock - before, 0) or max(clock - after, 0)


class Guest(FactBase["GuestState | None"]):
    """
    Returns whether the guest answers within 15 s, systemd's words for Docker there, for how long it has been
    active, how full its disk is and how far its clock is off; None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name

    .. code:: python

        GuestState(answers=True, docker="active", containerd="active", docker_seconds=86400,
                   disk=Disk(size=63089479680, used=12884901888, free=46976204800), clock_off=0)
    """

    def command(self, user: str, profile: str = "default") -> StringCommand:
        return script("facts/guest", user, profile)

    def process(self, output: list[str]) -> GuestState | None:
        lines = read_lines(output)
        values = lines.values
        if values.get("answers") not in ("yes", "no"):
            return None
        entered, uptime = lines.number("entered"), lines.number("uptime")
        seconds = None
        # 0 is of a unit that was never active; the last time of one that has failed since stays.
        if values.get("docker") == "active" and entered and uptime is not None:
            seconds = max(uptime - entered // 1_000_000, 0)
            # No guest has been up for thirty years.
            if seconds > 1_000_000_000:
                seconds = None
        sizes = [int(word) * 1024 for word in values.get("disk", "").split() if word.isdecimal()]
        return GuestState(
            answers=values["answers"] == "yes",
            docker=values.get("docker") or None,
            containerd=values.get("containerd") or None,
            docker_seconds=seconds,
            disk=Disk(*sizes) if len(sizes) == 3 else None,
            clock_off=_off(lines.number("before"), lines.number("clock"), lines.number("after")),
        )


@dataclass(frozen=True)
class LogState(Record):
    """A log's size in bytes, 0 where there is none.

    `exposed` is why it was not looked at: which part of its path another than root could replace.
    """

    size: int
    exposed: str | None = None


class Log(FactBase["LogState | None"]):
    """
    Returns how large a log is, and whether root may work on it; None when unreadable.

    + path: the log

    .. code:: python

        LogState(size=2048)
    """

    def command(self, path: str) -> StringCommand:
        return script("facts/log", path)

    def process(self, output: list[str]) -> LogState:
        lines = read_lines(output)
        return LogState(lines.number("size") or 0, lines.values.get("exposed") or None)


@dataclass(frozen=True)
class StraysState(Record):
    """What runs of a profile without launchd, and what a crash has left of it.

    `supervised` says that launchd has our job loaded: then nothing else was looked at. `processes` has each
    pid with its command line, `stale` each leftover's path with why it is one. `held_by` is another instance,
    which runs and holds this one's data disk.
    """

    supervised: bool
    processes: tuple[tuple[int, str], ...] = ()
    stale: tuple[tuple[str, str], ...] = ()
    held_by: str | None = None


class Strays(FactBase["StraysState | None"]):
    """
    Returns what runs of a profile that launchd does not supervise, and what a crash has left; None when
    unreadable, which is not the same as nothing.

    + user: who runs Colima
    + profile: the profile's short name
    + label: our LaunchDaemon

    .. code:: python

        StraysState(supervised=False, processes=((4711, "colima start"),), stale=(), held_by=None)
    """

    def command(self, user: str, profile: str, label: str) -> StringCommand:
        return script("facts/strays", user, profile, label)

    def process(self, output: list[str]) -> StraysState | None:
        lines = read_lines(output)
        launchctl = lines.required("launchctl")
        if launchctl == str(OK):
            return StraysState(supervised=True)
        if launchctl != str(NOT_FOUND) or lines.values.get("looked") != "yes":
            return None
        processes = []
        for pid, _, command in (value.partition(" ") for value in lines.every("process")):
            if not pid.isdecimal():
                raise FactProcessError(f"no pid: {pid!r}")
            processes.append((int(pid), command))
        stale = []
        held_by = None
        for path, _, why in (value.partition("\t") for value in lines.every("stale")):
            # "held by INSTANCE" is the disk's lock: files/lib/leftovers.
            if (holder := why.removeprefix("held by ")) != why:
                held_by = holder
            else:
                stale.append((path, why))
        return StraysState(False, tuple(processes), tuple(stale), held_by)
