"""The installers in containers/: plain text with one `docker run .. --name NAME ..`, read and checked.

All of them are read before any is run, and every fault is named with its file and line.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values

# Where a copied command came from: shell prompts, and the boxes that documentation draws around it.
PROMPT = re.compile(r"^[ \t]*(?:[$%>]|\u276f|\u279c)[ \t]+")
BOX = re.compile("[\u2500-\u257f\u2580-\u259f]")

DOCKER_RUN = re.compile(r"(?<![\w./$-])docker(?:[ \t]+container)?[ \t]+run(?=[ \t\n]|$)")
CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# An image, or a platform, as it is written out; what a shell would expand cannot be told before it does.
WRITTEN_OUT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]*")

# The options of `docker run` that take no value (docker run --help); every other one takes one.
BOOLEAN = frozenset(
    "--detach --disable-content-trust --help --init --interactive --no-healthcheck --oom-kill-disable "
    "--privileged --publish-all --quiet --read-only --rm --sig-proxy --tty --use-api-socket".split()
)
BOOLEAN_LETTERS = frozenset("ditPq")

# What a shell sets by itself, or files/run-installer does.
KNOWN_VARIABLES = frozenset("HOME USER LOGNAME PATH PWD SHELL TMPDIR IFS DOCKER_HOST COLIMA_HOME".split())

TRANSIENT = re.compile(
    r"\bEOF\b|context canceled|connection (?:is )?clos(?:ed|ing)|closed network connection|connection reset"
    r"|connection refused|broken pipe|i/o timeout|TLS handshake timeout|http2: |stream error"
    r"|dial unix .*no such file|[Cc]annot connect to the Docker daemon",
)


class Image(NamedTuple):
    """An image by its name, and the platform for which it is wanted (empty: the engine's own)."""

    name: str
    platform: str = ""


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
    restarts: bool
    insert_at: int
    warnings: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    image: Image | None = None

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
        labelled = f"{self.text[: self.insert_at]} --label {label}={self.digest}"
        return exports + labelled + self.text[self.insert_at :]


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


def mask(text: str) -> tuple[str, int | None]:
    """The text with quoted parts and comments blanked, of equal length, and where an open quote begins."""
    out = list(text)
    quote = ""
    opened = 0
    i = 0
    while i < len(text):
        char = text[i]
        if quote:
            if char == "\\" and quote == '"' and i + 1 < len(text):
                out[i] = out[i + 1] = "_"
                i += 2
                continue
            out[i] = "_"
            if char == quote:
                quote = ""
        elif char == "\\":
            out[i : i + 2] = "_" * len(out[i : i + 2])
            i += 2
            continue
        elif char in "'\"":
            quote, opened = char, i
            out[i] = "_"
        elif char == "#" and (i == 0 or text[i - 1] in " \t\n;&|("):
            while i < len(text) and text[i] != "\n":
                out[i] = " "
                i += 1
            continue
        i += 1
    return "".join(out), opened if quote else None


@dataclass
class _Run:
    """What the words after `docker run` say."""

    name: str | None = None
    detached: bool = False
    removed: bool = False
    restarts: bool = False
    environment: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    platform: str = ""
    image: str | None = None


def _image(name: str, platform: str) -> Image | None:
    written_out = WRITTEN_OUT.fullmatch(name) and (not platform or WRITTEN_OUT.fullmatch(platform))
    return Image(name, platform) if written_out else None


def _read_run(words: list[str]) -> _Run:
    found = _Run()
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word == "--":
            found.image = words[i] if i < len(words) else None
            break
        if not word.startswith("-") or word == "-":
            found.image = word
            break
        letters, option, value = "", word, None
        if word.startswith("--"):
            option, equals, given = word.partition("=")
            value = given if equals else None
        else:
            letters, option, value = _short(word[1:])
        if "d" in letters:
            found.detached = value not in {"false", "0", "f"}
        if not option:
            continue
        if option in BOOLEAN:
            on = value not in {"false", "0", "f"}
            if option == "--detach":
                found.detached = on
            if option == "--rm":
                found.removed = on
            continue
        if value is None:
            value = words[i] if i < len(words) else ""
            i += 1
        if option == "--name":
            found.name = value
        elif option == "--restart":
            found.restarts = value not in {"", "no"}
        elif option in {"--env", "-e"}:
            found.environment.append(value)
        elif option == "--platform":
            found.platform = value
        elif option in {"--network", "--net"}:
            # Its long form is name=NETWORK,alias=... (docker run --help).
            found.networks += [part.removeprefix("name=") for part in value.split(",")][:1]
    return found


def _short(cluster: str) -> tuple[str, str, str | None]:
    """A cluster of short options: its boolean letters, the option that ends it, and the value attached.

    `dp80:80` is d, -p and 80:80; `d=false` is d and false, with no option of its own.
    """
    letters, equals, value = cluster.partition("=")
    for i, letter in enumerate(letters):
        if letter not in BOOLEAN_LETTERS:
            attached = cluster[i + 1 :].removeprefix("=")
            return letters[:i], f"-{letter}", attached or None
    return letters, "", value if equals else None


def parse(file: str, raw: bytes, known: Iterable[str] = ()) -> tuple[Installer | None, list[str]]:
    """Read one installer. Returns it, or None and what is wrong with it, each fault with file and line.

    `known` are the names that containers/.env sets.
    """

    def at(index: int, fault: str) -> str:
        return f"containers/{file}:{text.count(chr(10), 0, index) + 1}: {fault}"

    text = ""
    try:
        text = clean(raw)
    except ValueError as error:
        return None, [at(0, str(error))]
    masked, open_quote = mask(text)
    if not masked.strip():
        return None, [at(0, "there is no command in it")]
    if open_quote is not None:
        return None, [at(open_quote, f"the quote {text[open_quote]} is not closed")]
    runs = list(DOCKER_RUN.finditer(masked))
    if len(runs) != 1:
        if not runs:
            return None, [at(0, "there is no `docker run` in it")]
        return None, [at(runs[1].start(), "a second `docker run`: one file makes one container")]
    start = runs[0].end()
    end = re.compile(r"[\n;&|)]").search(masked, start)
    # Without its comments, which the mask has as blanks.
    segment = "".join(
        " " if blank == " " else char
        for char, blank in zip(text[start:], masked[start : end.start() if end else None], strict=False)
    )
    try:
        found = _read_run(shlex.split(segment))
    except ValueError as error:
        return None, [at(start, str(error))]
    if found.name is None:
        return None, [at(start, "`docker run` has no --name: write --name NAME before the image")]
    if not CONTAINER_NAME.fullmatch(found.name):
        return None, [at(start, f"--name {found.name!r} is not a name that Docker takes")]
    if found.image is None:
        return None, [at(start, "`docker run` names no image")]
    return (
        Installer(
            file=file,
            container=found.name,
            text=text,
            detached=found.detached,
            removed=found.removed,
            restarts=found.restarts,
            insert_at=start,
            warnings=tuple(_warnings(text, masked, found, start, set(known), at)),
            networks=tuple(found.networks),
            image=_image(found.image, found.platform),
        ),
        [],
    )


def _warnings(text: str, masked: str, found: _Run, start: int, known: set[str], at: object) -> Iterable[str]:
    assert callable(at)
    if found.detached and not found.restarts and not found.removed:
        yield at(start, f"{found.name} has -d and no --restart: it will not return after a reboot")
    for variable in found.environment:
        name, equals, value = variable.partition("=")
        for used in re.findall(r"\$\{?(\w+)", value):
            if equals and used in known:
                yield at(
                    start,
                    f"write -e {name} alone (and {name} in containers/.env): "
                    f"with =${used} its value stands on docker's command line",
                )
    single_quoted = re.sub(r"'[^']*'", "", text)
    assigned = set(re.findall(r"(?m)(?:^|[;&|(]|\bexport|\bread|\bfor)[ \t]*(\w+)(?==|\b)", masked))
    for used in sorted(set(re.findall(r"(?<!\\)\$\{?([A-Za-z_]\w*)(?![\w:=-])", single_quoted))):
        if used not in known | KNOWN_VARIABLES | assigned:
            place = re.search(rf"\$\{{?{used}\b", text)
            yield at(place.start() if place else 0, f"${used} is set nowhere; containers/.env may")


def is_transient(output: Iterable[str]) -> bool:
    """Whether what Docker said is a passing trouble, worth another try."""
    return any(TRANSIENT.search(line) for line in output)


@dataclass(frozen=True)
class Installers:
    """All of containers/: the installers in name order, what is wrong, what to mind, and the secrets."""

    all: tuple[Installer, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)

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


# What is no file, by what stat has of it.
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
    return f"{KINDS.get(stat.S_IFMT(mode), 'no file')}, and no file: move it out of containers/"


def _secrets(env: Path) -> tuple[dict[str, str], list[str]]:
    """What containers/.env sets, and what to mind. Raises OSError when it cannot be read."""
    values = dotenv_values(env, interpolate=False)
    mode = stat.S_IMODE(env.stat().st_mode)
    wide = [f"{env} can be read by others (mode {mode:o}): chmod 600 {env}"] if mode & 0o077 else []
    return {key: value for key, value in values.items() if value is not None}, wide


def read(directory: Path) -> Installers:
    """Read and check every installer in `directory`; `.env` there holds their secrets.

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
                secrets, warnings = _secrets(path)
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
    return Installers(tuple(found), tuple(faults), tuple(warnings), secrets)
