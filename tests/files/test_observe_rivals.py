"""observe-rivals: every launchd job that mentions Colima or Lima is seen, whatever its file looks like."""

from __future__ import annotations

import plistlib
import sys
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


def plist(label: str, *words: str, **more: object) -> dict[str, Any]:
    return {"Label": label, "ProgramArguments": list(words), **more}


@pytest.fixture
def directories(mac: Mac) -> list[Path]:
    mac.tool(
        "/usr/bin/plutil",
        f"""[ "$1 $2 $3 $4" = "-convert xml1 -o -" ] && exec {sys.executable} -ISc '
import plistlib, sys
try: sys.stdout.buffer.write(plistlib.dumps(plistlib.load(open(sys.argv[1], "rb"))))
except Exception as error: sys.exit(f"{{sys.argv[1]}}: {{error}}")' "$5" """,
    )
    found = [
        mac.root / "Library/LaunchDaemons",
        mac.root / "Library/LaunchAgents",
        mac.home / "Library/LaunchAgents",
    ]
    for directory in found:
        directory.mkdir(parents=True)
    return found


def observe(mac: Mac) -> list[Definition]:
    done = mac.run("observe-rivals", "alice")
    assert (done.returncode, done.stderr) == (0, "")
    return Definitions().process(lines(done))


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
        for number, (domain, directory) in enumerate(zip(domains, directories, strict=True))
    ]


def test_what_cannot_be_read_is_told_by_its_name(mac: Mac, directories: list[Path]) -> None:
    (directories[0] / "colima.plist").symlink_to("/nowhere")
    (directories[0] / "limactl.plist").write_bytes(b"bplist00 broken")
    (directories[0] / "other.plist").write_bytes(b"bplist00 broken")
    real = mac.root / "elsewhere.plist"
    real.write_bytes(plistlib.dumps(plist("linked", "limactl")))
    (directories[0] / "x.plist").symlink_to(real)
    assert [(each.kind, Path(each.path or "").name, each.label) for each in observe(mac)] == [
        ("link", "colima.plist", None),
        ("unreadable", "limactl.plist", None),
        ("link", "x.plist", "linked"),
    ]


def test_what_is_loaded_and_has_no_file_is_seen(mac: Mac, directories: list[Path]) -> None:
    (mac.root / "loaded").write_text(LOADED)
    (mac.root / "print").write_text(PRINT)
    (directories[2] / "job with a file.plist").write_bytes(
        plistlib.dumps(plist("job with a file", "/bin/date"))
    )
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
    assert not any("limactl.disabled" in each or "not.a.service" in each for each in asked)
