"""Which launchd jobs start Colima, told by what they run and not by what they are called."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from facts.launchd import Definition


@dataclass(frozen=True)
class Start:
    """What a job's command line starts: a Colima profile, as which user (None: as the job's own)."""

    profile: str
    user: str | None = None


@dataclass(frozen=True)
class Rival:
    """A job that has to do with Colima: `starts_ours`, or only to be mentioned, with the reason in words."""

    definition: Definition
    starts_ours: bool
    why: str

    @property
    def name(self) -> str:
        """What to call it: its label, and where it is defined."""
        where = self.definition.path or f"loaded in {self.definition.domain}, without a file"
        return f"{self.definition.label or 'a job'} ({where})"


def profile_of(name: str) -> str:
    """A profile's short name, whichever way it is written (colima config/profile.go)."""
    if name in {"", "default", "colima"}:
        return "default"
    return name.removeprefix("colima-")


def _words(arguments: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The words that are run in the end, a shell's or su's command line taken apart, and su's user."""
    user = None
    words: list[str] = []
    names = [PurePosixPath(word).name for word in arguments[:1]]
    if names == ["su"]:
        user = next((word for word in arguments[1:] if not word.startswith("-")), None)
    if names == ["sudo"] and "-u" in arguments[:-1]:
        user = arguments[arguments.index("-u") + 1]
    for index, word in enumerate(arguments):
        if index and re.fullmatch(r"-[a-z]*c", arguments[index - 1]):
            try:
                words += [part.rstrip(";") for part in shlex.split(word)]
            except ValueError:
                words += word.split()
        else:
            words.append(word)
    return words, user


def start_of(arguments: tuple[str, ...], environment: dict[str, str], home: str) -> Start | None:
    """What the command line starts; None when it does not start Colima, as far as it can be told."""
    words, user = _words(arguments)
    for index, word in enumerate(words[:-1]):
        program = PurePosixPath(word).name
        rest = words[index + 1 :]
        if program == "colima" and (verb := _verb(rest)) is not None and rest[verb] in {"start", "restart"}:
            return Start(_colima_profile(rest[:verb], rest[verb + 1 :], environment), user)
        if program in {"limactl", "lima"} and "start" in rest:
            lima_home = environment.get("LIMA_HOME", "")
            instance = next((each for each in rest[rest.index("start") + 1 :] if each[:1] != "-"), "")
            # Any other Lima home holds instances that are not Colima's, whatever they are called.
            if lima_home == f"{home}/.colima/_lima" and instance.startswith("colima"):
                return Start(profile_of(instance), user)
    return None


def _verb(words: list[str]) -> int | None:
    """Where colima's verb is: behind its global flags, of which the profile's takes a value."""
    index = 0
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in {"-p", "--profile"} else 1
    return index if index < len(words) else None


def _colima_profile(before: list[str], after: list[str], environment: dict[str, str]) -> str:
    words = [*before, *after]
    for index, word in enumerate(words):
        if word in {"-p", "--profile"} and index + 1 < len(words):
            return profile_of(words[index + 1])
        if match := re.fullmatch(r"(?:-p|--profile=)(.+)", word):
            return profile_of(match[1].removeprefix("="))
    if after and not after[0].startswith("-"):
        return profile_of(after[0])
    return profile_of(environment.get("COLIMA_PROFILE", ""))


def judge(definition: Definition, label: str, user: str, home: str, profile: str) -> Rival | None:
    """Judge one job; None when it is our own. Jobs of other profiles and users are only mentioned."""
    ours = {label, f"{label}.pulse"}
    if definition.domain == "system" and definition.label in ours:
        return None

    def mention(why: str) -> Rival:
        return Rival(definition, False, why)

    if definition.kind == "link":
        return mention("it is a symbolic link; see what it leads to")
    if definition.kind == "unreadable" or definition.label is None:
        return mention("it cannot be read")
    start = start_of(definition.arguments, definition.environment, home)
    if start is None:
        return mention("what it runs is not known to start Colima")
    runs_as = start.user or definition.username or ("root" if definition.domain == "system" else user)
    if runs_as != user:
        return mention(f"it runs as {runs_as}")
    if start.profile != profile:
        return mention(f"it starts profile {start.profile}")
    return Rival(definition, True, f"it starts profile {profile} as well")
