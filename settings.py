"""Every option of Colima Pulse: its type, unit, default and check.

Values come from `.env` (`read_env`), from inventory data or from `--data KEY=VALUE`, in rising order of
precedence, and arrive in `host.data` under their lower-case names. `Settings.parse` turns them into one
frozen, typed value, or says everything that is wrong with them at once.
"""

from __future__ import annotations

import csv
import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from functools import cache
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

from dotenv.parser import parse_stream
from pyinfra import logger

T = TypeVar("T")

# What no setting has in it: control characters, which a property list cannot hold and a terminal obeys, and
# what is no text.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

# Flags of `colima start` that are Colima Pulse's own, most of them with a setting.
OWNED_FLAGS = frozenset(
    "--profile --runtime --vm-type --cpu --cpus --memory --disk --foreground --edit --editor "
    "--help --version --verbose --very-verbose".split()
)


@dataclass(frozen=True)
class Fault:
    """One setting that cannot be used: its key, the value given and what is allowed."""

    key: str
    value: object
    allowed: str

    def __str__(self) -> str:
        given = "not set" if self.value is None else repr(self.value)
        return f"{self.key}: {given}; {self.allowed}"


# The checks: each takes the value as given, free of control characters, and returns it typed, or raises
# ValueError(what is allowed).


def _has_control(value: object) -> bool:
    texts = value if isinstance(value, list | tuple) else [value]
    return any(CONTROL.search(str(text)) for text in texts)


def _text(pattern: str, allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        # `--data key=true` arrives as True, and a name is not meant by it.
        named = isinstance(value, str | int) and not isinstance(value, bool)
        if not named or not re.fullmatch(pattern, str(value)):
            raise ValueError(allowed)
        return str(value)

    return parse


def _only(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if str(value).lower() not in choices:
            raise ValueError(
                "one of " + ", ".join(choices) if choices[1:] else f"only {choices[0]!r} is supported"
            )
        return str(value).lower()

    return parse


def _whole(unit: str, least: int = 1, most: int = 1_000_000) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"\s*\+?\d{1,9}\s*", str(value)):
            raise ValueError(f"a whole number of {unit}, {least} or more")
        number = int(str(value))
        if not least <= number <= most:
            raise ValueError(f"a whole number of {unit} from {least} to {most}")
        return number

    return parse


def _gibibytes(value: object) -> float:
    is_number = re.fullmatch(r"\s*\d{1,6}(\.\d{1,6})?\s*", str(value))
    if not is_number or float(str(value)) <= 0:
        raise ValueError("a number of GiB above 0, such as 4 or 2.5")
    return float(str(value))


def _yes_no(value: object) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _user(value: object) -> str:
    name = _text(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}", "the short name of the user who owns Homebrew")(value)
    if name == "root":
        raise ValueError("a user of this Mac other than root: neither Homebrew nor Lima run as root")
    return name


def _profile(value: object) -> str:
    """A Colima profile's short name; Colima itself checks none (`lima pkg/identifiers`)."""
    allowed = "letters and digits, with single . _ - between them, not beginning with 'colima'"
    name = _text(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", allowed)(value)
    if name.startswith("colima") or name.endswith((".yml", ".yaml")):
        raise ValueError(allowed)
    # Colima's own in ~/.colima, where a Mac's disk takes two spellings for one name.
    if name != "default" and name.casefold() in ("default", "colima", "docker.sock", "ssh_config"):
        raise ValueError(f"another name: {name.casefold()} is Colima's own")
    return name


def _label(value: object) -> str:
    allowed = "a launchd label of letters, digits, . _ - (at most 128), not one of com.apple"
    label = _text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", allowed)(value)
    if label.startswith("com.apple."):
        raise ValueError(allowed)
    return label


def _log_path(value: object) -> str:
    allowed = "the absolute path of a file that ends in .log, without // . and .., not in /dev or /etc"
    path = _text(r"(?:/[^/]+)+\.log", allowed)(value)
    parts = [part.casefold() for part in path.split("/")[1:]]
    if {".", ".."} & set(parts) or (parts[1:] if parts[0] == "private" else parts)[0] in ("dev", "etc"):
        raise ValueError(allowed)
    return path


def _directory(value: object) -> str:
    allowed = "a directory, absolute or relative to the home, without .."
    path = _text(r"[^~].*", allowed)(value)
    if ".." in Path(path).parts or Path(path) == Path("/"):
        raise ValueError(allowed)
    return path.rstrip("/")


_word = _text(r"\S{1,64}", "one word")
_page = _text(r"(.*/)?[^/]+\.html", "a path on this machine that ends in .html")
_unit = _text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "the name of a backup, as deploys/restore.py lists it")


def _installers(value: object) -> tuple[str, ...]:
    """Installers by the names of their containers, or of their files, one or several with commas between."""
    allowed = "names of containers or of files in containers/, with commas between"
    given = value if isinstance(value, list) else str(value).split(",")
    names = tuple(dict.fromkeys(str(each).strip() for each in given))
    if isinstance(value, bool) or not all(re.fullmatch(r"[^\s/,][^/,]*", name) for name in names):
        raise ValueError(allowed)
    return names


def _all_or_installers(value: object) -> bool | tuple[str, ...]:
    with suppress(ValueError):
        return _yes_no(value)
    try:
        return _installers(value)
    except ValueError as error:
        raise ValueError(f"true, or {error}") from None


def _extra_args(value: object) -> tuple[str, ...]:
    """More flags of `colima start`, as one string in shell quoting, or a list of them."""
    allowed = "flags of `colima start`, quoted as in a shell"
    if not isinstance(value, str | list | tuple):
        raise ValueError(allowed)
    try:
        flags = shlex.split(value) if isinstance(value, str) else list(map(str, value))
    except ValueError:
        raise ValueError(allowed) from None
    for flag in flags:
        # A word that is no flag's value would be the name of a profile.
        if not re.fullmatch(r"--[a-z][a-z0-9-]*(=.*)?", flag):
            raise ValueError(f"{flag!r}: write flags in their long form, --flag or --flag=value")
        if (name := flag.partition("=")[0]) in OWNED_FLAGS:
            raise ValueError(f"{name} is Colima Pulse's own: use its setting")
    return tuple(flags)


def each_of(values: Iterable[str]) -> list[str]:
    """Each one of a flag's values, which may be several: a line of CSV, as pflag reads it."""
    return [each for line in csv.reader(values) for each in line]


def option(default: T, parse: Callable[[object], T], about: str, *, ask: bool = False) -> T:
    """A field of Settings. `ask`: it belongs to one run's command line, not to `.env`."""
    made: T = field(default=default, metadata={"parse": parse, "about": about, "ask": ask})
    return made


@dataclass(frozen=True)
class Settings:
    """What one host is to become. Durations are in seconds, memory and disk in GiB."""

    homebrew_user: str = option("", _user, "who owns Homebrew and runs Colima")
    colima_profile: str = option("default", _profile, "the Colima profile")
    colima_runtime: str = option("docker", _only("docker"), "the container runtime")
    colima_vm_type: str = option("qemu", _only("qemu"), "the hypervisor")
    colima_cpus: int = option(2, _whole("CPUs"), "CPUs of the VM")
    colima_memory: float = option(2.0, _gibibytes, "memory of the VM, GiB")
    colima_disk: int = option(20, _whole("GiB"), "disk of the VM, GiB; it can only grow")
    colima_extra_args: tuple[str, ...] = option((), _extra_args, "more flags of colima start")
    label: str = option("homebrew.mrcee.colima-pulse", _label, "the LaunchDaemon's label")
    log_path: str = option("/var/log/colima.log", _log_path, "Colima's log")
    clean_other_colima_daemons: str = option(
        "prompt", _only("prompt", "true", "false"), "remove other jobs that start this profile"
    )
    backup_dir_base: str = option(
        "colima-pulse-backups", _directory, "where what is removed goes; relative to the home"
    )
    launch_via: str = option("user", _only("user", "su"), "UserName, or the original's su")
    log_max_mb: int = option(50, _whole("MB", most=100_000), "how large a log may become")
    log_keep: int = option(3, _whole("logs", most=100), "how many old ones are kept, compressed")
    pulse: bool = option(True, _yes_no, "look after Docker between deploys")
    pulse_interval: int = option(30, _whole("seconds", most=3600), "from one look to the next")
    pulse_misses: int = option(3, _whole("misses", most=100), "in a row, before anything is restarted")
    maintain_every_days: int = option(
        0, _whole("days", least=0, most=365), "prune Docker and trim the VM's disks; 0: never"
    )
    wait_socket_max: int = option(180, _whole("seconds"), "for the profile's docker.sock")
    wait_docker_api_max: int = option(180, _whole("seconds"), "for the Docker API behind it")
    wait_qemu_max: int = option(120, _whole("seconds"), "for Lima to say Running, on QEMU")
    wait_provision_max: int = option(1800, _whole("seconds"), "for a profile's first start")
    wait_stable_required: int = option(5, _whole("good answers", most=600), "in a row, one a second")
    container_tries: int = option(3, _whole("tries", most=100), "at an installer")
    container_debug_script: bool = option(False, _yes_no, "show each cleaned installer first")
    colima_start_filter_info: bool = option(True, _yes_no, "hide level=info while Colima starts")
    prune_docker_after_start: bool = option(True, _yes_no, "prune Docker when a deploy has started it")
    prune_mode: str = option("none", _only("none", "safe", "images", "aggressive"), "what a prune takes")
    power: str = option("report", _only("report", "server"), "mention what stops the Mac, or set pmset")
    restart: bool = option(False, _yes_no, "restart the VM although nothing changed", ask=True)
    full_reset: bool = option(False, _yes_no, "make a new profile, the old one backed up", ask=True)
    backup: str = option("move", _only("move", "prompt", "false"), "before a full reset", ask=True)
    confirm_token: str = option("DESTROY", _word, "what to type before a full reset", ask=True)
    no_confirm: bool = option(False, _yes_no, "reset without typing it", ask=True)
    force_yes: bool = option(False, _yes_no, "where there is no terminal to ask on", ask=True)
    restore: str = option("", _unit, "a backup of a full reset, to be put back", ask=True)
    only: tuple[str, ...] = option((), _installers, "the installers that are looked at", ask=True)
    reinstall: bool | tuple[str, ...] = option(
        cast("bool | tuple[str, ...]", False),
        _all_or_installers,
        "make containers anew although nothing changed",
        ask=True,
    )
    remove_unowned: bool = option(False, _yes_no, "remove containers whose installer is gone", ask=True)
    pull: bool = option(False, _yes_no, "pull images, and reinstall what has a newer one", ask=True)
    delete_vm: bool = option(False, _yes_no, "deploys/uninstall.py: the profile goes as well", ask=True)
    lines: int = option(50, _whole("lines", most=10_000), "deploys/logs.py: of each log", ask=True)
    follow: bool = option(False, _yes_no, "deploys/logs.py: show what comes, until Ctrl-C", ask=True)
    html: str = option("", _page, "deploys/status.py: a page, made there", ask=True)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> tuple[Settings, list[Fault]]:
        """Build the settings from `data` (lower-case keys), and list what is wrong with it.

        A value that cannot be used leaves its default in the settings, so that the checks which
        follow on the host can still be made and reported together with these faults.
        """
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for each in fields(cls):
            given = data.get(each.name)
            if given is None or given == "":
                if each.name == "homebrew_user":
                    faults.append(Fault("HOMEBREW_USER", None, "name the user who owns Homebrew"))
                continue
            try:
                if _has_control(given):
                    raise ValueError("without control characters, line breaks among them")
                values[each.name] = each.metadata["parse"](given)
            except ValueError as error:
                faults.append(Fault(each.name.upper(), given, str(error)))
        log_path = values.get("log_path", cls.log_path)
        if log_path == f"/var/log/{values.get('label', cls.label)}.log":
            faults.append(Fault("LOG_PATH", log_path, "another one: this is the pulse's own log"))
        if values.get("full_reset") and values.get("restore"):
            faults.append(Fault("RESTORE", values["restore"], "not together with full_reset=true"))
        if values.get("only") and values.get("remove_unowned"):
            faults.append(
                Fault("REMOVE_UNOWNED", True, "not together with only, which looks at nothing else")
            )
        return cls(**values), faults

    @property
    def wait_start_max(self) -> int:
        """How long a start of Colima may take until Docker answers, in seconds."""
        return self.wait_qemu_max + self.wait_docker_api_max

    def flag_values(self, flag: str) -> list[str]:
        """The values that COLIMA_EXTRA_ARGS has for a flag of `colima start`; "true" where it has none."""
        given = (each.partition("=") for each in self.colima_extra_args)
        return [value if equals else "true" for name, equals, value in given if name == flag]

    def backup_dir(self, home: str) -> str:
        """Where what is removed goes, as an absolute path."""
        return str(PurePosixPath(home) / self.backup_dir_base)


# The options that may stand in `.env`, and those of one run's command line: danger is asked for there alone.
ENV: dict[str, Field[Any]] = {f.name.upper(): f for f in fields(Settings) if not f.metadata["ask"]}
COMMAND_LINE_ONLY = [f.name.upper() for f in fields(Settings) if f.metadata["ask"]]
# The shell script wrote its .env.example by it.
WITHOUT_MEANING = "WRITE_ENV_EXAMPLE"


def parse_env(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse the text of a `.env`: lower-case keys with their values, and warnings about the rest.

    python-dotenv's grammar (`export`, quotes, ` # comment`, CRLF), without its interpolation: the file
    is data and nothing in it is ever executed. The last of two assignments wins.
    """
    values: dict[str, str] = {}
    lines: dict[str, list[int]] = {}
    warnings: list[str] = []
    for binding in parse_stream(StringIO(text.removeprefix("\ufeff"))):
        # A binding begins with the blank lines before it.
        blank = binding.original.string[: -len(binding.original.string.lstrip()) or None]
        line = binding.original.line + blank.count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            warnings.append(f"line {line} is not KEY=VALUE and is ignored")
        if binding.key is None or binding.value is None:
            continue
        key, value = binding.key.upper(), binding.value
        # python-dotenv takes a comment for the value where nothing stands before it.
        if re.match(r"[^=]*=[^\S\r\n]*#", binding.original.string):
            value = ""
        if key == WITHOUT_MEANING:
            continue
        if key in COMMAND_LINE_ONLY or key.startswith("RESET_"):
            # The shell script's RESET_* have other names here.
            option = f"{key.lower()}={value or 'true'}"
            if key not in COMMAND_LINE_ONLY:
                option = "backup=.., confirm_token=.. or no_confirm=true"
            warnings.append(f"{key} (line {line}) is ignored: say it for one run, with --data {option}")
            continue
        if key not in ENV:
            near = difflib.get_close_matches(key, ENV, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.append(f"{key} (line {line}) is not a setting and is ignored{hint}")
            continue
        values[key.lower()] = value
        lines.setdefault(key, []).append(line)
    for key, seen in lines.items():
        if len(seen) > 1:
            where = ", ".join(map(str, seen))
            warnings.append(f"{key} is set {len(seen)} times (lines {where}); the last one counts")
    return values, warnings


@cache
def read_env(path: Path) -> Mapping[str, str]:
    """The settings in the file `path` (none when there is no such file); its warnings are logged once."""
    if not path.is_file():
        return {}
    values, warnings = parse_env(path.read_bytes().decode("utf-8", errors="replace"))
    for warning in warnings:
        logger.warning("%s: %s", path.name, warning)
    return values


def defaults() -> dict[str, Any]:
    """Every option's default under its lower-case name, but for what has none or is asked for in one run."""
    return {f.name: f.default for f in ENV.values() if f.default != ""}


def without_danger(data: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A host's data without what only a command line may say, and warnings about it.

    `asked` is what `--data` gave; the rest of `data` comes from files.
    """
    kept, warnings = dict(data), []
    for key in map(str.lower, COMMAND_LINE_ONLY):
        if key in data and key not in asked:
            del kept[key]
            warnings.append(f"{key} in an inventory is ignored: say it for one run, with --data {key}=..")
    return kept, warnings
