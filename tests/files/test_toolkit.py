"""install, configure, the fact: the toolkit comes whole or not at all, and is known by one digest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import files
from facts.toolkit import Toolkit, ToolkitState
from tests.files.conftest import LABEL, Mac, lines
from tests.files.launchd import Launchd


@pytest.fixture(autouse=True)
def tools(mac: Mac) -> None:
    Launchd(mac)
    mac.link("shasum")


def install(
    mac: Mac, archive: str | None = None, digest: str | None = None
) -> subprocess.CompletedProcess[str]:
    return mac.run("install", digest or files.digest(), stdin=files.archive() if archive is None else archive)


def found(mac: Mac) -> ToolkitState:
    done = mac.run("facts/toolkit", LABEL)
    assert (done.returncode, done.stderr) == (0, "")
    return Toolkit().process(lines(done))


def left(mac: Mac) -> list[str]:
    return sorted(path.name for path in (mac.root / "Library/ColimaPulse").iterdir())


def test_it_is_installed_and_known_again(mac: Mac) -> None:
    assert found(mac) == ToolkitState(None)
    done = install(mac)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    installed = mac.root / "Library/ColimaPulse/bin"
    assert {path.name: path.read_text() for path in installed.iterdir()} == files.toolkit()
    assert {path.stat().st_mode & 0o777 for path in [installed, *installed.iterdir()]} == {0o755}
    assert found(mac) == ToolkitState(files.digest())
    (installed / "gate").write_text("#!/bin/sh\n")
    assert found(mac).digest not in (None, files.digest())
    (installed / "gate").unlink()
    assert found(mac).digest != files.digest()


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_one_that_was_cut_short_changes_nothing(mac: Mac, kept: float) -> None:
    install(mac)
    before = left(mac)
    whole = files.archive().replace("|set -u", "|set -eu")
    done = install(mac, whole[: int(len(whole) * kept)], "0" * 64)
    assert done.returncode == 1
    assert done.stderr.endswith("the toolkit has not arrived whole; run this again\n")
    assert found(mac).digest == files.digest()
    assert left(mac) == before


def test_a_command_of_the_old_one_that_runs_comes_to_its_end(mac: Mac) -> None:
    assert mac.run("install", "x", stdin="=a\n|echo a\n", edits={'!= "$digest"': '= ""'}).returncode == 0
    slow = mac.root / "Library/ColimaPulse/bin/a"
    slow.write_text("echo begun\nread line\n" + ":\n" * 100000 + "echo ended\n")
    running = mac.popen(str(slow))
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    old = slow.parent.readlink().name
    assert install(mac).returncode == 0
    assert len(left(mac)) == 2
    assert old not in left(mac)
    assert running.communicate("\n", timeout=20)[0] == "ended\n"


@pytest.mark.parametrize("made", ["directory", "link to a directory of root's"])
def test_what_is_in_the_way(mac: Mac, made: str) -> None:
    place = mac.root / "Library/ColimaPulse/bin"
    target = mac.root / "elsewhere"
    target.mkdir()
    place.mkdir() if made == "directory" else place.symlink_to(target)
    done = install(mac)
    if made == "directory":
        assert done.returncode == 1
        assert "is a directory that no deploy has made; move it away" in done.stderr
    else:
        assert found(mac).digest == files.digest()
    assert not any(target.iterdir())


def test_a_link_in_the_place_of_all_of_it_is_replaced(mac: Mac) -> None:
    place, target = mac.root / "Library/ColimaPulse", mac.root / "elsewhere"
    place.rmdir()
    target.mkdir()
    place.symlink_to(target)
    assert install(mac).returncode == 0
    assert not any(target.iterdir())


@pytest.mark.parametrize("tool", ["chmod", "ln", "mktemp", "perl"])
def test_whatever_fails_nothing_is_left_behind(mac: Mac, tool: str) -> None:
    install(mac)
    before = left(mac)
    body = 'case $* in *rename*) exit 1 ;; esac; exec perl "$@"' if tool == "perl" else "exit 1"
    mac.tool(f"/usr/bin/{tool}", body)
    assert mac.run("install", "x", stdin="=a\n|x\n", edits={'!= "$digest"': '= ""'}).returncode != 0
    assert left(mac) == before
    assert found(mac).digest == files.digest()


def test_the_settings_of_a_label(mac: Mac) -> None:
    settings = {
        "user": "alice",
        "home": f"{mac.home}",
        "log": "/var/log/a=b $(x) `y`.log",
        "start_seconds": "120",
    }
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    assert mac.run("bin/configure", LABEL, stdin=text).returncode == 0
    assert found(mac) == ToolkitState(None, settings, safe=True)
    etc = mac.root / "Library/ColimaPulse/etc"
    assert [path.name for path in etc.iterdir()] == [f"{LABEL}.conf"]
    (etc / f"{LABEL}.conf").chmod(0o664)
    assert not found(mac).safe
    mac.become("root")
    code = 'begin "$@"; printf "%s\\n" "$user" "$home" "$log" "$start_seconds" "$state"'
    done = mac.call(code, LABEL)
    state = mac.path(f"/Library/ColimaPulse/state/{LABEL}")
    assert done.stdout.splitlines() == [*settings.values(), state]


@pytest.mark.parametrize("label", ["../x", ".x", ""])
def test_a_label_that_is_none_is_not_written(mac: Mac, label: str) -> None:
    mac.become("root")
    assert mac.run("bin/configure", label, stdin="user=eve\n").returncode in (64, 78)
    assert left(mac) == []


@pytest.mark.parametrize(
    ("who", "label", "status", "says"),
    [
        ("alice", LABEL, 77, "run this as root: sudo test"),
        (
            "root",
            "com.example.other",
            78,
            f"nothing is deployed as com.example.other: there is no .*\n  {LABEL}$",
        ),
        ("root", f"../etc/{LABEL}", 78, "nothing is deployed as"),
        ("root", "", 64, "usage: test LABEL"),
    ],
)
def test_for_whom_a_command_runs(mac: Mac, who: str, label: str, status: int, says: str) -> None:
    mac.become(who)
    mac.configure()
    done = mac.call('begin "$@"; echo ran', label)
    assert (done.returncode, done.stdout) == (status, "")
    assert re.match(f"(?s){says}", done.stderr.rstrip())


def test_a_setting_is_data(mac: Mac) -> None:
    mac.become("root")
    mac.configure(user="$(touch x)", PATH="/evil", IFS="x", state="/elsewhere")
    done = mac.call('begin "$@"; printf "%s\\n" "$user" "$PATH" "$state"', LABEL)
    assert done.stdout.splitlines() == [
        "$(touch x)",
        "/nowhere",
        mac.path(f"/Library/ColimaPulse/state/{LABEL}"),
    ]
    assert not Path(mac.root / "x").exists()
