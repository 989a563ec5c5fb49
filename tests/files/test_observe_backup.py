"""facts/contents, facts/backups, and what facts/profile says of an interruption."""

from __future__ import annotations

from facts.backup import Backups, Contents, ProfileContents, Unit
from facts.colima import ColimaProfile
from tests.files.conftest import Mac, lines
from tests.files.resets import TWO, Home


def contents(mac: Mac, home: Home, *more: object) -> Contents:
    done = mac.run("facts/contents", "alice", home.profile, home.unit.parent, *more)
    assert (done.returncode, done.stderr) == (0, "")
    found = ProfileContents().process(lines(done))
    assert found is not None
    return found


def backups(mac: Mac, home: Home) -> list[Unit]:
    done = mac.run("facts/backups", "alice", home.unit.parent)
    assert (done.returncode, done.stderr) == (0, "")
    found = Backups().process(lines(done))
    assert found is not None
    return found


def test_a_home(mac: Mac) -> None:
    home = Home(mac)
    before = sorted(mac.home.rglob("*"))
    found = contents(mac, home)
    assert {part.what: part.path for part in found.parts} == {
        part: str(path) for part, path in home.places.items() if part != "other"
    }
    assert next(part.kib for part in found.parts if part.what == "disk") > 0
    assert (found.others, found.other_dir) == (("foo",), str(home.other))
    assert (found.free_kib, found.same_volume, found.writable) == (10 << 20, True, True)
    assert sorted(mac.home.rglob("*")) == before


def test_another_profile_on_another_volume(mac: Mac) -> None:
    home = Home(mac, "foo", TWO)
    home.unit.parent.mkdir(parents=True)
    found = contents(mac, home, mac.home / "nowhere")
    assert found.others == ("default",)
    assert (found.other_dir, found.same_volume) == (None, False)


def test_a_link_to_the_state_directory_is_no_second_one(mac: Mac) -> None:
    home = Home(mac)
    home.other.rename(mac.root / "elsewhere")
    home.other.symlink_to(mac.root / "elsewhere")
    assert contents(mac, home).other_dir == str(home.other)
    home.other.unlink()
    home.other.symlink_to(home.base)
    assert contents(mac, home).other_dir is None


def test_an_empty_home(mac: Mac) -> None:
    home = Home(mac)
    for path in list(mac.home.iterdir()):
        path.rename(mac.root / f"was {path.name}")
    found = contents(mac, home)
    assert (found.parts, found.others, found.other_dir, found.kib) == ((), (), None, 0)
    assert (found.writable, found.same_volume) == (True, True), "of the home, which is there"


def test_the_units_of_a_directory_and_what_is_unfinished(mac: Mac) -> None:
    home = Home(mac)
    assert backups(mac, home) == []
    home.put_aside()
    (home.unit.parent / "launchd-20261122-101530").mkdir()
    part = home.unit.with_name("b.part")
    part.mkdir()
    unit, unfinished = backups(mac, home)
    assert (unit.name, unit.complete, unit.profile) == ("a unit", True, "default")
    assert (unit.vm_type, unit.disk, unit.made) == ("qemu", 10, "2026-11-22T10:15:30Z")
    assert unit.kib > 0
    assert (unfinished.name, unfinished.complete, unfinished.made) == ("b.part", False, None)

    home.journal.write_text(f"stage=moving\nmode=move\nunit={part}\nother=\nparts=disk\nend\n")
    mac.brewed("limactl", ":")
    state = ColimaProfile().process(lines(mac.run("facts/profile", "alice", "default")))
    assert state is not None
    assert state.unfinished == "moving"


def test_a_name_of_two_lines_is_no_backup(mac: Mac) -> None:
    """What a deploy makes has none, and its second line would be taken for the script's own."""
    home = Home(mac)
    odd = home.unit.parent / "x\npath=" / "manifest"
    odd.parent.mkdir(parents=True)
    odd.write_text("")
    assert backups(mac, home) == []
