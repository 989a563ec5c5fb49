"""files/set-aside: a profile leaves its place as one unit, or stays as it is, however the run ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.conftest import Mac, is_gone
from tests.files.resets import BIG, CP, Done, Home, present, tree

ONE = "colima-pulse-backups/a unit"
TWO = '../../Volumes/Big Disk\'s "x"/backups/a unit'
UNITS = pytest.mark.parametrize("unit", [ONE, TWO], ids=["one volume", "two volumes"])


def said(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(done: Done) -> str:
    assert done.returncode == 1
    return done.stderr


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- whole runs


@UNITS
@pytest.mark.parametrize("caller, profile", [("root", "default"), ("alice", "web")])
def test_a_profile_is_moved_as_one_unit(mac: Mac, unit: str, caller: str, profile: str) -> None:
    mac.become(caller)
    home = Home(mac, profile, unit)
    parts, around = home.parts(), home.around()
    assert len(parts) == 5
    text = said(home.set_aside())
    assert str(home.unit) in text
    assert home.in_unit() == parts
    assert (home.parts(), home.around(), home.litter()) == ({}, around, [])
    assert [mode(home.unit.parent), mode(home.unit)] == [0o700, 0o700]
    assert (home.unit / "daemon.plist").read_text() == "<plist/>"
    assert not any(path.name == "in_use_by" for path in (home.unit / "disk").iterdir())
    assert not any(path.is_socket() for path in home.unit.rglob("*"))
    assert (home.base / "docker.sock").exists() == (profile != "default")
    manifest = (home.unit / "manifest").read_text().splitlines()
    assert manifest[:4] == ["version=1", "user=alice", f"profile={profile}", f"instance={home.id}"]
    assert {line for line in manifest if line.startswith("part=")} == {f"part={part}" for part in parts}
    assert [line.partition("=")[0] for line in manifest[4:7]] == ["made", "host", "other"]
    assert "Nothing of profile" in said(home.set_aside())
    assert home.in_unit() == parts


@UNITS
def test_a_profile_is_deleted(mac: Mac, unit: str) -> None:
    home = Home(mac, unit=unit)
    around = home.around()
    assert "deleted" in said(home.set_aside("delete"))
    assert (home.parts(), home.around(), home.litter()) == ({}, around, [])
    assert not home.unit.parent.exists()


@pytest.mark.parametrize("missing", ["profile", "instance", "disk and record", "other", "all"])
def test_parts_that_are_not_there(mac: Mac, missing: str) -> None:
    home = Home(mac)
    for part, path in home.places.items():
        if missing in (part, "all") or (missing, part) in (
            ("disk and record", "disk"),
            ("disk and record", "store.json"),
        ):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    parts = home.parts()
    said(home.set_aside(other=missing != "other"))
    assert home.in_unit() == parts
    assert present(home.unit) == bool(parts)


def test_a_second_state_directory_stays_where_none_was_given(mac: Mac) -> None:
    home = Home(mac)
    other = tree(home.other)
    said(home.set_aside(other=False))
    assert tree(home.other) == other
    assert not (home.unit / "other").exists()


def test_without_a_job_there_is_no_property_list(mac: Mac) -> None:
    home = Home(mac)
    home.plist.unlink()
    said(home.set_aside())
    assert not (home.unit / "daemon.plist").exists()


def test_a_backup_directory_keeps_its_mode(mac: Mac) -> None:
    home = Home(mac)
    home.unit.parent.mkdir(mode=0o755)
    home.unit.parent.chmod(0o755)
    said(home.set_aside())
    assert mode(home.unit.parent) == 0o755


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


@pytest.mark.parametrize("unit", [TWO])
def test_a_sparse_disk_stays_readable(mac: Mac, unit: str) -> None:
    home = Home(mac, unit=unit)
    said(home.set_aside())
    disk = (home.unit / "disk/datadisk").read_bytes()
    assert (len(disk), disk[:14], disk[-1:]) == (BIG, b"disk of colima", b"e")


def test_a_run_whose_reader_has_gone_goes_on(mac: Mac) -> None:
    home = Home(mac)
    parts = home.parts()
    (mac.root / "count").write_text("0\n")
    arguments = ["set-aside", "alice", "default", "move", str(home.unit), str(home.plist), str(home.other)]
    process = mac.popen("-c", mac.text("set-aside"), *arguments)
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    process.wait(12)
    assert home.in_unit() == parts
    assert home.litter() == []


# --- refusals: nothing is touched


def untouched(home: Home, run: Callable[[], Done]) -> str:
    home.direct = True
    before = tree(home.mac.home)
    why = refused(run())
    assert tree(home.mac.home) == before
    assert not home.journal.exists()
    return why


@pytest.mark.parametrize("way", ["move", "delete"])
def test_while_the_profile_runs(one_mac: Mac, way: str) -> None:
    home = Home(one_mac)
    agent = one_mac.start(f"limactl hostagent --pidfile {home.base}/_lima/colima/ha.pid --socket x")
    before = tree(one_mac.home)
    done = one_mac.run("set-aside", "alice", "default", way, home.unit, home.plist)
    assert done.returncode == 1
    assert f"{agent.pid} limactl hostagent" in done.stderr
    assert not is_gone(agent.pid)
    assert tree(one_mac.home) == before


def test_another_profile_may_run(one_mac: Mac) -> None:
    home = Home(one_mac)
    one_mac.table((7, 501, f"limactl hostagent --pidfile {home.base}/_lima/colima-foo/ha.pid --socket x"))
    said(home.set_aside())


@pytest.mark.parametrize(
    "command",
    [
        "limactl hostagent --pidfile {lima}/colima-x/ha.pid --socket x",
        "/opt/homebrew/bin/qemu-system-aarch64 -m 2 -pidfile {lima}/colima/qemu.pid",
        "ssh: {lima}/colima/ssh.sock [mux]",
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_while_the_second_state_directory_runs(one_mac: Mac, command: str, linked: bool) -> None:
    home = Home(one_mac)
    real = home.other
    if linked:
        real = one_mac.root / "elsewhere"
        shutil.move(home.other, real)
        home.other.symlink_to(real)
    one_mac.table((77, 501, command.format(lima=real / "_lima")), (78, 502, "limactl hostagent --pidfile x"))
    why = untouched(home, home.set_aside)
    assert f"these processes of {home.other} run" in why
    assert f"{one_mac.path('77')} " in why
    said(home.set_aside(other=False))


@pytest.mark.parametrize("place", ["", "/_lima"])
def test_what_is_no_second_state_directory(one_mac: Mac, place: str) -> None:
    home = Home(one_mac)
    shutil.rmtree(home.other)
    home.other.symlink_to(f"{home.base}{place}")
    assert "no second state directory" in untouched(home, home.set_aside)
    home.other = one_mac.home
    assert f"holds {home.base}" in untouched(home, home.set_aside)


@pytest.mark.parametrize("name", ["a unit", "a unit.part"])
def test_a_unit_that_is_there(one_mac: Mac, name: str) -> None:
    home = Home(one_mac)
    (home.unit.parent / name).mkdir(parents=True)
    assert f"{name} is there already" in untouched(home, home.set_aside)


@pytest.mark.parametrize("unit", ["relative/unit", "/a/unit.part", "/unit", "/a/..", "/a/b/", "/a\nb/c"])
def test_a_path_that_is_no_units(one_mac: Mac, unit: str) -> None:
    home = Home(one_mac)
    home.unit = Path(unit)
    text = unit  # Path would take the slash away
    run = lambda: home.run("set-aside", "alice", "default", "move", text, str(home.plist))  # noqa: E731
    untouched(home, run)


@pytest.mark.parametrize("part", ["profile", "instance", "disk", "other"])
def test_a_unit_inside_of_what_is_set_aside(one_mac: Mac, part: str) -> None:
    home = Home(one_mac)
    home.unit = home.places[part] / "unit"
    assert "choose another place" in untouched(home, home.set_aside)


@pytest.mark.parametrize("profile", ["", "_lima", "..", "a/b", ".hidden"])
def test_what_is_no_profile(one_mac: Mac, profile: str) -> None:
    home = Home(one_mac)
    untouched(home, lambda: home.run("set-aside", "alice", profile, "delete", "", ""))


@pytest.mark.parametrize("user, way", [("nobody", "move"), ("alice", "destroy"), ("../alice", "move")])
def test_what_is_no_user_or_mode(one_mac: Mac, user: str, way: str) -> None:
    home = Home(one_mac)
    untouched(home, lambda: home.run("set-aside", user, "default", way, str(home.unit), ""))


def test_processes_that_cannot_be_read(one_mac: Mac) -> None:
    home = Home(one_mac)
    one_mac.tool("/bin/ps", "exit 1")
    assert "ps does not answer" in untouched(home, home.set_aside)


@pytest.mark.parametrize(
    "level", ["Library/ColimaPulse", "Library/ColimaPulse/reset", "Library/ColimaPulse/reset/alice"]
)
def test_a_journal_behind_a_link(one_mac: Mac, level: str) -> None:
    home = Home(one_mac)
    elsewhere = one_mac.root / "elsewhere"
    elsewhere.mkdir()
    path = one_mac.root / level
    if path.exists():
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(elsewhere)
    before = home.parts()
    why = refused(home.set_aside())
    assert "symbolic link" in why or "not root's own" in why
    assert home.parts() == before
    assert list(elsewhere.iterdir()) == []


@UNITS
def test_a_place_that_cannot_be_written(one_mac: Mac, unit: str) -> None:
    home = Home(one_mac, unit=unit)
    home.unit.parent.parent.mkdir(exist_ok=True, parents=True)
    home.unit.parent.write_text("a file in its place")
    why = untouched(home, home.set_aside)
    assert "BACKUP_DIR_BASE=" in why


@UNITS
def test_a_unit_that_cannot_be_made(one_mac: Mac, unit: str) -> None:
    home = Home(one_mac, unit=unit)
    home.unit.parent.mkdir(parents=True)
    one_mac.tool(
        "/bin/mkdir",
        """case $* in *.part) echo "mkdir: Read-only file system" >&2; exit 1 ;; esac
        exec mkdir "$@" """,
    )
    assert "BACKUP_DIR_BASE=" in untouched(home, home.set_aside)


@UNITS
def test_a_property_list_that_cannot_be_copied(one_mac: Mac, unit: str) -> None:
    home = Home(one_mac, unit=unit)
    home.unit.parent.mkdir(parents=True)
    one_mac.tool("/bin/cp", f"""case $2 in *.plist) echo "cp: denied" >&2; exit 1 ;; esac\n{CP}""")
    assert f"{home.plist} could not be copied" in untouched(home, home.set_aside)


def test_too_little_room(one_mac: Mac) -> None:
    home = Home(one_mac, unit=TWO)
    home.unit.parent.mkdir(parents=True)
    home.room(9)
    why = untouched(home, home.set_aside)
    assert "has 9 KiB free" in why
    assert "needs " in why
    assert "BACKUP_DIR_BASE=" in why


@pytest.mark.parametrize("at", ["instance", "disk", "store.json", "profile", "other"])
def test_a_target_that_is_full(one_mac: Mac, at: str) -> None:
    home = Home(one_mac, unit=TWO)
    home.unit.parent.mkdir(parents=True)
    full = f"""case $* in *.part/{at})
        for to; do :; done; command cp -R "$2" "$to"
        find "$to" -type f | while read -r file; do : >"$file"; done
        echo "cp: No space left on device" >&2; exit 1 ;;
    esac\n"""
    one_mac.tool("/bin/cp", full + CP)
    why = untouched(home, home.set_aside)
    assert "No space left on device" in why
    assert "Nothing was removed" in why
    one_mac.tool("/bin/cp", CP)
    said(home.set_aside())


@pytest.mark.parametrize(
    "damage",
    [
        'find "$to" -name lima.yaml -exec sh -c \'printf x >"$0"\' {} ";"',
        'find "$to" -name datadisk -exec truncate -s 9 {} ";"',
        'find "$to" -name colima.yaml -exec rm {} ";"',
        'find "$to" -name link -exec rm {} ";"',
        'find "$to" -name lima.yaml -exec sed -i s/qemu/QEMU/ {} ";" -exec touch -d @1000000000 {} ";"',
    ],
)
def test_a_copy_that_is_not_what_it_should_be(one_mac: Mac, damage: str) -> None:
    home = Home(one_mac, unit=TWO)
    home.unit.parent.mkdir(parents=True)
    one_mac.tool("/bin/cp", CP + f"; {damage}")
    assert "is not what it should be" in untouched(home, home.set_aside)


def test_a_part_that_cannot_be_moved_is_said_and_the_next_run_goes_on(one_mac: Mac) -> None:
    home = Home(one_mac)
    parts = home.parts()
    body = (one_mac.root / "tools/mv").read_text()
    one_mac.tool("/bin/mv", """case $2 in */default) echo "mv: denied" >&2; exit 1 ;; esac\nexec mv "$@" """)
    why = refused(home.set_aside())
    assert f"{home.unit}.part" in why
    assert "run this again" in why
    assert home.disk_has_its_record()
    (one_mac.root / "tools/mv").write_text(body)
    said(home.set_aside("resume"))
    assert home.in_unit() == parts
    assert home.litter() == []


# --- killed at each step


# What ends an interrupted run is the same code either way: one in some places will do for the second way.
AGAIN = pytest.mark.parametrize(("again", "every"), [("resume", 1), ("the same", 5)])


@AGAIN
@UNITS
def test_a_move_killed_at_any_step_is_finished_or_undone(
    one_mac: Mac, unit: str, again: str, every: int
) -> None:
    home = Home(one_mac, unit=unit)
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside())
    ended = set()
    for step in home.steps(every):
        home.furnish()
        home.set_aside(call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        assert home.around() == around, step
        text = said(home.set_aside("resume" if again == "resume" else "move"))
        if home.journal_was:
            assert "interrupted" in text, step
        if again == "resume" and not present(home.unit):
            assert home.parts() == parts, step
            ended.add("undone")
        else:
            assert home.in_unit() == parts, step
            assert home.parts() == {}, step
            assert (home.unit / "daemon.plist").exists(), step
            ended.add("finished")
        assert home.around() == around, step
        assert home.litter() == [], step
    assert ended == ({"undone", "finished"} if again == "resume" else {"finished"})


@AGAIN
def test_a_deletion_killed_at_any_step_is_finished(one_mac: Mac, again: str, every: int) -> None:
    home = Home(one_mac)
    home.quickly()
    parts, around = home.parts(), home.around()
    said(home.set_aside("delete"))
    for step in home.steps(every):
        home.furnish()
        home.set_aside("delete", call=step)
        assert home.disk_has_its_record(), step
        assert all(what == parts[part] for part, what in home.parts().items()), f"{step}: half a part"
        left = home.parts() if again == "resume" and not home.journal_was else {}
        assert left in ({}, parts), step
        said(home.set_aside("resume" if again == "resume" else "delete"))
        assert home.parts() == left, step
        assert home.around() == around, step
        assert home.litter() == [], step


@UNITS
def test_what_was_made_after_an_interruption_is_not_lost(one_mac: Mac, unit: str) -> None:
    """A Colima that somebody starts in between makes parts anew; it never sees a disk without its record."""
    home = Home(one_mac, unit=unit)
    home.quickly()
    said(home.set_aside())
    for step in home.steps(2):
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
        text = said(home.set_aside("resume"))
        assert home.disk_has_its_record(), step
        assert home.litter() == [], step
        kept = {**home.in_unit(), **home.parts()}
        assert {part for part, what in kept.items() if "new" in what} == set(home.places) - {"store.json"}, (
            step,
            text,
        )
        assert new.keys() == kept.keys(), step


def test_a_copy_of_an_interrupted_run_that_still_runs(mac: Mac) -> None:
    home = Home(mac)
    arguments = f"/usr/bin/perl -e x 60 /bin/sh -c y set-aside alice default /bin/cp {home.base} {home.unit}"
    mac.table((4711, 501, arguments), (4712, 501, "sh set-aside alice web x"), (4713, 502, arguments))
    before = tree(mac.home)
    done = mac.run(
        "set-aside", "alice", "default", "move", home.unit, "", edits={"gone 10 busy": "gone 0 busy"}
    )
    assert "another run" in refused(done)
    assert mac.path("4711 set-aside alice default /bin/cp") in done.stderr
    assert "471" not in done.stderr.replace("4711", "")
    assert tree(mac.home) == before


def test_resuming_nothing_says_nothing_and_asks_nothing(mac: Mac) -> None:
    home = Home(mac)
    mac.tool("/bin/ps", "exit 1")
    assert said(home.set_aside("resume")) == ""


@pytest.mark.parametrize("text", ["", "stage=moving\n", "stage=dreaming\nend\n"])
def test_a_journal_that_cannot_be_read_is_left_to_look_at(mac: Mac, text: str) -> None:
    home = Home(mac)
    home.journal.parent.mkdir(parents=True)
    home.journal.write_text(text)
    before = home.parts()
    assert str(home.journal) in refused(home.set_aside())
    assert home.parts() == before
    assert home.journal.read_text() == text
