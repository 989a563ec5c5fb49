"""set-aside, finish-reset: a profile leaves its place as one unit, or stays as it is, however a run ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac, hostagent
from tests.files.resets import (
    BIG,
    CP,
    ONE,
    RUNS,
    STEPS,
    STOPPED,
    TWO,
    Home,
    Steps,
    present,
    refused,
    said,
    tree,
    untouched,
)


@pytest.fixture
def home(mac: Mac) -> Home:
    return Home(mac)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- whole runs


@pytest.mark.parametrize(("unit", "profile"), [(ONE, "default"), (TWO, "web")])
def test_a_profile_is_moved_as_one_unit(mac: Mac, unit: str, profile: str) -> None:
    home = Home(mac, profile, unit)
    parts, around = home.parts(), home.around()
    assert len(parts) == 5
    # Another one may run.
    home.runs((7, 501, hostagent(mac, "colima-foo")))
    assert str(home.unit) in said(home.set_aside())
    assert home.in_unit() == parts
    assert (home.parts(), home.around(), home.litter()) == ({}, around, [])
    assert [mode(home.unit.parent), mode(home.unit)] == [0o700, 0o700]
    assert (home.unit / "daemon.plist").read_text() == "<plist/>"
    assert not present(home.unit / "disk/in_use_by")
    assert not any(path.is_socket() for path in home.unit.rglob("*"))
    assert (home.base / "docker.sock").exists() == (profile != "default")
    disk = (home.unit / "disk/datadisk").read_bytes()
    assert (len(disk), disk[-1:]) == (BIG, b"e")
    manifest = (home.unit / "manifest").read_text().splitlines()
    assert manifest[:4] == ["version=1", "user=alice", f"profile={profile}", f"instance={home.id}"]
    assert [line.partition("=")[0] for line in manifest[4:7]] == ["made", "host", "other"]
    assert set(manifest[7:]) == {f"part={part}" for part in parts}
    verbs = [call[0] for call in mac.calls("launchctl") if not call[0].startswith("print")]
    assert verbs == ["disable", "bootout"], "no boot starts it, and nothing does while it is moved"
    assert (home.launchd.has, mac.calls("kill")) == (STOPPED, [])


def test_a_profile_is_deleted(home: Home) -> None:
    around = home.around()
    assert "deleted" in said(home.set_aside("delete"))
    assert (home.parts(), home.around(), home.litter()) == ({}, around, [])
    assert not home.unit.parent.exists()
    assert "Nothing of profile" in said(home.set_aside())


def test_one_part_alone_and_all_of_it_as_the_user(mac: Mac) -> None:
    home = Home(mac, sudo=True)
    for part in ("instance", "disk"):
        shutil.rmtree(home.places[part])
    home.places["store.json"].unlink()
    home.plist.unlink()
    parts = home.parts()
    said(home.set_aside(other=False))
    # A second state directory stays where none was given.
    assert home.parts() == {"other": parts.pop("other")}
    assert home.in_unit() == parts
    assert not (home.unit / "daemon.plist").exists()
    assert all("alice" in call for call in mac.calls("sudo"))


def test_a_part_that_is_a_link_moves_as_a_link(mac: Mac) -> None:
    home = Home(mac, unit=TWO)
    elsewhere = mac.root / "elsewhere"
    shutil.move(home.places["instance"], elsewhere)
    home.places["instance"].symlink_to(elsewhere)
    before = tree(elsewhere)
    said(home.set_aside())
    assert (home.unit / "instance").readlink() == elsewhere
    assert tree(elsewhere) == before
    assert not present(home.places["instance"])


# --- refusals: nothing is touched, and Colima runs


def test_what_runs(mac: Mac, home: Home) -> None:
    """In the second state directory, and what a killed run has left; never another user's or profile's."""
    real = mac.root / "elsewhere"
    shutil.move(home.other, real)
    home.other.symlink_to(real)
    home.runs(
        (71, 501, f"limactl hostagent --pidfile {real}/_lima/colima-x/ha.pid --socket x"),
        (72, 501, f"/opt/homebrew/bin/qemu-system-aarch64 -m 2 -pidfile {real}/_lima/colima/qemu.pid"),
        (73, 501, f"ssh: {real}/_lima/colima/ssh.sock [mux]"),
        (78, 502, f"ssh: {real}/_lima/colima/ssh.sock [mux]"),
    )
    before = tree(mac.home)
    why = untouched(home, home.set_aside(), before)
    assert f"these processes of {home.other} run" in why
    assert [line.partition(" ")[0] for line in why.splitlines() if line[0] == "7"] == ["71", "72", "73"]
    copies = f"/usr/bin/perl -e x 60 /bin/sh -c y set-aside alice default /bin/cp {home.base} {home.unit}"
    home.runs((4711, 501, copies), (4712, 501, "sh set-aside alice web x"), (4713, 502, copies))
    why = untouched(home, home.set_aside(), before)
    assert mac.path("4711 set-aside alice default /bin/cp") in why
    assert "471" not in why.replace("4711", "")
    assert not mac.calls("kill")


def test_what_it_is_not_called_with(mac: Mac, home: Home) -> None:
    before = tree(mac.home)
    for unit in ("relative/unit", "/a\nb/c"):
        untouched(home, home.set_aside(unit=unit), before)
    assert home.run("set-aside", "destroy", "/a/b").returncode == 64
    assert "choose another place" in untouched(
        home, home.set_aside(unit=home.places["disk"] / "unit"), before
    )
    for profile in ("", "_lima", "a/b"):
        mac.configure(profile=profile)
        assert "is no profile" in untouched(home, home.set_aside("delete"), before)


def test_what_is_there_already_and_what_is_no_second_state_directory(mac: Mac, home: Home) -> None:
    for name in ("a unit", "a unit.part"):
        made = home.unit.with_name(name)
        made.mkdir(parents=True)
        assert f"{name} is there already" in untouched(home, home.set_aside(), tree(mac.home))
        made.rmdir()
    for place, why in (("/.colima/_lima", "no second state directory"), ("", "holds ")):
        shutil.rmtree(home.other) if not home.other.is_symlink() else home.other.unlink()
        home.other.symlink_to(f"{mac.home}{place}")
        assert why in untouched(home, home.set_aside(), tree(mac.home))


def break_tool(path: str, when: str, then: str = "echo denied >&2") -> Callable[[Home], None]:
    """Have a tool fail for some arguments, given as a pattern of case."""

    def broken(home: Home) -> None:
        file = home.mac.root / "tools" / path.rpartition("/")[2]
        first, rest = file.read_text().split("\n", 1)
        file.write_text(f'{first}\ncase "$*" in {when}) PATH=/usr/bin:/bin; {then}; exit 1 ;; esac\n{rest}')

    return broken


FILLED = """for to; do :; done; command cp -R "$2" "$to"
find "$to" -type f | while read -r file; do : >"$file"; done; echo "cp: No space left on device" >&2"""


@pytest.mark.parametrize(
    ("unit", "breaks", "says"),
    [
        (ONE, lambda home: home.mac.tool("/bin/launchctl", "exit 1"), "Nothing was touched"),
        (ONE, lambda home: home.mac.tool("/bin/ps", "exit 1"), "restart the Mac"),
        (ONE, lambda home: home.unit.parent.rmdir() or home.unit.parent.write_text(""), "BACKUP_DIR_BASE="),
        (ONE, break_tool("/bin/cp", "*.plist*"), "could not be copied"),
        (TWO, lambda home: home.room(9), "has 9 KiB free, and the copy needs "),
        (TWO, break_tool("/bin/cp", "*.part/disk", FILLED), "No space left on device"),
    ],
)
def test_what_is_in_the_way(mac: Mac, unit: str, breaks: Callable[[Home], object], says: str) -> None:
    home = Home(mac, unit=unit)
    home.unit.parent.mkdir(parents=True)
    breaks(home)
    before = tree(mac.home)
    assert says in untouched(home, home.set_aside(other=False), before)


def test_a_copy_that_is_not_what_it_should_be(mac: Mac) -> None:
    home = Home(mac, unit=TWO)
    home.quickly()
    home.unit.parent.mkdir(parents=True)
    before = tree(mac.home)
    for damage in (
        'find "$to" -name datadisk -exec touch {} ";"',
        'find "$to" -name lima.yaml -exec perl -pi -e s/qemu/QEMU/ {} ";" '
        '-exec perl -e "utime 1e9, 1e9, @ARGV" {} ";"',
    ):
        mac.tool("/bin/cp", CP + f"; {damage}")
        assert "is not what it should be" in untouched(home, home.set_aside(), before)
    mac.tool("/bin/cp", "printf 'cp: \\033]52;c;x\\007: no\\n' >&2; exit 1")
    assert "cp: ?]52;c;x?: no\n" in untouched(home, home.set_aside(), before)


@pytest.mark.parametrize("was", ["runs", "disabled"])
def test_what_does_not_end_is_not_moved_and_launchd_is_as_before(mac: Mac, home: Home, was: str) -> None:
    if was == "disabled":
        (home.launchd.directory / RUNS[0]).unlink()
        home.launchd.disable()
    launchd, before = home.launchd.has, tree(mac.home)
    home.runs((77, 501, hostagent(mac)))
    assert "77 " in refused(home.set_aside())
    assert (tree(mac.home), home.launchd.has) == (before, launchd)


def test_what_is_started_by_hand_meanwhile_is_not_moved(mac: Mac, home: Home) -> None:
    said(home.set_aside(other=False))
    looks = len(mac.calls("ps"))
    home.furnish()
    before = tree(mac.home)
    # The last two looks are after all has been stopped.
    late = f"[ $(wc -l <looks) -lt {looks - 1} ]"
    mac.tool(
        "/bin/ps", f"cd '{mac.root}'; echo >>looks; {late} || echo '77 1 501 {mac.path(hostagent(mac))}'"
    )
    assert "stop them first" in refused(home.set_aside(other=False))
    assert tree(mac.home) == before


# --- interrupted


def test_a_part_that_cannot_be_moved_is_said_and_the_next_run_goes_on(home: Home) -> None:
    parts = home.parts()
    tool = home.mac.root / "tools/mv"
    text = tool.read_text()
    break_tool("/bin/mv", "*/default\\ *")(home)
    done = home.set_aside()
    assert f"{home.unit}.part" in refused(done)
    assert f"finish-reset {LABEL}" in done.stdout
    assert home.disk_has_its_record()
    assert home.launchd.has == STOPPED, "half of a profile is not started"
    tool.write_text(text)
    assert "interrupted" in said(home.finish())
    assert (home.in_unit(), home.litter()) == (parts, [])
    calls = len(home.mac.calls("launchctl"))
    assert said(home.finish()) == ""
    assert len(home.mac.calls("launchctl")) == calls, "nothing is stopped where nothing is to be finished"


@STEPS
@pytest.mark.parametrize("unit", [ONE, TWO], ids=["one volume", "two volumes"])
def test_a_move_killed_at_any_step_is_finished_or_undone(mac: Mac, unit: str, steps: Steps) -> None:
    home = Home(mac, unit=unit)
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside())
    for number, step in enumerate(steps(home)):
        home.furnish()
        home.set_aside(call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        assert home.around() == around, step
        # By a command for that, or by the next reset.
        finishes = number % 2 == 0
        text = said(home.finish() if finishes else home.set_aside())
        if home.journal_was:
            assert "interrupted" in text, step
        if finishes and not present(home.unit):
            assert home.parts() == parts, step
        else:
            assert (home.in_unit(), home.parts()) == (parts, {}), step
            assert (home.unit / "daemon.plist").exists(), step
        assert (home.around(), home.litter()) == (around, []), step


@pytest.mark.weekly
def test_a_deletion_killed_at_any_step_is_finished(home: Home) -> None:
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside("delete"))
    for step in home.steps():
        home.furnish()
        home.set_aside("delete", call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        left = {} if home.journal_was else home.parts()
        assert left in ({}, parts), step
        said(home.finish())
        assert (home.parts(), home.around(), home.litter()) == (left, around, []), step


@STEPS
@pytest.mark.parametrize("unit", [ONE, pytest.param(TWO, marks=pytest.mark.weekly)])
def test_what_was_made_after_an_interruption_is_not_lost(mac: Mac, unit: str, steps: Steps) -> None:
    """A Colima that somebody starts in between makes parts anew; it never has a disk without its record."""
    home = Home(mac, unit=unit)
    home.quickly()
    said(home.set_aside())
    for step in steps(home):
        home.furnish()
        home.set_aside(call=step)
        for part, path in home.places.items():
            if part == "store.json":
                if not path.exists():
                    path.write_text('{"disk_formatted":true,"new":1}')
            else:
                path.mkdir(parents=True, exist_ok=True)
                (path / "new").write_text(part)
        new = home.parts()
        said(home.finish())
        assert home.disk_has_its_record(), step
        assert home.litter() == [], step
        kept = {**home.in_unit(), **home.parts()}
        assert {part for part, what in kept.items() if "new" in what} == set(home.places) - {"store.json"}, (
            step
        )
        assert new.keys() == kept.keys(), step


def test_a_journal_that_cannot_be_read_is_left_to_look_at(mac: Mac, home: Home) -> None:
    before = home.parts()
    for text in ("stage=moving\n", "stage=dreaming\nend\n"):
        home.journal.write_text(text)
        assert str(home.journal) in refused(home.set_aside())
        assert (home.parts(), home.journal.read_text()) == (before, text)
    # Nor is one behind a link.
    shutil.rmtree(home.journal.parent)
    elsewhere = mac.root / "elsewhere"
    elsewhere.mkdir()
    home.journal.parent.symlink_to(elsewhere)
    assert "not root's own" in refused(home.set_aside())
    assert (home.parts(), list(elsewhere.iterdir())) == (before, [])
