"""
Collect what can be told of a profile that does not work, for the one who has to find out why.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from pyinfra import logger, state
from pyinfra.api import Host, State

from files import script_as
from operations.util.fleet import wants_json
from operations.util.remote import NO_PASSWORD, fail, is_connected, run
from operations.util.terminal import safe

DIRECTORY = Path("diagnostics")

# The script's own deadlines sum up to less; this is for a Mac that says nothing any more.
SECONDS = 120

# What a terminal is shown of a log, and of any other part.
LOG_LINES = 20
PART_LINES = 12

HIDDEN = "***"
SHORT = 4  # a shorter value would be found everywhere

# A log may hold a word of any length: looked at are its beginning, or at most so many characters.
_SECRET = r"(?:passw(?:or)?d|passphrase|secret|token|key|credential)[\w.-]{0,64}"
_SECRET_KEY = rf"[\w.-]{{0,64}}{_SECRET}"
_PATTERNS = [
    # Authorization headers, whatever their scheme.
    (r"((?:proxy-)?authorization|x-registry-auth)([ \t\"']*[:=][ \t]*).+", r"\1\2" + HIDDEN),
    (r"\b(bearer) +[^\s\"']+", r"\1 " + HIDDEN),
    # user:password@ and token@ in URLs.
    (r"(://)(?:[^\s/@:]{0,256}:\S{1,1024}|[^\s/@]{1,1024})@", r"\1" + HIDDEN + "@"),
    # A variable that has its line to itself, as `launchctl print` has arguments and the environment.
    (rf"^([ \t]*(?:--env[= ])?{_SECRET_KEY}(?:=| => )).+$", r"\1" + HIDDEN),
    # KEY=VALUE, KEY: VALUE and "KEY": "VALUE" among other words.
    (
        rf"((?<![\w.-])[\w.-]*{_SECRET}[\"']?(?:=|[ \t]*:[ \t]*|[ \t]+=>[ \t]+))"
        r"(\"(?:[^\"\\\n]|\\.)*\"?|'[^'\n]*'?|[^\s\"',}]+)",
        r"\1" + HIDDEN,
    ),
    # --password VALUE
    (rf"(--{_SECRET_KEY}[ \t]+)(?!-)\S+", r"\1" + HIDDEN),
]
_MASKS = [(re.compile(pattern, re.IGNORECASE | re.MULTILINE), mask) for pattern, mask in _PATTERNS]


class Secrets(tuple[str, ...]):
    """Values to be shown nowhere, not even in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secrets of {len(self)} values"

    __str__ = __repr__


def secrets_of(flags: Iterable[str], installers: Mapping[str, str]) -> Secrets:
    """What must be masked: the values that `flags` of `colima start` put into the VM, and the installers'."""
    found = list(installers.values())
    words = list(flags)
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--env":
            variables = value if equals else "".join(words[index + 1 : index + 2])
            found.append(variables.partition("=")[2])
    return Secrets(dict.fromkeys(value for value in found if value))


def _forms(secret: str) -> set[str]:
    """A secret as it may be written: each of its lines, bare, and as JSON, logs and shells escape it."""
    forms = set()
    for line in (secret, *secret.splitlines()):
        bare = line.strip()
        forms |= {bare, json.dumps(bare)[1:-1], json.dumps(bare, ensure_ascii=False)[1:-1]}
        forms.add(shlex.quote(bare).removeprefix("'").removesuffix("'"))
    return forms - {""}


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without `secrets` and without what looks like one: passwords, tokens, keys, credentials.

    A secret of less than four characters is masked only where it is a variable's value: it is found in
    every other word.
    """
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        if len(form) >= SHORT:
            text = text.replace(form, HIDDEN)
        else:
            text = re.sub(rf"(?<==){re.escape(form)}(?!\w)", HIDDEN, text)
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


@dataclass(frozen=True)
class Part:
    """One thing that was asked, and what was answered."""

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join([f"== {self.title} ==", *self.lines, ""])

    @property
    def excerpt(self) -> list[str]:
        """What a terminal is shown of it: a log's end, the beginning of all else."""
        log = re.search(r"(?:^|: )log\b", self.title) is not None
        most = LOG_LINES if log else PART_LINES
        left = len(self.lines) - most
        if left <= 0:
            return list(self.lines)
        more = f"({left} more lines)"
        return [more, *self.lines[-most:]] if log else [*self.lines[:most], more]


def parts(output: Iterable[str]) -> list[Part]:
    """What files/diagnose printed, taken apart; lines that are none of its own are a part as well."""
    found: list[tuple[str, list[str]]] = []
    strays: list[str] = []
    ended = False
    for line in output:
        if found and line.startswith("|"):
            found[-1][1].append(safe(line[1:]))
        elif match := re.fullmatch(r"== (.*) ==", line):
            found.append((match[1], []))
        elif line == "end":
            ended = True
        else:
            strays.append(safe(line))
    if not ended:
        strays.append("(the answer is incomplete)")
    if strays:
        found.append(("the questions themselves", strays))
    return [Part(title, tuple(lines)) for title, lines in found]


def file_name(host: str, moment: time.struct_time) -> str:
    """The name of a host's file: HOST-YYYYmmdd-HHMMSS."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-.")[:100] or "host"
    return f"{safe}-{time.strftime('%Y%m%d-%H%M%S', moment)}"


def write(directory: Path, name: str, text: str) -> Path:
    """Write a new file NAME.txt that its owner alone can read; NAME-2.txt where there is one already.

    Raises OSError.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    number = 1
    while True:
        path = directory / (f"{name}.txt" if number == 1 else f"{name}-{number}.txt")
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(file, "w", encoding="utf-8", errors="replace") as target:
            target.write(text)
        return path


def collect(
    state: State,
    host: Host,
    user: str,
    profile: str,
    label: str,
    log_path: str,
    secrets: Iterable[str] = (),
) -> Path | None:
    """Ask the Mac for all that helps to find out why Docker does not work there; changes nothing on it.

    Shows the answers, and writes them to a file on this machine, its path said: both without `secrets` and
    what looks like one. Returns the path, or None where there is none. Takes two minutes at most and never
    fails: the caller has trouble enough.
    """
    try:
        host.log("Collecting diagnostics")
        command = script_as(user, 90, "bin/diagnose", user, profile, label, log_path)
        try:
            _, output = run(state, host, command, hidden=True, _timeout=SECONDS)
        except Exception as error:
            if isinstance(error, EOFError) and is_connected(host):
                fail(host, NO_PASSWORD)
                return None
            output = [f"the Mac did not answer: {type(error).__name__}: {error}"]
        known = tuple(secrets)
        found = [
            Part(part.title, tuple(mask("\n".join(part.lines), known).split("\n"))) for part in parts(output)
        ]
        for part in found:
            host.log(f"== {part.title} ==")
            for line in part.excerpt:
                host.log(f"  {line}")
        text = "\n".join(part.text for part in found)
        path = write(DIRECTORY, file_name(host.name, time.localtime()), text).resolve()
    except Exception as error:
        host.log(f"the diagnostics cannot be kept: {type(error).__name__}: {error}", logger.warning)
        return None
    host.log(f"All of it: {path}")
    return path


# Of this run, by host.
KEPT: dict[str, Path | None] = {}


def finish() -> int:
    """End a run that has collected them, with `--json` saying where they are. Returns the exit status."""
    if wants_json():
        hosts = {host: None if path is None else str(path) for host, path in sorted(KEPT.items())}
        click.echo(json.dumps({"hosts": hosts}, indent=4))
    return int(None in KEPT.values() or bool(state.failed_hosts))
