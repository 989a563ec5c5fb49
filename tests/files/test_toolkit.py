"""install, configure, the fact: the toolkit comes whole or not at all, and is known by one digest."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import files
from facts.toolkit import Toolkit, ToolkitState
from operations.toolkit import configuration
from settings import Settings
from tests.files.conftest import LABEL, Mac, lines
from tests.files.launchd import Launchd


@pytest.fixture(autouse=True)
def tools(mac: Mac) -> None:
    Launchd(mac)
    mac.tool("/usr/bin/shasum", 'exec shasum "$@"')


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


def test_one_that_was_cut_short_changes_nothing(mac: Mac) -> None:
    install(mac)
    before = left(mac)
    whole = files.archive().replace("|set -u", "|set -eu")
    for kept in (0, len(whole) - 9):
        done = install(mac, whole[:kept], "0" * 64)
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


def test_what_is_in_the_way(mac: Mac) -> None:
    place, target = mac.root / "Library/ColimaPulse/bin", mac.root / "elsewhere"
    target.mkdir()
    place.mkdir()
    assert "is a directory that no deploy has made; move it away" in install(mac).stderr
    place.rmdir()
    place.symlink_to(target)
    assert install(mac).returncode == 0
    assert found(mac).digest == files.digest()
    # A link in the place of all of it is replaced.
    shutil.rmtree(place.parent)
    place.parent.symlink_to(target)
    assert install(mac).returncode == 0
    assert not any(target.iterdir())


def test_whatever_fails_nothing_is_left_behind(mac: Mac) -> None:
    install(mac)
    before = left(mac)
    for tool in ("perl", "chmod", "ln", "mktemp"):
        body = 'case $* in *rename*) exit 1 ;; esac; exec perl "$@"' if tool == "perl" else "exit 1"
        mac.tool(f"/usr/bin/{tool}", body)
        assert mac.run("install", "x", stdin="=a\n|x\n", edits={'!= "$digest"': '= ""'}).returncode != 0
        assert left(mac) == before
    assert found(mac).digest == files.digest()


def test_the_settings_of_a_label(mac: Mac) -> None:
    given = Settings(
        homebrew_user="alice", colima_start_filter_info=False, log_path="/a=b $(touch x) `y`.log"
    )
    settings = configuration(given, f"{mac.home}", "/opt/homebrew")
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    note = mac.root / f"Library/ColimaPulse/maintained/{LABEL}"
    note.parent.mkdir(parents=True)
    note.touch()
    weekly = text.replace("maintain_days=0", "maintain_days=7")
    for settings_text, keeps in ((weekly, True), (text, False)):
        assert mac.run("bin/configure", LABEL, stdin=settings_text).returncode == 0
        assert note.exists() is keeps
    assert found(mac) == ToolkitState(None, settings, safe=True)
    etc = mac.root / "Library/ColimaPulse/etc"
    for kept in (0, text.index("log_keep")):
        done = mac.run("bin/configure", LABEL, stdin=text[:kept])
        assert (done.returncode, done.stdout) == (1, "")
    assert found(mac).settings == settings
    assert [path.name for path in etc.iterdir()] == [f"{LABEL}.conf"]
    (etc / f"{LABEL}.conf").chmod(0o664)
    assert not found(mac).safe
    # Each is data, and nothing else is taken for a setting.
    with (etc / f"{LABEL}.conf").open("a") as more:
        more.write("PATH=/evil\nIFS=x\nstate=/elsewhere\nx=$(touch x)\n")
    mac.become("root")
    names = [f'"${name}"' for name in ("HOMEBREW_PREFIX", *settings, "PATH", "state") if name != "prefix"]
    done = mac.call(f"begin \"$@\"; printf '%s\\n' {' '.join(names)}", LABEL)
    prefix = settings.pop("prefix")
    state = mac.path(f"/Library/ColimaPulse/state/{LABEL}")
    assert done.stdout.splitlines() == [prefix, *settings.values(), "/nowhere", state]
    assert not (mac.root / "x").exists()


def test_a_label_that_is_none_is_not_written(mac: Mac) -> None:
    mac.become("root")
    for label in ("../x", ".x", ""):
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
