"""files/restore-backup: a unit comes back as it was, and stays; killed anywhere, the next run finishes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.files.conftest import Mac
from tests.files.resets import CP, HALF_A_COPY, Home, tree
from tests.files.test_set_aside import ONE, TWO, UNITS, refused, said

PARTS = ("profile", "instance", "disk", "store.json")


def aside(mac: Mac, unit: str = ONE, profile: str = "default") -> tuple[Home, dict[str, dict[str, object]]]:
    """A home whose profile was set aside, and what the profile was."""
    home = Home(mac, profile, unit)
    parts = home.parts()
    said(home.set_aside())
    return home, {part: parts[part] for part in PARTS}


@UNITS
@pytest.mark.parametrize("caller, profile", [("root", "default"), ("alice", "web")])
def test_a_unit_is_put_back_and_stays(mac: Mac, unit: str, caller: str, profile: str) -> None:
    mac.become(caller)
    home, parts = aside(mac, unit, profile)
    before, around = tree(home.unit), home.around()
    text = said(home.restore())
    assert (home.parts(), home.around(), home.litter()) == (parts, around, [])
    assert tree(home.unit) == before
    assert f"{home.unit}/other" in text
    assert f"{home.unit}/daemon.plist" in text
    assert all(call[0] == "-cRp" for call in mac.calls("cp")[-4:])


def test_into_a_home_without_a_state_directory(mac: Mac) -> None:
    home, parts = aside(mac)
    shutil.rmtree(home.base)
    said(home.restore())
    assert home.parts() == parts


def untouched(home: Home, unit: Path | None = None) -> str:
    home.direct = True
    before = tree(home.mac.home)
    why = refused(home.restore(unit=unit))
    assert tree(home.mac.home) == before
    assert not home.journal.exists()
    return why


def test_a_unit_in_the_making(one_mac: Mac) -> None:
    home, _ = aside(one_mac)
    part = home.unit.rename(f"{home.unit}.part")
    assert "incomplete" in untouched(home, part)


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("version=1", "version=2", "version"),
        ("user=alice", "user=bob", "is user bob's"),
        ("profile=default", "profile=web", "is profile web's"),
        ("instance=colima", "instance=colima-web", "not default's"),
        ("part=disk", "part=disk\npart=more", "more is missing"),
        ("version=1", "", "version"),
    ],
)
def test_a_foreign_manifest(one_mac: Mac, old: str, new: str, why: str) -> None:
    home, _ = aside(one_mac)
    manifest = home.unit / "manifest"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))
    assert why in untouched(home)


@pytest.mark.parametrize("lost", ["manifest", "disk", "store.json", "instance"])
@pytest.mark.parametrize("told", [True, False])
def test_a_unit_that_lacks_something(one_mac: Mac, lost: str, told: bool) -> None:
    home, parts = aside(one_mac)
    path = home.unit / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not told and lost != "manifest":
        manifest = home.unit / "manifest"
        manifest.write_text(manifest.read_text().replace(f"part={lost}\n", ""))
        if lost == "instance":
            said(home.restore())
            assert home.parts() == {part: what for part, what in parts.items() if part != lost}
            return
    assert str(home.unit) in untouched(home)


@pytest.mark.parametrize("part", PARTS)
def test_while_a_part_is_in_place(one_mac: Mac, part: str) -> None:
    home, _ = aside(one_mac)
    home.places[part].mkdir(parents=True)
    assert f"{home.places[part]} is in place" in untouched(home)


def test_while_the_profile_runs(one_mac: Mac) -> None:
    home, _ = aside(one_mac)
    one_mac.table((77, 501, f"limactl hostagent --pidfile {home.base}/_lima/colima/ha.pid --socket x"))
    assert "77 limactl hostagent" in untouched(home)


def test_too_little_room(one_mac: Mac) -> None:
    home, _ = aside(one_mac, TWO)
    home.room(9)
    assert "has 9 KiB free" in untouched(home)


@pytest.mark.parametrize("part", PARTS)
def test_a_volume_that_is_full(one_mac: Mac, part: str) -> None:
    home, parts = aside(one_mac)
    full = f"""case $2 in */{part}) {HALF_A_COPY}; echo "cp: No space left on device" >&2; exit 1 ;; esac\n"""
    one_mac.tool("/bin/cp", full + CP)
    assert "Nothing was put back" in untouched(home)
    assert home.litter() == []
    one_mac.tool("/bin/cp", CP)
    said(home.restore())
    assert home.parts() == parts


@UNITS
@pytest.mark.parametrize(("again", "every"), [("resume", 1), ("the same", 5)])
def test_a_restore_killed_at_any_step_is_finished(one_mac: Mac, unit: str, again: str, every: int) -> None:
    home, parts = aside(one_mac, unit)
    home.quickly()
    before, around = tree(home.unit), home.around()
    said(home.restore())
    for step in home.steps(every):
        for path in home.places.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        home.restore(call=step)
        assert home.disk_has_its_record(), step
        begun = home.journal_was
        if home.parts() == parts and not begun:
            continue
        said(home.set_aside("resume") if again == "resume" else home.restore())
        assert home.parts() == (parts if begun or again != "resume" else {}), step
        assert (tree(home.unit), home.around(), home.litter()) == (before, around, []), step


def test_what_was_made_after_an_interruption_stays(one_mac: Mac) -> None:
    home, _ = aside(one_mac)
    home.quickly()
    before = tree(home.unit)
    said(home.restore())
    for step in home.steps():
        for path in home.places.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        home.restore(call=step)
        if not home.places["store.json"].exists():
            home.places["store.json"].write_text("new")
        home.places["disk"].mkdir(exist_ok=True)
        (home.places["disk"] / "new").write_text("new")
        said(home.set_aside("resume"))
        assert (home.places["disk"] / "new").read_text() == "new", step
        assert home.places["store.json"].exists(), step
        assert (tree(home.unit), home.litter()) == (before, []), step


@UNITS
def test_a_reset_finishes_a_restore_and_then_sets_it_aside(one_mac: Mac, unit: str) -> None:
    home, parts = aside(one_mac, unit)
    home.direct = True
    said(home.restore())
    step = f"before {home.steps()[-1].split()[1]}"
    for path in home.places.values():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    home.restore(call=step)
    assert home.journal_was
    another = home.unit.with_name("another")
    said(home.set_aside(unit=another))
    assert home.parts() == {}
    assert home.in_unit(another) == parts
