"""observe-rivals: every launchd job that mentions Colima or Lima is seen, whatever its file looks like."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from facts.launchd import Definition, Definitions
from tests.files.conftest import Mac, lines

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
\tusername = alice
\targuments = {
\t\t/opt/homebrew/bin/colima
\t\t[job]
\t\tend
\t}
}
"""

PLACES = ["/Library/LaunchDaemons", "/Library/LaunchAgents", "/Users/al ice/Library/LaunchAgents"]


def plist(label: str, *words: str, **more: object) -> dict[str, Any]:
    return {"Label": label, "ProgramArguments": list(words), **more}


@pytest.fixture
def directories(mac: Mac) -> list[Path]:
    mac.tool(
        "/usr/bin/plutil",
        f"""[ "$*" = "-convert xml1 -o - -" ] && exec {sys.executable} -ISc '
import plistlib, sys
try: sys.stdout.buffer.write(plistlib.dumps(plistlib.load(sys.stdin.buffer)))
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
    done = mac.run("observe-rivals", "alice", edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    there = [re.sub(rf"^(home|path)={mac.root}/", r"\1=/", line) for line in lines(done)]
    return Definitions().process(there)


def seen(mac: Mac, edits: Mapping[str, str] | None = None) -> list[tuple[str, str, str | None]]:
    return [(each.kind, str(each.path), each.label) for each in observe(mac, edits)]


def test_a_mac_without_rivals(mac: Mac, directories: list[Path]) -> None:
    for directory in directories:
        (directory / "other.plist").write_bytes(plistlib.dumps(plist("other", "/bin/date")))
        (directory / "colima.txt").write_text("colima")
    assert observe(mac) == []


def test_a_mac_on_which_nothing_is_there(mac: Mac) -> None:
    assert observe(mac) == []


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY], ids=["xml", "binary"])
def test_each_place_and_form(mac: Mac, directories: list[Path], form: plistlib.PlistFormat) -> None:
    hostile = ["/opt/homebrew/bin/colima", "[job]\nkind=forged\n|end\nend", "a  b\\n"]
    for number, directory in enumerate(directories):
        content = plist(f"job {number}", *hostile, UserName="alice", EnvironmentVariables={"A": "b=c"})
        (directory / "a b.plist").write_bytes(plistlib.dumps(content, fmt=form))
    domains = ["system", "gui/501", "gui/501"]
    assert observe(mac) == [
        Definition(
            "file", domain, f"{directory}/a b.plist", f"job {number}", tuple(hostile), "alice", {"A": "b=c"}
        )
        for number, (domain, directory) in enumerate(zip(domains, PLACES, strict=True))
    ]


def test_what_cannot_be_read_is_told_by_its_name(mac: Mac, directories: list[Path]) -> None:
    (directories[0] / "limactl.plist").write_bytes(b"bplist00 broken")
    (directories[0] / "other.plist").write_bytes(b"bplist00 broken")
    assert seen(mac) == [("unreadable", f"{PLACES[0]}/limactl.plist", None)]


def test_a_link_is_told_by_its_name_or_where_it_leads_and_never_opened(
    mac: Mac, directories: list[Path]
) -> None:
    real = mac.root / "colima.plist"
    real.write_bytes(plistlib.dumps(plist("linked", "/bin/date")))
    (directories[0] / "colima.plist").symlink_to("/nowhere")
    (directories[0] / "other.plist").symlink_to(mac.root / "tools/sh")
    (directories[0] / "x.plist").symlink_to(real)
    (directories[2] / "lima.plist").symlink_to("/dev/zero")
    assert seen(mac) == [
        ("link", f"{PLACES[0]}/colima.plist", None),
        ("link", f"{PLACES[0]}/x.plist", None),
        ("link", f"{PLACES[2]}/lima.plist", None),
    ]


def test_what_is_no_file_or_has_no_end_is_not_read(mac: Mac, directories: list[Path]) -> None:
    service = plistlib.dumps(plist("colima", "/opt/homebrew/bin/colima", "start"))
    for directory in directories:
        os.mkfifo(directory / "colima-pipe.plist")
        (directory / "colima-directory.plist").mkdir()
        (directory / "colima-large.plist").write_bytes(service + b" " * (1 << 20))
        (directory / "colima-sparse.plist").write_bytes(b"")
        os.truncate(directory / "colima-sparse.plist", 1 << 40)
        (directory / "last.plist").write_bytes(service)
    for place in PLACES:
        found = [each for each in seen(mac) if each[1].startswith(f"{place}/")]
        names = ["colima-directory", "colima-large", "colima-pipe", "colima-sparse"]
        assert found == [
            *(("unreadable", f"{place}/{name}.plist", None) for name in names),
            ("file", f"{place}/last.plist", "colima"),
        ]


@pytest.mark.parametrize("char", ["\n", "\r", "\x1b", "\x7f", "\u0085", "\u2028", os.fsdecode(b"\xff")])
def test_a_name_is_never_taken_apart(mac: Mac, directories: list[Path], char: str) -> None:
    """What is no name of a file is shown, and whatever the file holds, nothing can be done to it."""
    forged = [f"x{char}path=admin.plist", f"x{char}[job]{char}path=admin.plist", f"x{char}end.plist"]
    for name in forged:
        (directories[2] / name).write_bytes(plistlib.dumps(plist("admin", "colima", "start")))
    shown = {os.fsdecode(b"\xff"): "\u00ff"}.get(char, "?")
    assert sorted(seen(mac)) == sorted(
        ("unreadable", f"{PLACES[2]}/{name.replace(char, shown)}", None) for name in forged
    )


def test_any_encoding(mac: Mac, directories: list[Path]) -> None:
    text = plistlib.dumps(plist("caf\u00e9", "colima", "start")).decode()
    latin = text.replace("UTF-8", "ISO-8859-1").replace("\n", "\r\n").encode("latin-1")
    (directories[0] / "x.plist").write_bytes(latin)
    (directories[1] / "y.plist").write_bytes(text.replace("UTF-8", "UTF-16").encode("utf-16"))
    assert [(each.kind, each.label, each.arguments) for each in observe(mac)] == [
        ("file", "caf\u00e9", ("colima", "start"))
    ] * 2


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
    mac.become("root")
    agents = directories[2]
    (agents / "colima.plist").write_bytes(plistlib.dumps(plist("colima", "colima", "start")))
    aside = agents.rename(agents.with_name("aside"))
    traps = mac.root / "traps"
    traps.mkdir()
    os.mkfifo(traps / "colima.plist")
    (traps / "trap.plist").write_bytes(plistlib.dumps(plist("trap", "colima", "start")))
    agents.symlink_to(traps)
    as_the_user(mac, before=f"rm '{agents}'; mv '{aside}' '{agents}'", after=f"mv '{agents}' '{aside}'")
    assert seen(mac) == [("file", f"{PLACES[2]}/colima.plist", "colima")]


@pytest.mark.parametrize("how", ["it hangs", "it fails", "it is cut off", "it is no directory", "too much"])
def test_a_directory_that_cannot_be_listed_is_said_and_stops_nothing(
    mac: Mac, directories: list[Path], how: str
) -> None:
    mac.become("root")
    service = plistlib.dumps(plist("colima", "colima", "start"))
    (directories[0] / "x.plist").write_bytes(service)
    (directories[2] / "y.plist").write_bytes(service)
    edits = {}
    if how == "it hangs":
        (directories[2] / "z.plist").write_bytes(b"bplist00")
        mac.tool("/usr/bin/plutil", "exec sleep 300")
        edits = {'as_user "$user" "$home" 20': 'as_user "$user" "$home" 1'}
    elif how == "it fails":
        as_the_user(mac, before="exit 1")
    elif how == "it is cut off":
        as_the_user(mac, before="printf '[job]\\npath='; exit 1")
    elif how == "it is no directory":
        shutil.rmtree(directories[2])
        directories[2].write_text("colima")
    else:
        for number in range(17):
            (directories[2] / f"{number}.plist").write_bytes(service + b" " * 1_000_000)
    assert seen(mac, edits) == [
        ("file", f"{PLACES[0]}/x.plist", "colima"),
        ("unreadable", PLACES[2], None),
    ]


def test_what_is_loaded_and_has_no_file_is_seen(mac: Mac, directories: list[Path]) -> None:
    (mac.root / "loaded").write_text(LOADED)
    (mac.root / "print").write_text(PRINT)
    (directories[2] / "job with a file.plist").write_bytes(
        plistlib.dumps(plist("job with a file", "/bin/date"))
    )
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
    (found,) = observe(mac)
    assert (found.kind, found.domain, found.path, found.label) == (
        "loaded",
        "gui/501",
        None,
        "colima without a file",
    )
    assert found.arguments == ("/opt/homebrew/bin/colima", "[job]", "end")
    asked = [call[1] for call in mac.calls("launchctl")]
    assert "gui/501/com.apple.lima.thing" not in asked
    assert "gui/501/job with a file" not in asked
    assert "gui/501/job with a link" not in asked
    assert not any("limactl.disabled" in each or "not.a.service" in each for each in asked)
