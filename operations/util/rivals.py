"""Which launchd jobs start Colima, told by what they run and not by what they are called."""

from __future__ import annotations

import re
import shlex
from collections import ChainMap, deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
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


# Nobody types a command line of more characters, and reading one takes its time.
MOST = 1 << 16
NAME = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Program:
    """What a program knows on its command line: flags, and whether each takes a value.

    `root` are those of the program itself, before its verb and behind it; `names` are those that name what
    a verb is for. What asks for help or for the version is none of them: it starts nothing, and neither does
    what is not known.
    """

    names: frozenset[str]
    root: dict[str, bool]
    verbs: dict[str, dict[str, bool]]


def _flags(values: str, switches: str) -> dict[str, bool]:
    return dict.fromkeys(values.split(), True) | dict.fromkeys(switches.split(), False)


# cmd/root/root.go, cmd/start.go and cmd/restart.go of Colima since 0.8.
COLIMA = Program(
    frozenset({"-p", "--profile"}),
    _flags("-p --profile", "-v --verbose --very-verbose"),
    {
        "start": _flags(
            "-a --arch -c --cpu --cpus --cpu-type -d --disk -i --disk-image -n --dns --dns-host --downloader "
            "--editor --env --gateway-address --hostname --k3s-arg --k3s-listen-port --kubernetes-disable "
            "--kubernetes-version -m --memory --model-runner -V --mount --mount-type --network-interface "
            "--network-mode --port-forwarder --root-disk -r --runtime --ssh-port -t --vm-type",
            "--activate --binfmt -e --edit -f --foreground --force-disk-image -k --kubernetes "
            "--mount-inotify -z --nested-virtualization --network-address --network-host-addresses "
            "--network-preferred-route --save-config -s --ssh-agent --ssh-config --template --vz-rosetta "
            "--with-kubernetes",
        ),
        "restart": _flags("", "-f --force"),
    },
)
# cmd/limactl/main.go and start.go of Lima.
LIMACTL = Program(
    frozenset({"--name"}),
    _flags("--log-level --log-format", "--debug --tty -y --yes"),
    {"start": _flags("--name --timeout", "--foreground --plain --progress")},
)


def _verb(words: Sequence[str], known: dict[str, bool]) -> int | None:
    """Where cobra finds the verb: before it, a flag that it does not know takes a value."""
    index = 0
    while index < len(words) and (word := words[index]) != "--":
        if word and not word.startswith("-"):
            return index
        whole = "=" not in word and (word.startswith("--") or len(word) == 2)
        index += 2 if whole and known.get(word, True) else 1
    return None


def _pflag(words: Sequence[str], known: dict[str, bool]) -> tuple[list[tuple[str, str]], list[str]] | None:
    """The flags with their values, and the words that are no flags, as pflag reads them; None: it refuses."""
    given: list[tuple[str, str]] = []
    others: list[str] = []
    rest = deque(words)

    def take(flag: str, value: str | None) -> bool:
        if flag not in known or (known[flag] and value is None and not rest):
            return False
        if known[flag]:
            given.append((flag, rest.popleft() if value is None else value))
        return True

    while rest:
        word = rest.popleft()
        if word == "--":
            return given, [*others, *rest]
        if word == "-" or not word.startswith("-"):
            others.append(word)
        elif word.startswith("--"):
            flag, equals, text = word.partition("=")
            if not take(flag, text if equals else None):
                return None
        else:
            letters = word[1:]
            while letters:
                flag, letters, value = f"-{letters[0]}", letters[1:], None
                if len(letters) > 1 and letters[0] == "=":
                    value, letters = letters[1:], ""
                elif letters and known.get(flag):
                    value, letters = letters, ""
                if not take(flag, value):
                    return None
    return given, others


def _named(program: Program, words: Sequence[str], otherwise: str) -> str | None:
    """The name of what the words behind the program start; None: nothing, or it cannot be told."""
    verb = _verb(words, program.root)
    if verb is None or words[verb] not in program.verbs:
        return None
    read = _pflag([*words[:verb], *words[verb + 1 :]], program.root | program.verbs[words[verb]])
    if read is None or len(read[1]) > 1:
        return None
    given, others = read
    return [otherwise, *others, *(value for flag, value in given if flag in program.names)][-1]


def _profile(program: str, words: Sequence[str], environment: Mapping[str, str], home: str) -> str | None:
    """The profile that a program starts with these words behind it; None: none, or it cannot be told."""
    if program == "colima":
        name = _named(COLIMA, words, environment.get("COLIMA_PROFILE", ""))
    else:
        # Any other Lima home holds instances that are not Colima's, whatever they are called.
        if environment.get("LIMA_HOME") != f"{home}/.colima/_lima":
            return None
        name = PurePosixPath(_named(LIMACTL, words, "") or "").name.removesuffix(".yaml")
        if name != "colima" and not name.startswith("colima-"):
            return None
    profile = "" if name is None else profile_of(name)
    return profile if NAME.fullmatch(profile) else None


# The words of a shell's text, and what stands between them.
SHELL = re.compile(
    r"""(?P<redirection> \d* [<>] [<>&|]* [ \t]* )
    | (?P<comment> \# .* )
    | (?P<word> (?: [^\s;&|()<>'"\\] | \\[\s\S] | '[^']*' | "(?: [^"\\] | \\[\s\S] )*" )+ )
    | (?P<operator> [\n;&|()] )""",
    re.VERBOSE,
)


def _commands(text: str) -> list[list[str]]:
    """The simple commands of a shell's text, each as its words without redirections."""
    found: list[list[str]] = [[]]
    redirected = False
    for token in SHELL.finditer(text.replace("\\\n", "")):
        if token["operator"]:
            found.append([])
        elif token["word"] and not redirected:
            found[-1] += shlex.split(token["word"])
        redirected = token["redirection"] is not None
    return found


def _assigned(words: Iterable[str]) -> dict[str, str]:
    """The variables that words "NAME=value" set, be it behind env or export."""
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals and name.isidentifier()}


def _user(words: tuple[str, ...]) -> str | None:
    """The user that su or sudo makes of who runs what is behind these words; None: nobody else."""
    names = [PurePosixPath(word).name for word in words]
    if "su" in names:
        return next((word for word in words[names.index("su") + 1 :] if not word.startswith("-")), None)
    if "sudo" in names and "-u" in words[:-1]:
        return words[words.index("-u") + 1]
    return None


def start_of(arguments: tuple[str, ...], environment: MutableMapping[str, str], home: str) -> Start | None:
    """What the command line starts; None when it does not start Colima, as far as it can be told."""
    if sum(map(len, arguments)) > MOST:
        return None
    for index, word in enumerate(arguments):
        program = PurePosixPath(word).name
        is_text = index + 1 < len(arguments) and re.fullmatch(r"-[a-z]*c", word)
        if program not in {"colima", "limactl"} and not is_text:
            continue
        before, behind = arguments[:index], arguments[index + 1 :]
        known = ChainMap(_assigned(before), environment)
        if not is_text:
            profile = _profile(program, behind, known, home)
            return None if profile is None else Start(profile, _user(before))
        for command in _commands(behind[0]):
            if start := start_of(tuple(command), known, home):
                return replace(start, user=start.user or _user(before))
            known |= _assigned(command)
        return None
    return None


def judge(definition: Definition, label: str, user: str, home: str, profile: str) -> Rival | None:
    """Judge one job; None when it is our own. Jobs of other profiles and users are only mentioned."""
    ours = {label, f"{label}.pulse"}
    if definition.domain == "system" and definition.label in ours:
        return None

    def mention(why: str) -> Rival:
        return Rival(definition, False, "".join(char if char.isprintable() else "?" for char in why))

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
