"""facts/rivals: every launchd job that mentions Colima or Lima is seen, whatever its file looks like."""

from __future__ import annotations

import os
import plistlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from facts.rivals import Definition, Definitions
from tests.files.conftest import LABEL, Mac, lines
from tests.starts import STARTS

PLACES = ["/Library/LaunchDaemons", "/Library/LaunchAgents", "/Users/al ice/Library/LaunchAgents"]
COLIMA = "/opt/homebrew/bin/colima"


def plist(label: str, *words: str, **more: object) -> dict[str, Any]:
    return {"Label": label, "ProgramArguments": list(words), **more}


SERVICE = plistlib.dumps(plist("colima", "colima", "start"))


@pytest.fixture
def directories(mac: Mac) -> list[Path]:
    mac.become("root")
    mac.tool(
        "/usr/bin/plutil",
        f"""[ "$*" = "-convert json -o - -" ] && exec '{sys.executable}' -ISc '
import json, plistlib, sys
try: print(json.dumps(plistlib.load(sys.stdin.buffer), ensure_ascii=False))
except Exception as error: sys.exit(f"<stdin>: {{error}}")' """,
    )
    found = [
        mac.root / "Library/LaunchDaemons",
        mac.root / "Library/LaunchAgents",
        mac.home / "Library/LaunchAgents",
    ]
    for directory in found:
        directory.mkdir(parents=True)
    return found


def observe(mac: Mac, edits: Mapping[str, str] | None = None) -> list[Definition]:
    """The jobs, with their paths as on a Mac."""
    done = mac.run("facts/rivals", "alice", edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    return Definitions().process([re.sub(rf" {mac.root}/", " /", line) for line in lines(done)])


def seen(mac: Mac, edits: Mapping[str, str] | None = None) -> list[tuple[str, str, str | None]]:
    return [(each.kind, str(each.path), each.label) for each in observe(mac, edits)]


def define(directory: Path, name: str, content: Mapping[str, Any], form: Any = plistlib.FMT_XML) -> None:
    (directory / f"{name}.plist").write_bytes(plistlib.dumps(content, fmt=form))


def test_a_mac_without_rivals(mac: Mac) -> None:
    (mac.root / "Library/LaunchDaemons").mkdir()
    define(mac.root / "Library/LaunchDaemons", "other", plist("other", "/bin/date"))
    (mac.root / "Library/LaunchDaemons/colima.txt").write_text("colima")
    assert observe(mac) == []


def test_our_own_are_not_read_and_another_of_their_name_is(mac: Mac, directories: list[Path]) -> None:
    daemons, agents, _ = directories
    for directory, name in ((daemons, LABEL), (daemons, f"{LABEL}.pulse"), (daemons, "x"), (agents, LABEL)):
        define(directory, name, plist(name, COLIMA, "start"))
    done = mac.run("facts/rivals", "alice", LABEL)
    found = Definitions().process([re.sub(rf" {mac.root}/", " /", line) for line in lines(done)])
    assert [(each.domain, each.label) for each in found] == [("system", "x"), ("gui/501", LABEL)]


def test_each_place_and_form(mac: Mac, directories: list[Path]) -> None:
    for number, directory in enumerate(directories):
        content = plist(f"job {number} é", COLIMA, "start", EnvironmentVariables={"COLIMA_PROFILE": "work"})
        define(directory, "a b", content, plistlib.FMT_BINARY if number else plistlib.FMT_XML)
    # An agent runs as who logs in.
    assert observe(mac) == [
        Definition("file", domain, f"{directory}/a b.plist", f"job {number} é", "work", user)
        for number, (domain, user, directory) in enumerate(
            zip(["system", "gui/501", "gui/501"], ["root", "alice", "alice"], PLACES, strict=True)
        )
    ]


def test_program_user_and_encoding(mac: Mac, directories: list[Path]) -> None:
    define(directories[0], "x", plist("x", "c", "start", Program=COLIMA, UserName="bob"))
    text = plistlib.dumps(plist("caf\u00e9", "colima", "start")).decode()
    latin = text.replace("UTF-8", "ISO-8859-1").replace("\n", "\r\n").encode("latin-1")
    (directories[0] / "y.plist").write_bytes(latin)
    (directories[0] / "z.plist").write_bytes(text.replace("UTF-8", "UTF-16").encode("utf-16"))
    found = [(each.label, each.profile, each.user) for each in observe(mac)]
    assert found == [("x", "default", "bob"), *[("caf\u00e9", "default", "root")] * 2]


HOMES_LIMA = "LIMA_HOME={home}/.colima/_lima"
OF_A_JOB: list[tuple[tuple[str, ...], tuple[str, str] | None]] = [
    (("colima", "start", "--profile", "", "work"), ("default", "root")),
    (("colima", "start", "-c", "4", "work"), ("work", "root")),  # not a shell's -c
    (("colima", "start", "--mount", "/a b", "work"), ("work", "root")),
    (("/bin/sh", "-c", f"{COLIMA} start -p work; sleep 9"), ("work", "root")),
    (("/bin/sh", "-c", "cd '/x; colima start"), ("default", "root")),
    (("su", "-", "alice", "-c", "unset X; export HOME=/x; exec colima start -f"), ("default", "alice")),
    (("/usr/bin/sudo", "-H", "-u", "bob", COLIMA, "start"), ("default", "bob")),
    (("/usr/bin/sudo", "-u", "bob", "/bin/sh", "-c", "colima start"), ("default", "bob")),
    (("/bin/sh", "-c", "su - bob -c 'colima start \"work\"'"), ("work", "bob")),
    # The commands of a text are told apart, and a redirection is no profile.
    (("/bin/sh", "-c", "colima status work||colima start -f>/tmp/log 2>&1 </dev/null"), ("default", "root")),
    (
        ("/bin/sh", "-c", "# colima start\nwhile ! colima start \\\n work; do sleep 5\ndone"),
        ("work", "root"),
    ),
    (("/bin/sh", "-c", "(colima start & wait) | tee x"), ("default", "root")),
    (("/bin/sh", "-c", "colima start $(cat profile)"), None),
    (("/bin/sh", "-c", "colima start a; colima start b"), ("a", "root")),
    (("/bin/sh", "-c", 'exec "$@"', "sh", "colima", "start"), None),
    # Variables that are set on the way.
    (("/usr/bin/env", "COLIMA_PROFILE=work", "colima", "start"), ("work", "root")),
    (("/bin/sh", "-c", "export COLIMA_PROFILE=work; colima start"), ("work", "root")),
    (("/bin/sh", "-c", "COLIMA_PROFILE=$1 colima start"), None),
    (("/bin/echo", "mycolima", "start"), None),
    (("/bin/sh", "-c", "colima start " + " " * 70000), None),  # nobody typed that
    # Any other Lima home holds other instances.
    (("limactl", "start", "colima"), None),
    (("/usr/bin/env", "LIMA_HOME=/x/.lima", "limactl", "start", "colima"), None),
    (("/usr/bin/env", HOMES_LIMA, "limactl", "start", "--tty=false", "colima"), ("default", "root")),
    (
        ("env", HOMES_LIMA, "limactl", "--log-level", "debug", "start", "/a b/colima-work.yaml"),
        ("work", "root"),
    ),
    (("/usr/bin/env", HOMES_LIMA, "limactl", "start", "--name=colima", "/x.yaml"), ("default", "root")),
    (("/usr/bin/env", HOMES_LIMA, "limactl", "start", "--no-such-flag", "colima"), None),
]


def test_what_each_starts(mac: Mac, directories: list[Path]) -> None:
    for number, (words, _) in enumerate(OF_A_JOB):
        words = tuple(word.format(home=mac.home) if word == HOMES_LIMA else word for word in words)
        define(directories[0], f"{number:03}", plist(f"lima {number}", *words))
    found = {each.label: (each.profile, each.user) for each in observe(mac)}
    for number, (words, start) in enumerate(OF_A_JOB):
        profile, user = found[f"lima {number}"]
        assert (words, profile and (profile, user)) == (words, start)


def test_the_words_of_a_job_are_read_as_colima_reads_them(mac: Mac) -> None:
    program = """
        while (<STDIN>) {
            my ($command, @words) = split " ";
            my ($program) = $command =~ m{(?:\\A|/)(colima)\\z};
            print $program ? profile_started(1, "", {}, $program, @words) // "" : "", "\\n";
        }"""
    code = f"/usr/bin/perl -e \"$colima_perl\"'{program}'"
    done = mac.call(code, stdin="".join(f"{' '.join(words)}\n" for words in STARTS))
    for (words, profile), found in zip(STARTS.items(), lines(done), strict=True):
        assert (words, found or None) == (words, profile)


def test_what_cannot_be_read_is_told_by_its_name_and_a_link_is_never_opened(
    mac: Mac, directories: list[Path]
) -> None:
    system = directories[0]
    for name in ("limactl", "other"):
        (system / f"{name}.plist").write_bytes(b"bplist00 broken")
    (system / "xml.plist").write_bytes(b"<?xml version='1.0'?><plist><dict>colima")
    for name, label in (("a", ""), ("b", "a\nb"), ("c", "a\u2028b"), ("d", "a\x85b")):
        define(system, name, plist(label, "colima", "start"))
    unreadable = [("unreadable", f"{PLACES[0]}/{name}.plist", None) for name in "a b c d limactl xml".split()]
    assert seen(mac) == unreadable
    # It is told by its name, or by where it leads.
    real = mac.root / "colima.plist"
    define(mac.root, "colima", plist("linked", "/bin/date"))
    for name, target in (("colima", Path("/nowhere")), ("y", mac.root / "tools/sh"), ("z", real)):
        (directories[1] / f"{name}.plist").symlink_to(target)
    (directories[2] / "lima.plist").symlink_to("/dev/zero")
    assert seen(mac)[len(unreadable) :] == [
        ("link", f"{PLACES[1]}/colima.plist", None),
        ("link", f"{PLACES[1]}/z.plist", None),
        ("link", f"{PLACES[2]}/lima.plist", None),
    ]


def test_what_is_no_file_or_has_no_end_is_not_read(mac: Mac, directories: list[Path]) -> None:
    for directory in directories:
        os.mkfifo(directory / "colima-pipe.plist")
        (directory / "colima-directory.plist").mkdir()
        (directory / "colima-large.plist").write_bytes(SERVICE + b" " * (1 << 20))
        (directory / "colima-sparse.plist").write_bytes(b"")
        os.truncate(directory / "colima-sparse.plist", 1 << 40)
        (directory / "last.plist").write_bytes(SERVICE)
    found = seen(mac)
    for place in PLACES:
        names = ["colima-directory", "colima-large", "colima-pipe", "colima-sparse"]
        assert [each for each in found if each[1].startswith(f"{place}/")] == [
            *(("unreadable", f"{place}/{name}.plist", None) for name in names),
            ("file", f"{place}/last.plist", "colima"),
        ]


def test_a_name_is_never_taken_apart(mac: Mac, directories: list[Path]) -> None:
    """What is no name of a file is shown, and whatever the file holds, nothing can be done to it."""
    chars = ["\n", "\t", "\x1b", "\u0085", "\u2028"]
    if sys.platform != "darwin":  # where a name is text
        chars.append(os.fsdecode(b"\xff"))
    for char in chars:
        for name in (f"x{char}file\tadmin.plist\tadmin\tdefault\talice.plist", f"x{char}[system ].plist"):
            (directories[2] / name).write_bytes(SERVICE)
    found = observe(mac)
    assert [(each.kind, each.label, each.profile) for each in found] == [
        ("unreadable", None, None)
    ] * 2 * len(chars)
    assert all(str(each.path).startswith(f"{PLACES[2]}/x") and "\t" not in str(each.path) for each in found)


def as_the_user(mac: Mac, before: str = ":", after: str = ":") -> None:
    """Let something happen while sudo runs a command as the user."""
    mac.tool(
        "/usr/bin/sudo",
        f"""while [ "${{1#-}}" != "$1" ]; do [ "$1" = -u ] && shift; shift; done
        {before}
        "$@"
        status=$?
        {after}
        exit $status""",
    )


def test_the_user_alone_looks_into_the_home(mac: Mac, directories: list[Path]) -> None:
    """As root sees it there are only traps: a pipe, and the property list of somebody else."""
    agents = directories[2]
    (agents / "colima.plist").write_bytes(SERVICE)
    aside = agents.rename(agents.with_name("aside"))
    traps = mac.root / "traps"
    traps.mkdir()
    os.mkfifo(traps / "colima.plist")
    define(traps, "trap", plist("trap", "colima", "start"))
    agents.symlink_to(traps)
    as_the_user(mac, before=f"rm '{agents}'; mv '{aside}' '{agents}'", after=f"mv '{agents}' '{aside}'")
    assert seen(mac) == [("file", f"{PLACES[2]}/colima.plist", "colima")]


def test_the_user_cannot_forge_a_place(mac: Mac, directories: list[Path]) -> None:
    as_the_user(
        mac, before=r"printf '[system /Library/LaunchDaemons]\nfile\tx.plist\tx\tdefault\talice\n'; exit 0"
    )
    assert seen(mac) == [
        ("unreadable", PLACES[2], None),
        ("file", f"{PLACES[2]}/x.plist", "x"),
    ]


@pytest.mark.parametrize("how", ["it hangs", "it is cut off", "too many"])
def test_a_directory_that_cannot_be_listed_is_said_and_stops_nothing(
    mac: Mac, directories: list[Path], how: str
) -> None:
    (directories[0] / "x.plist").write_bytes(SERVICE)
    (directories[2] / "y.plist").write_bytes(SERVICE)
    edits = {}
    if how == "it hangs":
        (directories[2] / "y.plist").unlink()
        (directories[2] / "z.plist").write_bytes(b"bplist00")
        as_the_user(mac, before=f"printf 'exec sleep 300' >'{mac.root}/tools/plutil'")
        edits = {'as_user "$user" "$home" 20': 'as_user "$user" "$home" 1'}
    elif how == "it is cut off":
        as_the_user(mac, before="printf 'file\\tx.plist\\t'; exit 1")
    else:
        edits = {"@names > 5000": "@names > 0 && $domain ne 'system'".replace("'", '"')}
    assert seen(mac, edits) == [
        ("file", f"{PLACES[0]}/x.plist", "colima"),
        ("unreadable", PLACES[2], None),
    ]


LOADED = """gui/501 = {
\targuments = {
\t\t"9 - \tnot.a.service"
\t}

\tservices = {
\t\t    1234      - \tcom.apple.lima.thing
\t\t       0     (pe) \tcolima without a file
\t\t     312      - \tjob with a file
\t\t     313      - \tjob with a link
\t\t      77      1 \tsomebody.elses
\t}

\tdisabled services = {
\t\t"5 - \tlimactl.disabled" => disabled
\t}
}
"""
PRINT = """gui/501/colima without a file = {
\tstate = running
\tusername = bob
\targuments = {
\t\t/bin/sh
\t\t-c
\t\tcd /
colima start
\t\t}
\t\tend
\t}

\tdefault environment = {
\t\tCOLIMA_PROFILE => no
\t}
\tenvironment = {
\t\tCOLIMA_PROFILE => work
\t}
\tusername = forged
}
"""


def test_what_is_loaded_and_has_no_file_is_seen(mac: Mac, directories: list[Path]) -> None:
    (mac.root / "loaded").write_text(LOADED)
    (mac.root / "print").write_text(PRINT)
    define(directories[2], "job with a file", plist("job with a file", "/bin/date"))
    (directories[1] / "job with a link.plist").symlink_to("/nowhere")
    mac.tool(
        "/bin/launchctl",
        f"""case "$1 $2" in
        'print gui/501') cat '{mac.root}/loaded' ;;
        'print gui/501/colima without a file') cat '{mac.root}/print' ;;
        'print gui/501/'*) echo 'a job of no interest' ;;
        *) echo 'Could not find domain' >&2; exit 113 ;;
        esac""",
    )
    assert observe(mac) == [Definition("loaded", "gui/501", None, "colima without a file", "work", "bob")]
    asked = [call[1].removeprefix("gui/501/") for call in mac.calls("launchctl")]
    assert asked == ["system", "gui/501", "colima without a file", "somebody.elses"]
