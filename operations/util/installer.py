"""The installers in containers/: plain text with one `docker run .. --name NAME ..`, read and checked.

All of them are read before any is run, and every fault is named with its file and line.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values

from facts.docker import ANY_ADDRESS
from operations.util import registries
from operations.util.registries import Logins

# Where a copied command came from: shell prompts, and the boxes that documentation draws around it.
PROMPT = re.compile(r"^[ \t]*(?:[$%>]|\u276f|\u279c)[ \t]+")
BOX = re.compile("[\u2500-\u257f\u2580-\u259f]")

DOCKER_RUN = re.compile(r"(?<![\w./$-])docker(?:[ \t]+container)?[ \t]+run(?=[ \t\n]|$)")
CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# An image, or a platform, as it is written out; what a shell would expand is not known before.
WRITTEN_OUT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]*")

# The options of `docker run` that take no value (docker run --help); every other one takes one.
SWITCHES = frozenset(
    "--detach --disable-content-trust --help --init --interactive --no-healthcheck --oom-kill-disable "
    "--privileged --publish-all --quiet --read-only --rm --sig-proxy --tty --use-api-socket "
    "-d -i -t -P -q".split()
)
ALIASES = {"-d": "--detach", "-e": "--env", "-p": "--publish", "--net": "--network"}

# --publish [ADDRESS:]PORTS:CONTAINER'S[/PROTOCOL], as it is written out. Without PORTS Docker chooses one.
PUBLISH = re.compile(
    r"(?:(?:(?P<v4>[\d.]+)|\[(?P<v6>[\da-f:]+)\]):)?(?P<ports>\d+(?:-\d+)?):(?P<inner>\d+(?:-\d+)?)"
    r"(?:/(?P<protocol>tcp|udp|sctp))?",
    re.IGNORECASE,
)
# Lima forwards both of a kind to the same address of the Mac (pkg/hostagent/port.go).
SAME_ADDRESS = {None: ANY_ADDRESS, "::": ANY_ADDRESS, "::1": "127.0.0.1"}

# What a shell sets by itself, or files/bin/install-container does.
KNOWN_VARIABLES = frozenset("HOME USER LOGNAME PATH PWD SHELL TMPDIR IFS DOCKER_HOST COLIMA_HOME".split())

# The first lines that choose another shell than sh: files/bin/install-container.
SHEBANG = re.compile(r"#!(?:/bin/|/usr/bin/env )(?:zsh|bash)(?:[ \t].*)?\n")


class Image(NamedTuple):
    """An image by its name, and the platform for which it is wanted (empty: the engine's own)."""

    name: str
    platform: str = ""


class Port(NamedTuple):
    """Ports of the Mac that an installer takes, and how it says so."""

    written: str
    address: str
    numbers: range
    protocol: str

    def overlaps(self, other: Port) -> bool:
        """Whether not both can be had."""
        alike = self.address == other.address or ANY_ADDRESS in (self.address, other.address)
        return alike and self.protocol == other.protocol and bool(set(self.numbers) & set(other.numbers))


@dataclass(frozen=True)
class Installer:
    """One container's installer. Its text may hold secrets and is in no repr, and so in no log.

    `image` is the image that it names; None where a shell has to expand it first.
    """

    file: str
    container: str
    text: str = field(repr=False)
    detached: bool
    removed: bool
    insert_at: int
    warnings: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    image: Image | None = None
    ports: tuple[Port, ...] = ()

    @property
    def place(self) -> str:
        """The file and the line of its `docker run`."""
        return f"containers/{self.file}:{self.text.count(chr(10), 0, self.insert_at) + 1}"

    @property
    def digest(self) -> str:
        """The sha256 of the cleaned text: the container's colima-pulse.spec label."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def smoke_test(self) -> bool:
        """Whether it leaves no container behind: `--rm` without `-d`."""
        return self.removed and not self.detached

    def script(self, label: str, secrets: Mapping[str, str]) -> str:
        """The text to run: its values exported first, and the container labelled with the digest."""
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in secrets.items()
            if re.search(rf"\b{re.escape(name)}\b", self.text)
        )
        first = shebang[0] if (shebang := SHEBANG.match(self.text)) else ""
        before, after = self.text[len(first) : self.insert_at], self.text[self.insert_at :]
        return f"{first}{exports}{before} --label {label}={self.digest}{after}"


def clean(raw: bytes) -> str:
    """A file's bytes as shell text: no BOM, CR, box characters, prompts and line continuations.

    A joined line's breaks follow it, so that line numbers stay true. Raises ValueError when it is not text.
    """
    if b"\0" in raw:
        raise ValueError("this is not text")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("this is not UTF-8 text") from None
    lines: list[str] = []
    joined = 0
    continues = False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        # On a continued line the prompt is "> ".
        line = PROMPT.sub("", BOX.sub(" ", line)).rstrip()
        comment = not continues and line.lstrip().startswith("#")
        ends_open = not comment and re.search(r"(?<!\\)(?:\\\\)*\\$", line) is not None
        body = line[:-1] if ends_open else line
        if continues:
            # As the shell joins them: nothing comes between.
            lines[-1] += body
            joined += 1
        else:
            lines.append(body)
        if not ends_open:
            lines += [""] * joined
            joined = 0
        continues = ends_open
    return "\n".join(lines).rstrip("\n") + "\n"


# A character behind a backslash, a quoted part, an open quote, a comment.
_HIDDEN = re.compile(
    r"""(?s)\\.?|'[^']*'|"(?:[^"\\]|\\.)*"|(?P<open>['"]).*|(?:^|(?<=[ \t\n;&|(]))(?P<comment>\#[^\n]*)"""
)


def mask(text: str) -> tuple[str, int | None]:
    """The text with quoted parts and comments blanked, of equal length, and where an open quote begins."""
    hidden = list(_HIDDEN.finditer(text))
    blanked = _HIDDEN.sub(lambda found: (" " if found["comment"] else "_") * len(found[0]), text)
    return blanked, next((found.start() for found in hidden if found["open"]), None)


@dataclass
class _Run:
    """What the words after `docker run` say: its options, each with its values, and the image."""

    options: dict[str, list[str]] = field(default_factory=dict)
    image: str | None = None

    def last(self, option: str) -> str | None:
        """The last value of an option, which counts."""
        return self.options[option][-1] if option in self.options else None

    def on(self, switch: str) -> bool:
        """Whether a switch is on."""
        return self.last(switch) not in {None, "false", "0", "f"}


def _read_run(words: list[str]) -> _Run:
    found = _Run()
    left = iter(words)
    for word in left:
        if word == "--" or not word.startswith("-") or word == "-":
            found.image = next(left, None) if word == "--" else word
            break
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            given = [(option, value if equals else None)]
        else:
            given = _short(word[1:])
        for option, attached in given:
            if attached is None:
                attached = "true" if option in SWITCHES else next(left, "")
            found.options.setdefault(ALIASES.get(option, option), []).append(attached)
    return found


def _short(cluster: str) -> list[tuple[str, str | None]]:
    """A cluster of short options, each with the value attached to it: `dp80:80` is -d, and -p with 80:80."""
    found: list[tuple[str, str | None]] = []
    for i, letter in enumerate(cluster):
        attached = cluster[i + 1 :]
        if f"-{letter}" not in SWITCHES:
            return [*found, (f"-{letter}", attached.removeprefix("=") or None)]
        if attached.startswith("="):
            return [*found, (f"-{letter}", attached[1:])]
        found.append((f"-{letter}", None))
    return found


class _WrongError(Exception):
    """What is wrong with a text, and at which of its characters."""


def parse(file: str, raw: bytes, known: Iterable[str] = ()) -> tuple[Installer | None, list[str]]:
    """Read one installer. Returns it, or None and what is wrong with it, each fault with file and line.

    `known` are the names that containers/.env sets.
    """
    text = ""

    def at(index: int, what: str) -> str:
        return f"containers/{file}:{text.count(chr(10), 0, index) + 1}: {what}"

    try:
        text = clean(raw)
        masked, start, end = _find_run(text)
        found = _read_run(_words(text, masked, start, end))
        name = found.last("--name")
        if name is None:
            raise _WrongError(start, "`docker run` has no --name: write --name NAME before the image")
        if not CONTAINER_NAME.fullmatch(name):
            raise _WrongError(start, f"--name {name!r} is not a name that Docker takes")
        if found.image is None:
            raise _WrongError(start, "`docker run` names no image")
    except _WrongError as wrong:
        return None, [at(*wrong.args)]
    except ValueError as error:
        return None, [at(0, str(error))]
    made = Installer(
        file=file,
        container=name,
        text=text,
        detached=found.on("--detach"),
        removed=found.on("--rm"),
        insert_at=start,
        # Its long form is name=NETWORK,alias=... (docker run --help).
        networks=tuple(
            value.split(",")[0].removeprefix("name=") for value in found.options.get("--network", [])
        ),
        image=_image(found.image, found.last("--platform") or ""),
        ports=_ports(found),
    )
    warnings = _warnings(made, masked, found, set(known))
    return replace(made, warnings=tuple(at(*warning) for warning in warnings)), []


def _find_run(text: str) -> tuple[str, int, int]:
    """The masked text, and where the options of its one `docker run` begin and its command ends."""
    masked, open_quote = mask(text)
    if not masked.strip():
        raise _WrongError(0, "there is no command in it")
    if open_quote is not None:
        raise _WrongError(open_quote, f"the quote {text[open_quote]} is not closed")
    runs = list(DOCKER_RUN.finditer(masked))
    if not runs:
        raise _WrongError(0, "there is no `docker run` in it")
    if len(runs) > 1:
        raise _WrongError(runs[1].start(), "a second `docker run`: one file makes one container")
    start = runs[0].end()
    end = re.compile(r"[\n;&|)]").search(masked, start)
    return masked, start, end.start() if end else len(text)


def _words(text: str, masked: str, start: int, end: int) -> list[str]:
    """The words of that command, without its comments, which the mask has as blanks."""
    pairs = zip(text[start:end], masked[start:end], strict=True)
    try:
        return shlex.split("".join(" " if blank == " " else char for char, blank in pairs))
    except ValueError as error:
        raise _WrongError(start, str(error)) from error


def _warnings(made: Installer, masked: str, found: _Run, known: set[str]) -> Iterator[tuple[int, str]]:
    text, start = made.text, made.insert_at
    if made.detached and found.last("--restart") in (None, "", "no") and not made.removed:
        yield start, f"{made.container} has -d and no --restart: it will not return after a reboot"
    for variable in found.options.get("--env", []):
        name, equals, value = variable.partition("=")
        for used in re.findall(r"\$\{?(\w+)", value):
            if equals and used in known:
                yield (
                    start,
                    f"write -e {name} alone (and {name} in containers/.env): "
                    f"with =${used} its value stands on docker's command line",
                )
    single_quoted = re.sub(r"'[^']*'", "", text)
    assigned = set(re.findall(r"(?m)(?:^|[;&|(]|\bexport|\bread|\bfor)[ \t]*(\w+)(?==|\b)", masked))
    for used in sorted(set(re.findall(r"(?<!\\)\$\{?([A-Za-z_]\w*)(?![\w:=-])", single_quoted))):
        if used not in known | KNOWN_VARIABLES | assigned:
            place = re.search(rf"\$\{{?{used}\b", text)
            yield place.start() if place else 0, f"${used} is set nowhere; containers/.env may"


def _image(name: str, platform: str) -> Image | None:
    written_out = WRITTEN_OUT.fullmatch(name) and (not platform or WRITTEN_OUT.fullmatch(platform))
    return Image(name, platform) if written_out else None


def _ports(found: _Run) -> tuple[Port, ...]:
    """The ports that are taken for certain: none that a shell has to expand, or that Docker chooses."""
    if {"host", "none"} & set(found.options.get("--network", [])):
        return ()
    ports = (_port(written) for written in found.options.get("--publish", []))
    return tuple(port for port in ports if port is not None)


def _port(written: str) -> Port | None:
    text = written
    if "=" in text:
        # The long form, in which the address has no place (docker/cli container/opts.go).
        values = dict(pair.partition("=")[::2] for pair in text.split(","))
        text = f"{values.get('published')}:{values.get('target')}/{values.get('protocol', 'tcp')}"
    found = PUBLISH.fullmatch(text)
    if found is None:
        return None
    numbers, inner = (_range(found[name]) for name in ("ports", "inner"))
    # Of more ports than the container has, Docker chooses; and also for port 0.
    if len(numbers) != len(inner) or not numbers or not numbers[0]:
        return None
    address = found["v4"] or found["v6"]
    return Port(written, SAME_ADDRESS.get(address, address), numbers, (found["protocol"] or "tcp").lower())


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _same_ports(installers: Iterable[Installer]) -> Iterator[str]:
    """What two installers cannot both have; two smoke tests can, one after the other."""
    for one, two in itertools.combinations(installers, 2):
        if one.smoke_test and two.smoke_test:
            continue
        for port, other in itertools.product(one.ports, two.ports):
            if port.overlaps(other):
                yield (
                    f"{two.place}: --publish {other.written} takes a port that {one.place} takes "
                    f"with --publish {port.written}"
                )


@dataclass(frozen=True)
class Installers:
    """All of containers/: the installers in name order, what is wrong, what to mind, the secrets and the
    logins to registries."""

    all: tuple[Installer, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    logins: Logins = field(repr=False, default=Logins())

    @property
    def hidden(self) -> list[str]:
        """All that is secret in it."""
        return [*self.secrets.values(), *self.logins.secrets]

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that any of them names."""
        return tuple(sorted({network for each in self.all for network in each.networks}))

    def named(self, name: str) -> Installer | None:
        """The installer of the container `name`, or else the one in the file `name`; None: there is none."""
        by_container = (each for each in self.all if each.container == name)
        by_file = (each for each in self.all if each.file == name)
        return next(by_container, None) or next(by_file, None)

    @property
    def names(self) -> str:
        """What `named` takes, for a message."""
        described = (
            each.container if each.file == each.container else f"{each.container} (containers/{each.file})"
            for each in self.all
        )
        return ", ".join(described) or "none"


# What is no file, as `ls -l` marks it.
KINDS = {"d": "a directory", "p": "a FIFO", "s": "a socket", "c": "a device", "b": "a device"}


def _no_file(path: Path) -> str | None:
    """Why a path is no file that can be read, and what to do; None: it is one. Nothing is opened for it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not path.is_symlink():
            return f"it cannot be read: {error.strerror}"
        leads = "in a circle" if error.errno == errno.ELOOP else f"nowhere (to {path.readlink()})"
        return f"a link that leads {leads}: set it right, or remove it"
    if stat.S_ISREG(mode):
        return None
    return f"{KINDS[stat.filemode(mode)[0]]}, and no file: move it out of containers/"


def _wide(path: Path) -> list[str]:
    """What to mind of a file with secrets: that others can read it. Raises OSError when it cannot be seen."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return [f"it can be read by others (mode {mode:o}): chmod 600 {path}"] if mode & 0o077 else []


def _secrets(env: Path) -> dict[str, str]:
    """What containers/.env sets. Raises OSError when it cannot be read."""
    values = dotenv_values(env, interpolate=False)
    return {key: value for key, value in values.items() if value is not None}


def _logins(path: Path) -> Logins:
    """What containers/.docker/config.json has, which need not be there."""
    if not path.exists() and not path.is_symlink():
        return Logins()
    if why := _no_file(path):
        return Logins(faults=(why,))
    try:
        found, wide = registries.parse(path.read_bytes()), _wide(path)
    except OSError as error:
        return Logins(faults=(f"it cannot be read: {error.strerror}",))
    return replace(found, warnings=(*wide, *found.warnings))


def read(directory: Path) -> Installers:
    """Read and check every installer in `directory`; `.env` there holds their secrets, and
    `.docker/config.json` the logins to registries.

    Passed over are *.md, dotfiles, and `example-*` and `template-*`, which are there to be copied.
    """
    found: list[Installer] = []
    faults: list[str] = []
    warnings: list[str] = []
    secrets: dict[str, str] = {}
    paths = directory.iterdir() if directory.is_dir() else ()
    # The secrets first: what they are called is part of the check.
    for path in sorted(paths, key=lambda path: (path.name != ".env", path)):
        name = path.name
        passed_over = name.startswith((".", "example-", "template-")) or path.suffix.lower() == ".md"
        if passed_over and name != ".env":
            continue
        if why := _no_file(path):
            faults.append(f"containers/{name}: {why}")
            continue
        try:
            if name == ".env":
                secrets = _secrets(path)
                warnings = [f"containers/{name}: {each}" for each in _wide(path)]
                continue
            raw = path.read_bytes()
        except OSError as error:
            faults.append(f"containers/{name}: it cannot be read: {error.strerror}")
            continue
        installer, wrong = parse(name, raw, secrets)
        faults += wrong
        if installer is None:
            continue
        twin = next((each for each in found if each.container == installer.container), None)
        if twin is not None:
            faults.append(
                f"containers/{installer.file}: its --name {installer.container} "
                f"is containers/{twin.file}'s as well"
            )
        found.append(installer)
        warnings += installer.warnings
    faults += _same_ports(found)
    logins = _logins(directory / registries.FILE)
    faults += [f"containers/{registries.FILE}: {each}" for each in logins.faults]
    warnings += [f"containers/{registries.FILE}: {each}" for each in logins.warnings]
    return Installers(tuple(found), tuple(faults), tuple(warnings), secrets, logins)
