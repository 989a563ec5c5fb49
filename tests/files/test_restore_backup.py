"""restore-backup: a unit comes back as it was, and stays; what is in place becomes one, or is put back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac
from tests.files.resets import (
    CP,
    HALF_A_COPY,
    ONE,
    RUNS,
    STEPS,
    STOPPED,
    TWO,
    Home,
    Steps,
    refused,
    said,
    tree,
    untouched,
)

PARTS = ("profile", "instance", "disk", "store.json")


def aside(mac: Mac, unit: str = ONE, profile: str = "default") -> tuple[Home, dict[str, dict[str, object]]]:
    """A home whose profile was set aside, and what the profile was; Colima's job runs again."""
    home = Home(mac, profile, unit)
    parts = home.parts()
    home.put_aside()
    return home, {part: parts[part] for part in PARTS}


@pytest.mark.parametrize(("unit", "profile"), [(ONE, "default"), (TWO, "web")])
def test_a_unit_is_put_back_and_stays(mac: Mac, unit: str, profile: str) -> None:
    home, parts = aside(mac, unit, profile)
    shutil.rmtree(home.base)
    before = tree(home.unit)
    text = said(home.restore())
    assert (home.parts(), home.litter(), home.launchd.has) == (parts, [], STOPPED)
    assert tree(home.unit) == before
    assert not home.aside.exists(), "nothing was in place"
    assert f"{home.unit}/other" in text
    assert f"{home.unit}/daemon.plist" in text
    names = (mac.root / "names").read_text().splitlines()
    assert [name for name in names if name[:3] == "cp "] == ["cp -cRp"] * 4, "clones, on APFS"


def test_what_is_in_place_becomes_a_unit(mac: Mac) -> None:
    home, parts = aside(mac)
    home.make_profile(home.base, "default", "colima")
    (home.places["disk"] / "datadisk").write_text("another")
    now, around = home.parts(), home.around()
    said(home.restore())
    assert (home.parts(), home.in_unit(home.aside), home.around()) == (parts, now, around)


def test_a_restore_that_fails_puts_back_what_was_there(mac: Mac) -> None:
    part = "instance"
    home, _ = aside(mac)
    home.make_profile(home.base, "default", "colima")
    now, unit = home.parts(), tree(home.unit)
    full = f"""case $2 in */aside/*) ;; */{part}) {HALF_A_COPY}; echo "No space left" >&2; exit 1 ;; esac\n"""
    mac.tool("/bin/cp", full + CP)
    done = home.restore()
    why = refused(done)
    assert f"{home.unit}/{part} could not be copied. Nothing was put back" in why
    assert "What was there before is in its place again" in done.stdout
    assert f"{LABEL} was started again" in done.stdout
    assert (home.parts(), tree(home.unit), home.litter(), home.launchd.has) == (now, unit, [], RUNS)


def test_nothing_is_started_where_nothing_is_in_place(mac: Mac) -> None:
    """Colima would make a profile anew, and hide that what was there is not back."""
    home, _ = aside(mac)
    home.make_profile(home.base, "default", "colima")
    mac.tool("/bin/cp", """case $2 in */disk) echo "cp: No space left" >&2; exit 1 ;; esac\n""" + CP)
    refused(home.restore())
    assert (home.parts(), home.litter(), home.launchd.has) == ({}, [], STOPPED)
    assert home.in_unit(home.aside).keys() == set(PARTS)


def test_what_changed_while_it_was_copied_stays_and_is_in_the_way(mac: Mac) -> None:
    home, _ = aside(mac)
    home.aside = mac.home / TWO
    home.make_profile(home.base, "default", "colima")
    config = home.places["profile"] / "colima.yaml"
    mac.tool("/bin/sync", f"echo changed >'{config}'")
    done = home.restore()
    assert "there is profile in place" in refused(done)
    assert config.read_text() == "changed\n"
    assert "stays stopped" in done.stdout
    assert (home.litter(), home.launchd.has) == ([], STOPPED), "a half is not started"


# --- refused before anything is stopped


def test_what_is_no_whole_unit_of_this_profile(mac: Mac) -> None:
    home, _ = aside(mac)
    manifest = home.unit / "manifest"
    whole = manifest.read_text()
    for old, new, why in (
        ("version=1", "version=2", "version"),
        ("user=alice", "user=bob", "is user bob's"),
        ("profile=default", "profile=web", "is profile web's"),
        ("instance=colima", "instance=colima-web", "not default's"),
        ("part=disk", "part=disk\npart=more", "more is missing"),
    ):
        manifest.write_text(whole.replace(old, new))
        assert why in untouched(home, home.restore(), tree(mac.home))
    manifest.write_text(whole.replace("part=disk\n", "").replace("part=store.json\n", ""))
    for lost, why in (("store.json", "without its record"), ("disk", "without its data disk")):
        home.unit.joinpath(lost).rename(mac.root / lost)
        assert why in untouched(home, home.restore(), tree(mac.home))
        (mac.root / lost).rename(home.unit / lost)
    manifest.unlink()
    assert "no manifest" in untouched(home, home.restore(), tree(mac.home))
    part = home.unit.rename(f"{home.unit}.part")
    assert "incomplete" in untouched(home, home.restore(unit=part), tree(mac.home))


def test_too_little_room(mac: Mac) -> None:
    home, _ = aside(mac, TWO)
    home.room(9)
    assert "has 9 KiB free" in refused(home.restore())
    assert home.litter() == []


# --- interrupted


@STEPS
@pytest.mark.parametrize("unit", [ONE, pytest.param(TWO, marks=pytest.mark.weekly)])
def test_a_restore_killed_at_any_step_is_finished(mac: Mac, unit: str, steps: Steps) -> None:
    home, parts = aside(mac, unit)
    home.quickly()
    before, around = tree(home.unit), home.around()
    said(home.restore())
    for step in steps(home):
        home.clear()
        home.restore(call=step)
        assert home.disk_has_its_record(), step
        begun = home.journal_was
        if home.parts() == parts and not begun:
            continue
        said(home.finish())
        assert home.parts() == (parts if begun else {}), step
        assert (tree(home.unit), home.around(), home.litter()) == (before, around, []), step


@pytest.mark.weekly
def test_what_was_made_after_an_interruption_stays(mac: Mac) -> None:
    home, _ = aside(mac)
    home.quickly()
    before = tree(home.unit)
    said(home.restore())
    for step in home.steps():
        home.clear()
        home.restore(call=step)
        if not home.places["store.json"].exists():
            home.places["store.json"].write_text("new")
        home.places["disk"].mkdir(exist_ok=True)
        new: Path = home.places["disk"] / "new"
        new.write_text("new")
        said(home.finish())
        assert new.read_text() == "new", step
        assert home.places["store.json"].exists(), step
        assert (tree(home.unit), home.litter()) == (before, []), step


def test_a_reset_finishes_a_restore_and_then_sets_it_aside(mac: Mac) -> None:
    home, parts = aside(mac)
    home.quickly()
    said(home.restore())
    step = f"before {home.steps()[-1].split()[1]}"
    home.clear()
    home.restore(call=step)
    assert home.journal_was
    another = home.unit.with_name("another")
    said(home.set_aside(unit=another))
    assert home.parts() == {}
    assert home.in_unit(another) == parts
