"""What facts/contents and facts/backups print, and what the facts make of it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.backup import Backups, Contents, Part, ProfileContents, Unfinished, Unit

CONTENTS = [
    "home=/Users/al ice",
    "part=instance 12 /Users/al ice/.colima/_lima/colima",
    "part=disk 20 /Users/al ice/.colima/_lima/_disks/colima",
    "other=foo",
    "other_dir=7 /Users/al ice/.config/colima",
    "other_dir_profile=5 default",
    "free=100",
    "same_volume=yes",
    "writable=yes",
    "unfinished=moving",
    "mode=move",
    "unit=/a b/c=d",
    "end",
]
UNITS = ["home=/Users/a", "[unit]", "path=/b/a=b", "profile=web", "made=2026-11-22T10:15:30Z"]
UNITS += [
    "part=profile",
    "part=disk",
    "kib=9",
    "vm_type=qemu",
    "disk=10",
    "[unit]",
    "path=/b/x.part",
    "kib=",
    "end",
]


def test_contents() -> None:
    found = ProfileContents().process(CONTENTS)
    assert found == Contents(
        parts=(
            Part("instance", "/Users/al ice/.colima/_lima/colima", 12),
            Part("disk", "/Users/al ice/.colima/_lima/_disks/colima", 20),
        ),
        others=("foo",),
        other_dir="/Users/al ice/.config/colima",
        other_dir_kib=7,
        other_dir_profiles=(("default", 5),),
        free_kib=100,
        same_volume=True,
        writable=True,
        unfinished=Unfinished("moving", "move", "/a b/c=d"),
    )
    assert found.kib == 39


def test_contents_that_cannot_be_read() -> None:
    assert ProfileContents().process(["home=", *CONTENTS[1:]]) is None
    with pytest.raises(FactProcessError):
        ProfileContents().process([*CONTENTS[:1], "part=disk", *CONTENTS[1:]])


def test_units() -> None:
    assert Backups().process(UNITS) == [
        Unit(
            name="a=b", path="/b/a=b", complete=True, profile="web", made="2026-11-22T10:15:30Z", kib=9,
            vm_type="qemu", disk=10, parts=("profile", "disk"),
        ),
        Unit(
            name="x.part", path="/b/x.part", complete=False, profile=None, made=None, kib=0, vm_type=None,
            disk=None, parts=(),
        ),
    ]  # fmt: skip
    assert Backups().process(["home=", "end"]) is None
    assert Backups().process(["home=/a", "end"]) == []
