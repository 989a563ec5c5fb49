"""Homebrew, and the formulae that a VM runs on: colima, lima and qemu."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Lines, Record, plain, read_lines
from files import script

FORMULAE = ("colima", "lima", "qemu")


@dataclass(frozen=True)
class HomebrewState(Record):
    """Where Homebrew belongs on this hardware, where it is and whose, and which tools are in the prefix."""

    prefix: str
    brew: str | None
    owner: str | None
    tools: tuple[str, ...]


def homebrew_of(lines: Lines) -> HomebrewState:
    """What a script says that calls homebrew() of files/lib/homebrew."""
    return HomebrewState(
        prefix=lines.values.get("prefix", ""),
        brew=lines.values.get("brew"),
        owner=lines.values.get("brew_owner") or None,
        tools=lines.every("tool"),
    )


class Homebrew(FactBase["HomebrewState | None"]):
    """
    Returns what Homebrew there is, without calling brew; None when unreadable.

    .. code:: python

        HomebrewState(prefix="/opt/homebrew", brew="/opt/homebrew/bin/brew", owner="alice", tools=("colima",))
    """

    def command(self) -> StringCommand:
        return script("facts/homebrew")

    def process(self, output: list[str]) -> HomebrewState:
        return homebrew_of(read_lines(output))


@dataclass(frozen=True)
class Formula(Record):
    """An installed formula: `linked` is when, in seconds since 1970; brew upgrades none that is `pinned`."""

    version: str
    linked: int
    pinned: bool


@dataclass(frozen=True)
class FormulaeState(Record):
    """The formulae that are installed, by name, and the process of Colima's job.

    `entitled` says whether QEMU's signature lets it use the hypervisor. `now` is the Mac's clock in seconds
    since 1970, `age` for how long the process has run, None where there is none, and `up` the Mac. None is
    unknown.
    """

    installed: dict[str, Formula]
    entitled: bool | None = None
    now: int | None = None
    age: int | None = None
    up: int | None = None

    def version(self, name: str) -> str | None:
        """The version of a formula; None where Homebrew has not installed it."""
        return self.installed[name].version if name in self.installed else None

    @property
    def newer(self) -> tuple[str, ...] | None:
        """What was installed after the process began, such as "qemu 10.1.2"; None where that is not known."""
        if not self.installed or self.now is None or self.age is None or self.up is None:
            return None
        # A process from before the boot: the clock was set since.
        if self.age > self.up:
            return None
        began = self.now - self.age
        return tuple(f"{name} {each.version}" for name, each in self.installed.items() if each.linked > began)


def elapsed_seconds(text: str) -> int | None:
    """A time as ps(1) writes it, [[DAYS-]HOURS:]MINUTES:SECONDS, in seconds; None when it is none."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


class Formulae(FactBase["FormulaeState | None"]):
    """
    Returns what Homebrew has installed of colima, lima and qemu, whether QEMU may use the hypervisor, and how
    long Colima has run; None when unreadable. Calls no brew.

    + user: who owns Homebrew
    + label: the LaunchDaemon that runs Colima

    .. code:: python

        FormulaeState(installed={"qemu": Formula("10.1.2", linked=1763800000, pinned=True)}, entitled=True,
                      now=1763900000, age=86400, up=90000)
    """

    def command(self, user: str, label: str) -> StringCommand:
        return script("facts/formulae", user, label)

    def process(self, output: list[str]) -> FormulaeState:
        lines = read_lines(output)
        installed = {}
        for each in lines.every("formula", words=4):
            name, linked, pinned, version = each.split(" ", 3)
            if not re.fullmatch(r"\d{1,15}", linked):
                raise FactProcessError(f"no time: {linked!r}")
            installed[name] = Formula(version, int(linked), pinned == "yes")
        return FormulaeState(
            installed,
            entitled={"yes": True, "no": False}.get(lines.values.get("entitled", "")),
            now=lines.number("now"),
            age=elapsed_seconds(lines.values.get("elapsed", "")),
            up=lines.number("up"),
        )


@dataclass(frozen=True)
class Upgrade(Record):
    """A formula of which Homebrew has a newer version."""

    name: str
    installed: str
    newest: str

    def __str__(self) -> str:
        return f"{self.name} {self.installed} -> {self.newest}"


class Outdated(FactBase["list[Upgrade] | None"]):
    """
    Returns what Homebrew has newer versions of, of colima, lima and qemu, by asking brew, which takes seconds
    and may update its index; None when it does not tell.

    + user: who owns Homebrew

    .. code:: python

        [Upgrade("qemu", "10.1.2", "10.2.0")]
    """

    def command(self, user: str) -> StringCommand:
        return script("facts/outdated", user)

    def process(self, output: list[str]) -> list[Upgrade] | None:
        raw = read_lines(output).raw
        try:
            # brew may have updated itself first, and said so.
            said = json.loads("\n".join(raw[raw.index("{") :]))
            found = [
                # One of another tap has that before its name.
                Upgrade(
                    str(each["name"]).rpartition("/")[2],
                    plain(", ".join(map(str, each["installed_versions"]))),
                    plain(str(each["current_version"])),
                )
                for each in said["formulae"]
            ]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return [each for each in found if each.name in FORMULAE]
