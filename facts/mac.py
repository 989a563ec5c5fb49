"""What the Mac is, and who a user of it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyinfra.api import FactBase, StringCommand

from facts.homebrew import HomebrewState, homebrew_of
from facts.util import Record, read_lines
from files import script


@dataclass(frozen=True)
class MacState(Record):
    """A host. Memory and volume in bytes, boot time in seconds since 1970; None is unknown.

    `chip` is its CPU's name; `hypervisor`, whether VMs can have one; `installs_updates`, whether macOS
    installs its updates by itself, and restarts for them.
    """

    kernel: str
    macos: str | None
    arch: str
    rosetta: bool
    cpus: int | None
    memory: int | None
    volume_size: int | None
    volume_free: int | None
    homebrew: HomebrewState
    filevault: bool | None
    sleep_minutes: int | None
    auto_restart: bool | None
    boot_time: int | None
    console_user: str | None
    disk_sleep_minutes: int | None = None
    chip: str | None = None
    hypervisor: bool | None = None
    installs_updates: bool | None = None

    @property
    def macos_version(self) -> tuple[int, ...]:
        """The version as numbers, `(15, 5)`; empty when unknown."""
        return tuple(int(part) for part in re.findall(r"\d+", self.macos or ""))


# All three have to be on, as they are where nothing is set (Apple's device-management schema).
UPDATES = ("AutomaticCheckEnabled", "AutomaticDownload", "AutomaticallyInstallMacOSUpdates")


class Mac(FactBase["MacState | None"]):
    """
    Returns what the Mac is: version, architecture, CPUs, memory, Homebrew and its tools, FileVault,
    sleep, restart after a power failure, boot time, who is at the console, the chip and automatic updates;
    None when unreadable.

    .. code:: python

        MacState(macos="15.5", arch="arm64", cpus=8, homebrew=HomebrewState(...), ...)
    """

    def command(self) -> StringCommand:
        return script("facts/mac")

    def process(self, output: list[str]) -> MacState:
        lines = read_lines(output)
        values = lines.values
        apple_silicon = values.get("prefix") == "/opt/homebrew"
        size, _, free = values.get("volume", "").partition(" ")
        boot = re.search(r"sec = (\d+)", values.get("kern.boottime", ""))
        console = values.get("console_user") or None
        auto_restart = lines.number("autorestart")
        hypervisor = lines.number("kern.hv_support")
        return MacState(
            kernel=values.get("kernel", ""),
            macos=values.get("macos") or None,
            arch="arm64" if apple_silicon else values.get("machine", ""),
            rosetta=apple_silicon and values.get("machine") == "x86_64",
            cpus=lines.number("hw.ncpu"),
            memory=lines.number("hw.memsize"),
            volume_size=int(size) * 1024 if size.isdecimal() else None,
            volume_free=int(free) * 1024 if free.isdecimal() else None,
            homebrew=homebrew_of(lines),
            filevault={"On": True, "Off": False}.get(
                (re.findall(r"FileVault is (\w+)", values.get("filevault", "")) or [""])[0]
            ),
            sleep_minutes=lines.number("sleep"),
            auto_restart=None if auto_restart is None else auto_restart == 1,
            boot_time=int(boot[1]) if boot else None,
            # At the login window the console is root's.
            console_user=None if console == "root" else console,
            disk_sleep_minutes=lines.number("disksleep"),
            chip=values.get("machdep.cpu.brand_string") or None,
            hypervisor=None if hypervisor is None else hypervisor == 1,
            installs_updates=all(values.get(key) != "0" for key in UPDATES) if "updates" in values else None,
        )


@dataclass(frozen=True)
class UserState(Record):
    """A user. `home_present` is whether the home directory is there now: its volume may not be mounted."""

    uid: int
    home: str
    home_present: bool
    shell: str


@dataclass(frozen=True)
class NoUser(Record):
    """The directory service knows no such user."""

    missing: bool = True


class User(FactBase["UserState | NoUser | None"]):
    """
    Returns who a user is by the directory service; NoUser when there is none, None when unreadable.

    + user: the short name

    .. code:: python

        UserState(uid=502, home="/Users/alice", home_present=True, shell="/bin/zsh")
    """

    def command(self, user: str) -> StringCommand:
        return script("facts/user", user)

    def process(self, output: list[str]) -> UserState | NoUser | None:
        lines = read_lines(output)
        if lines.values.get("status") != "0":
            # eDSRecordNotFound, dscl's 56; everything else is not an answer.
            return NoUser() if lines.values.get("status") == "56" else None
        record: dict[str, str] = {}
        key = ""
        for line in output:
            if line.startswith(" ") and key:  # a value with a space stands on the next line
                record[key] = line[1:]
            elif match := re.fullmatch(r"(\w+):(?: (.*))?", line):
                key = match[1]
                record[key] = match[2] or ""
        try:
            return UserState(
                uid=int(record["UniqueID"]),
                home=record["NFSHomeDirectory"],
                home_present=lines.values.get("present") == "yes",
                shell=record.get("UserShell", "/bin/sh"),
            )
        except (KeyError, ValueError):
            return None
