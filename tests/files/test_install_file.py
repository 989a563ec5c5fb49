"""files/install-file: root's files come whole or not at all."""

from __future__ import annotations

import plistlib
import stat
import sys
from pathlib import Path

import pytest

from tests.files.conftest import Mac

# plutil says what is wrong on stdout, and -lint is all that it is asked here.
PLUTIL = f"""[ "$1" = -lint ] && exec {sys.executable} -ISc '
import plistlib, sys
try: plistlib.load(open(sys.argv[1], "rb"))
except Exception as error: sys.exit(print(f"{{sys.argv[1]}}: {{error}}") or 1)
print(sys.argv[1] + ": OK")' "$2" """


@pytest.fixture(autouse=True)
def tools(mac: Mac) -> None:
    mac.tool("/usr/sbin/chown", ":")
    mac.tool("/usr/bin/plutil", PLUTIL)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("wanted", ["0755", "0644"])
def test_content_mode_and_owner(mac: Mac, wanted: str) -> None:
    path = mac.root / "Library/ColimaPulse/launch"
    text = "#!/bin/sh\n\techo 'a \\n b' \"$@\"\n\n\n"
    done = mac.run("install-file", path, wanted, stdin=text, env={"TMPDIR": "/nowhere"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert path.read_text() == text
    assert mode(path) == int(wanted, 8)
    assert names(path.parent) == ["launch"]
    owned = {tuple(call) for call in mac.calls("chown")}
    assert ("root:wheel", str(path.parent)) in owned
    assert any(owner == "root:wheel" and file.startswith(f"{path.parent}/.") for owner, file in owned)


def test_a_property_list_is_checked_under_a_name_that_launchd_does_not_read(mac: Mac) -> None:
    path = mac.root / "Library/LaunchDaemons/a b.plist"
    path.parent.mkdir()
    text = plistlib.dumps({"Label": "a b"}).decode()
    assert mac.run("install-file", path, "0644", stdin=text).returncode == 0
    assert path.read_text() == text
    ((option, checked),) = mac.calls("plutil")
    assert option == "-lint"
    assert not checked.endswith(".plist")
    assert Path(checked).parent == path.parent, "a rename, not a copy"


def test_a_bad_property_list_leaves_what_was_there(mac: Mac) -> None:
    path = mac.root / "Library/ColimaPulse/job.plist"
    path.write_text("before")
    done = mac.run("install-file", path, "0644", stdin="<plist><dict>")
    assert done.returncode != 0
    assert done.stderr, "why?"
    assert path.read_text() == "before"
    assert names(path.parent) == ["job.plist"]


@pytest.mark.parametrize(
    "tool, body",
    [
        ("/bin/cat", "head -c 3; echo 'No space left on device' >&2; exit 1"),
        ("/usr/sbin/chown", "exit 1"),
        ("/bin/chmod", "exit 1"),
        ("/bin/mv", "exit 1"),
        ("/usr/bin/mktemp", "exit 1"),
    ],
)
def test_whatever_fails_nothing_is_left_behind(mac: Mac, tool: str, body: str) -> None:
    path = mac.root / "Library/ColimaPulse/launch"
    path.write_text("before")
    mac.tool(tool, body)
    assert mac.run("install-file", path, "0755", stdin="after\n").returncode != 0
    assert path.read_text() == "before"
    assert names(path.parent) == ["launch"]


def test_the_running_file_is_replaced_and_never_written(mac: Mac) -> None:
    path = mac.root / "Library/ColimaPulse/launch"
    path.write_text("before")
    with path.open() as running:
        assert mac.run("install-file", path, "0755", stdin="after").returncode == 0
        assert running.read() == "before"
    assert path.read_text() == "after"


def test_it_is_never_seen_with_another_mode_or_owner(mac: Mac) -> None:
    # What is renamed into place has its owner and mode already.
    seen = mac.root / "seen"
    mac.tool("/bin/mv", f'for file; do :; done; [ -e "$file" ] && echo early >>\'{seen}\'; exec mv "$@"')
    for tool in ("/usr/sbin/chown", "/bin/chmod"):
        mac.tool(tool, f"[ -e '{mac.root}/Library/ColimaPulse/launch' ] && echo early >>'{seen}'; :")
    assert mac.run("install-file", mac.root / "Library/ColimaPulse/launch", "0755", stdin="x").returncode == 0
    assert not seen.exists()


def test_the_directory_is_made_and_put_right(mac: Mac) -> None:
    directory = mac.root / "Library/ColimaPulse"
    directory.rmdir()
    assert mac.run("install-file", directory / "launch", "0755", stdin="x").returncode == 0
    assert mode(directory) == 0o755
    directory.chmod(0o777)
    assert mac.run("install-file", directory / "launch", "0755", stdin="x").returncode == 0
    assert mode(directory) == 0o755


def test_another_directory_is_not_touched(mac: Mac) -> None:
    directory = mac.root / "Library/LaunchDaemons"
    directory.mkdir(mode=0o755)
    directory.chmod(0o750)
    assert mac.run("install-file", directory / "file", "0644", stdin="x").returncode == 0
    assert mode(directory) == 0o750
    assert all(str(directory) != call[-1] for call in mac.calls("chown"))


def test_a_symbolic_link_in_the_directorys_place_is_refused(mac: Mac) -> None:
    directory, elsewhere = mac.root / "Library/ColimaPulse", mac.root / "elsewhere"
    directory.rmdir()
    elsewhere.mkdir()
    directory.symlink_to(elsewhere)
    done = mac.run("install-file", directory / "launch", "0755", stdin="x")
    assert done.returncode == 1
    assert f"{directory} is a symbolic link" in done.stderr
    assert names(elsewhere) == []
    assert mac.calls("chown") == []


def test_a_symbolic_link_in_the_files_place_is_replaced_and_not_followed(mac: Mac) -> None:
    path, target = mac.root / "Library/ColimaPulse/launch", mac.root / "target"
    target.write_text("before")
    path.symlink_to(target)
    assert mac.run("install-file", path, "0755", stdin="after").returncode == 0
    assert target.read_text() == "before"
    assert not path.is_symlink()
    assert path.read_text() == "after"


@pytest.mark.parametrize("linked", [False, True])
def test_a_directory_in_the_files_place_is_a_failure(mac: Mac, linked: bool) -> None:
    path, directory = mac.root / "Library/ColimaPulse/launch", mac.root / "directory"
    directory.mkdir()
    path.symlink_to(directory) if linked else path.mkdir()
    done = mac.run("install-file", path, "0755", stdin="after")
    installed = path.is_file() and path.read_text() == "after"
    assert installed or done.returncode != 0, "said to be installed, and is not"
    assert names(directory) == []


def test_a_path_is_no_option_and_is_not_expanded(mac: Mac) -> None:
    path = mac.root / "Library/ColimaPulse" / "-rf $(x) *"
    assert mac.run("install-file", path, "0644", stdin="x").returncode == 0
    assert names(path.parent) == [path.name]
