"""set-aside, finish-reset: a profile leaves its place as one unit, or stays as it is, however a run ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac
from tests.files.resets import (
    BIG,
    CP,
    DIRECT,
    ONE,
    RUNS,
    STOPPED,
    TWO,
    Home,
    present,
    refused,
    said,
    tree,
    untouched,
)

UNITS = pytest.mark.parametrize("unit", [ONE, TWO], ids=["one volume", "two volumes"])
# All steps are exhaustive; one in so many shows the corners.
STEPS = pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.weekly), 14])


@pytest.fixture
def home(mac: Mac) -> Home:
    return Home(mac)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- whole runs


@pytest.mark.parametrize(("unit", "profile"), [(ONE, "default"), (TWO, "web")])
def test_a_profile_is_moved_as_one_unit(mac: Mac, unit: str, profile: str) -> None:
    home = Home(mac, profile, unit, sudo=unit == ONE)
    parts, around = home.parts(), home.around()
    assert len(parts) == 5
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
    assert home.launchd.has == STOPPED
    assert "Nothing of profile" in said(home.set_aside(unit=home.aside))
    assert home.in_unit() == parts


@UNITS
def test_a_profile_is_deleted(mac: Mac, unit: str) -> None:
    home = Home(mac, unit=unit)
    around = home.around()
    assert "deleted" in said(home.set_aside("delete"))
    assert (home.parts(), home.around(), home.litter()) == ({}, around, [])
    assert not home.unit.parent.exists()


@pytest.mark.parametrize("missing", [("profile",), ("disk", "store.json"), ("other",)])
def test_parts_that_are_not_there(home: Home, missing: tuple[str, ...]) -> None:
    for part in missing:
        path = home.places[part]
        path.unlink() if path.is_file() else shutil.rmtree(path)
    home.plist.unlink()
    parts = home.parts()
    said(home.set_aside())
    assert home.in_unit() == parts
    assert not (home.unit / "daemon.plist").exists()


def test_a_second_state_directory_stays_where_none_was_given(home: Home) -> None:
    other = tree(home.other)
    said(home.set_aside(other=False))
    assert tree(home.other) == other
    assert not (home.unit / "other").exists()


@UNITS
def test_a_part_that_is_a_link_moves_as_a_link(mac: Mac, unit: str) -> None:
    home = Home(mac, unit=unit)
    elsewhere = mac.root / "elsewhere"
    shutil.move(home.places["instance"], elsewhere)
    home.places["instance"].symlink_to(elsewhere)
    before = tree(elsewhere)
    said(home.set_aside())
    assert (home.unit / "instance").readlink() == elsewhere
    assert tree(elsewhere) == before
    assert not present(home.places["instance"])


@pytest.mark.parametrize("way", ["move", "delete"])
def test_a_run_whose_connection_is_lost_comes_to_its_end(mac: Mac, home: Home, way: str) -> None:
    parts = home.parts()
    (mac.root / "count").write_text("0\n")
    text = mac.text("bin/set-aside", DIRECT)
    process = mac.popen("-c", text, "bin/set-aside", LABEL, way, str(home.unit))
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert process.wait(30) == 0
    del parts["other"]
    assert home.in_unit() == (parts if way == "move" else {})
    assert (home.litter(), home.launchd.has) == ([], STOPPED)


# --- refusals: nothing is touched, and Colima runs


@pytest.mark.parametrize(
    "command",
    [
        "limactl hostagent --pidfile {lima}/colima-x/ha.pid --socket x",
        "/opt/homebrew/bin/qemu-system-aarch64 -m 2 -pidfile {lima}/colima/qemu.pid",
        "ssh: {lima}/colima/ssh.sock [mux]",
    ],
)
def test_while_the_second_state_directory_runs(mac: Mac, home: Home, command: str) -> None:
    real = mac.root / "elsewhere"
    shutil.move(home.other, real)
    home.other.symlink_to(real)
    mac.table((77, 501, command.format(lima=real / "_lima")), (78, 502, "limactl hostagent --pidfile x"))
    before = tree(mac.home)
    why = untouched(home, home.set_aside(), before)
    assert f"these processes of {home.other} run" in why
    assert "77 " in why
    assert not mac.calls("kill")


@pytest.mark.parametrize("place", ["/.colima", "/.colima/_lima", ""])
def test_what_is_no_second_state_directory(mac: Mac, home: Home, place: str) -> None:
    shutil.rmtree(home.other)
    home.other.symlink_to(f"{mac.home}{place}")
    before = tree(mac.home)
    assert ("no second state directory" if place else "holds ") in untouched(home, home.set_aside(), before)


@pytest.mark.parametrize("name", ["a unit", "a unit.part"])
def test_a_unit_that_is_there(home: Home, name: str) -> None:
    (home.unit.parent / name).mkdir(parents=True)
    before = tree(home.mac.home)
    assert f"{name} is there already" in untouched(home, home.set_aside(), before)


@pytest.mark.parametrize("unit", ["relative/unit", "/a/unit.part", "/unit", "/a/..", "/a/b/", "/a\nb/c"])
def test_a_path_that_is_no_units(home: Home, unit: str) -> None:
    before = tree(home.mac.home)
    untouched(home, home.set_aside(unit=unit), before)


@pytest.mark.parametrize("part", ["profile", "disk", "other"])
def test_a_unit_inside_of_what_is_set_aside(home: Home, part: str) -> None:
    home.unit = home.places[part] / "unit"
    before = tree(home.mac.home)
    assert "choose another place" in untouched(home, home.set_aside(), before)


@pytest.mark.parametrize("profile", ["", "_lima", "..", "a/b", ".hidden"])
def test_what_is_no_profile(home: Home, profile: str) -> None:
    home.mac.configure(profile=profile)
    before = tree(home.mac.home)
    assert "is no profile" in untouched(home, home.set_aside("delete"), before)


@pytest.mark.parametrize("arguments", [("destroy", "/a/b"), ("move",), ("delete", "/a/b", "/c", "/d")])
def test_how_it_is_not_called(home: Home, arguments: tuple[str, ...]) -> None:
    before = tree(home.mac.home)
    done = home.run("set-aside", *arguments)
    assert (done.returncode, tree(home.mac.home), home.launchd.has) == (64, before, RUNS)


def test_a_launchd_that_cannot_be_read(mac: Mac, home: Home) -> None:
    mac.tool("/bin/launchctl", "exit 1")
    before = tree(mac.home)
    assert "Nothing was touched" in untouched(home, home.set_aside(other=False), before)
    assert {call[0] for call in mac.calls("launchctl")} == {"print"}


def break_tool(path: str, when: str, then: str = "") -> Callable[[Home], None]:
    """Have a tool fail for some arguments, given as a pattern of case."""
    name = path.rpartition("/")[2]

    def broken(home: Home) -> None:
        text = (home.mac.root / "tools" / name).read_text()
        real = text.partition("PATH=/usr/bin:/bin:/usr/sbin:/sbin\n")[2]
        home.mac.tool(path, f'case "$*" in {when}) {then or "echo denied >&2"}; exit 1 ;; esac\n{real}')

    return broken


FILLED = """for to; do :; done; command cp -R "$2" "$to"
find "$to" -type f | while read -r file; do : >"$file"; done; echo "cp: No space left on device" >&2"""


@pytest.mark.parametrize(
    ("unit", "breaks", "says"),
    [
        (ONE, lambda home: home.mac.tool("/bin/ps", "exit 1"), "restart the Mac"),
        (ONE, break_tool("/bin/mkdir", "*.part"), "BACKUP_DIR_BASE="),
        (TWO, break_tool("/bin/mkdir", "*.part"), "BACKUP_DIR_BASE="),
        (ONE, lambda home: home.unit.parent.rmdir() or home.unit.parent.write_text(""), "BACKUP_DIR_BASE="),
        (ONE, break_tool("/bin/cp", "*.plist*"), "could not be copied"),
        (TWO, lambda home: home.room(9), "has 9 KiB free, and the copy needs "),
        (TWO, lambda home: home.mac.tool("/bin/df", "exit 1"), "is unknown"),
        (TWO, break_tool("/bin/cp", "*.part/instance", FILLED), "No space left on device"),
        (TWO, break_tool("/bin/cp", "*.part/other", FILLED), "Nothing was removed"),
    ],
)
def test_what_is_in_the_way(mac: Mac, unit: str, breaks: Callable[[Home], object], says: str) -> None:
    home = Home(mac, unit=unit)
    home.unit.parent.mkdir(parents=True)
    breaks(home)
    before = tree(mac.home)
    assert says in untouched(home, home.set_aside(other=says != "restart the Mac"), before)


@pytest.mark.parametrize(
    "damage",
    [
        'find "$to" -name lima.yaml -exec sh -c \'printf x >"$0"\' {} ";"',
        'find "$to" -name datadisk -exec truncate -s 9 {} ";"',
        'find "$to" -name datadisk -exec touch {} ";"',
        'find "$to" -name link -exec rm {} ";"',
        'find "$to" -name lima.yaml -exec sed -i s/qemu/QEMU/ {} ";" -exec touch -d @1000000000 {} ";"',
    ],
)
def test_a_copy_that_is_not_what_it_should_be(mac: Mac, damage: str) -> None:
    home = Home(mac, unit=TWO)
    home.unit.parent.mkdir(parents=True)
    before = tree(mac.home)
    mac.tool("/bin/cp", CP + f"; {damage}")
    assert "is not what it should be" in untouched(home, home.set_aside(), before)


@pytest.mark.parametrize("was", ["runs", "not loaded", "disabled"])
def test_what_does_not_end_is_not_moved_and_launchd_is_as_before(mac: Mac, home: Home, was: str) -> None:
    if was != "runs":
        (home.launchd.directory / RUNS[0]).unlink()
    if was == "disabled":
        home.launchd.disable()
    launchd, before = home.launchd.has, tree(mac.home)
    mac.table((77, 501, f"limactl hostagent --pidfile {home.base}/_lima/colima/ha.pid --socket x"))
    why = refused(home.set_aside())
    assert "77 limactl hostagent" in why
    assert (tree(mac.home), home.launchd.has) == (before, launchd)


def test_what_is_started_by_hand_meanwhile_is_not_moved(mac: Mac, home: Home) -> None:
    mac.tool("/bin/ps", ":")
    said(home.set_aside(other=False))
    looks = len(mac.calls("ps"))
    home.furnish()
    before = tree(mac.home)
    agent = f"limactl hostagent --pidfile {home.base}/_lima/colima/ha.pid --socket x"
    # The last two looks are after all has been stopped.
    late = f"[ $(wc -l <looks) -lt {looks - 1} ]"
    mac.tool("/bin/ps", f"cd '{mac.root}'; echo >>looks; {late} || echo '77 1 501 {agent}'")
    assert "stop them first" in refused(home.set_aside(other=False))
    assert tree(mac.home) == before


def test_another_profile_may_run(mac: Mac, home: Home) -> None:
    mac.table((7, 501, f"limactl hostagent --pidfile {home.base}/_lima/colima-foo/ha.pid --socket x"))
    said(home.set_aside())
    assert not mac.calls("kill")


def test_a_copy_of_a_killed_run_that_still_runs(mac: Mac, home: Home) -> None:
    arguments = f"/usr/bin/perl -e x 60 /bin/sh -c y set-aside alice default /bin/cp {home.base} {home.unit}"
    mac.table((4711, 501, arguments), (4712, 501, "sh set-aside alice web x"), (4713, 502, arguments))
    before = tree(mac.home)
    why = untouched(home, home.set_aside(), before)
    assert mac.path("4711 set-aside alice default /bin/cp") in why
    assert "471" not in why.replace("4711", "")


# --- interrupted


def test_a_part_that_cannot_be_moved_is_said_and_the_next_run_goes_on(home: Home) -> None:
    parts = home.parts()
    text = (home.mac.root / "tools/mv").read_text()
    break_tool("/bin/mv", "*/default\\ *")(home)
    done = home.set_aside()
    why = refused(done)
    assert f"{home.unit}.part" in why
    assert f"finish-reset {LABEL}" in done.stdout
    assert home.disk_has_its_record()
    assert home.launchd.has == STOPPED, "half of a profile is not started"
    (home.mac.root / "tools/mv").write_text(text)
    said(home.finish())
    assert (home.in_unit(), home.litter()) == (parts, [])


@UNITS
@pytest.mark.parametrize(
    ("again", "every"),
    [
        ("finish", 14),
        ("the same", 25),
        pytest.param("finish", 1, marks=pytest.mark.weekly),
        pytest.param("the same", 5, marks=pytest.mark.weekly),
    ],
)
def test_a_move_killed_at_any_step_is_finished_or_undone(mac: Mac, unit: str, again: str, every: int) -> None:
    home = Home(mac, unit=unit)
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside())
    for step in home.steps(every):
        home.furnish()
        home.set_aside(call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        assert home.around() == around, step
        text = said(home.finish() if again == "finish" else home.set_aside())
        if home.journal_was:
            assert "interrupted" in text, step
        if again == "finish" and not present(home.unit):
            assert home.parts() == parts, step
        else:
            assert (home.in_unit(), home.parts()) == (parts, {}), step
            assert (home.unit / "daemon.plist").exists(), step
        assert (home.around(), home.litter()) == (around, []), step


@STEPS
def test_a_deletion_killed_at_any_step_is_finished(mac: Mac, every: int) -> None:
    home = Home(mac)
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside("delete"))
    for step in home.steps(every):
        home.furnish()
        home.set_aside("delete", call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        left = {} if home.journal_was else home.parts()
        assert left in ({}, parts), step
        said(home.finish())
        assert (home.parts(), home.around(), home.litter()) == (left, around, []), step


@STEPS
@UNITS
def test_what_was_made_after_an_interruption_is_not_lost(mac: Mac, unit: str, every: int) -> None:
    """A Colima that somebody starts in between makes parts anew; it never has a disk without its record."""
    home = Home(mac, unit=unit)
    home.quickly()
    said(home.set_aside())
    for step in home.steps(every):
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
        text = said(home.finish())
        assert home.disk_has_its_record(), step
        assert home.litter() == [], step
        kept = {**home.in_unit(), **home.parts()}
        made = {part for part, what in kept.items() if "new" in what}
        assert made == set(home.places) - {"store.json"}, (step, text)
        assert new.keys() == kept.keys(), step


def test_a_journal_of_the_first_version_is_finished(home: Home) -> None:
    """Half of the parts are renamed: as it wrote the journal then."""
    parts = home.parts()
    home.unit.with_name("a unit.part").mkdir(parents=True)
    for part in ("instance", "disk"):
        home.places[part].rename(home.unit.with_name("a unit.part") / part)
    home.journal.parent.mkdir(parents=True)
    home.journal.write_text(
        f"stage=moving\nmode=move\nunit={home.unit}\nother={home.other}\n"
        "parts=instance disk store.json profile other \nend\n"
    )
    assert "interrupted" in said(home.finish())
    assert (home.in_unit(), home.parts(), home.litter()) == (parts, {}, [])


def test_where_nothing_was_interrupted_nothing_is_stopped(mac: Mac, home: Home) -> None:
    assert said(home.finish()) == ""
    assert home.launchd.has == RUNS
    assert not mac.calls("launchctl")


@pytest.mark.parametrize("text", ["", "stage=moving\n", "stage=dreaming\nend\n"])
def test_a_journal_that_cannot_be_read_is_left_to_look_at(home: Home, text: str) -> None:
    home.journal.parent.mkdir(parents=True)
    home.journal.write_text(text)
    before = home.parts()
    assert str(home.journal) in refused(home.set_aside())
    assert (home.parts(), home.journal.read_text()) == (before, text)


@pytest.mark.parametrize("level", ["alice", "alice/default"])
def test_a_journal_behind_a_link(mac: Mac, home: Home, level: str) -> None:
    elsewhere = mac.root / "elsewhere"
    elsewhere.mkdir()
    path = mac.root / "Library/ColimaPulse/reset" / level
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    before = home.parts()
    assert "not root's own" in refused(home.set_aside())
    assert (home.parts(), list(elsewhere.iterdir())) == (before, [])
