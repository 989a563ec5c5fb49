"""The diagnostics of a Mac, without secrets: on the terminal and in a file."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import click
from pyinfra import logger, state
from pyinfra.api import Host

from facts.diagnosis import Diagnostics, Part
from operations.util.commands import ask
from operations.util.internals import wants_json
from settings import Settings, each_of

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


def secrets_of(settings: Settings, installers: Iterable[str] = ()) -> list[str]:
    """What must be masked: the values that COLIMA_EXTRA_ARGS sets in the VM, and the installers'."""
    given = settings.flag_values("--env")
    # One that is alone may have commas.
    found = [*installers, *(each.partition("=")[2] for each in (*given, *each_of(given)))]
    return [value for value in found if value]


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


def excerpt(part: Part) -> list[str]:
    """What a terminal is shown of a part: a log's end, the beginning of all else."""
    log = re.search(r"(?:^|: )log\b", part.title) is not None
    most = LOG_LINES if log else PART_LINES
    left = len(part.lines) - most
    if left <= 0:
        return list(part.lines)
    more = f"({left} more lines)"
    return [more, *part.lines[-most:]] if log else [*part.lines[:most], more]


def file_name(host: str, moment: time.struct_time) -> str:
    """The name of a host's file: HOST-YYYYmmdd-HHMMSS."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-.")[:100] or "host"
    return f"{safe}-{time.strftime('%Y%m%d-%H%M%S', moment)}"


def write(directory: Path, name: str, text: str) -> Path:
    """Write a new file NAME-*.txt that its owner alone can read.

    Raises OSError.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    with NamedTemporaryFile(
        "w", prefix=f"{name}-", suffix=".txt", dir=directory, delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(text)
    return Path(file.name)


# Of this run, by host: the file, or None where there is none.
_kept: dict[str, Path | None] = {}


def collect(host: Host, settings: Settings, secrets: Sequence[str] = ()) -> None:
    """Ask a Mac for all that helps to find out why Docker does not work there; changes nothing on it.

    Shows the answers, and writes them to a file on this machine, its path said: both without `secrets` and
    what looks like one.
    """
    _kept[host.name] = None
    if not settings.homebrew_user:
        host.log_styled("HOMEBREW_USER: not set, or not to be used", fg="red", log_func=logger.error)
        return
    found = ask(
        Diagnostics,
        user=settings.homebrew_user,
        profile=settings.colima_profile,
        label=settings.label,
        log=settings.log_path,
        _timeout=SECONDS,
    )
    if not found:
        host.log_styled("the diagnostics cannot be read", fg="red", log_func=logger.error)
        return
    masked = [Part(part.title, tuple(mask("\n".join(part.lines), secrets).split("\n"))) for part in found]
    for part in masked:
        host.log(f"== {part.title} ==")
        for line in excerpt(part):
            host.log(f"  {line}")
    text = "\n".join(part.text for part in masked)
    try:
        path = write(DIRECTORY, file_name(host.name, time.localtime()), text).resolve()
    except OSError as error:
        host.log(f"the diagnostics cannot be kept: {error}", logger.warning)
        return
    host.log(f"All of it: {path}")
    _kept[host.name] = path


def finish() -> int:
    """End a run that has collected them, with `--json` saying where they are. Returns the exit status."""
    if wants_json():
        hosts = {name: None if path is None else str(path) for name, path in sorted(_kept.items())}
        click.echo(json.dumps({"hosts": hosts}, indent=4))
    return int(None in _kept.values() or bool(state.failed_hosts))
