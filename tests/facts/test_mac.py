"""What a Mac and its users are, from what sysctl, sw_vers, pmset, fdesetup, stat and dscl print."""

from __future__ import annotations

import pytest

from facts.mac import Homebrew, HomebrewState, Mac, MacState, NoUser, User, UserState, elapsed_seconds

BREW = [
    "prefix=/opt/homebrew",
    "brew=/opt/homebrew/bin/brew",
    "brew_owner=alice",
    "tool=colima",
    "tool=limactl",
    "end",
]
HOMEBREW = HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", ("colima", "limactl"))
MINI = [
    "kernel=Darwin",
    "machine=arm64",
    "macos=15.5",
    "hw.ncpu=8",
    "hw.memsize=17179869184",
    "kern.boottime={ sec = 1722409523, usec = 0 } Thu Aug  1 15:12:03 2024",
    "console_user=root",
    "filevault=FileVault is Off.",
    "volume=239362496 180000000",
    "sleep=0",
    "disksleep=10",
    "autorestart=1",
    *BREW,
]


def mini(**changed: str) -> MacState:
    """The Mac mini, with some lines of the answer changed."""
    lines = [line for line in MINI[:-1] if line.partition("=")[0] not in changed]
    return Mac().process([*lines, *(f"{key}={value}" for key, value in changed.items()), "end"])


def test_mac() -> None:
    assert Mac().process(MINI) == MacState(
        kernel="Darwin",
        macos="15.5",
        arch="arm64",
        rosetta=False,
        cpus=8,
        memory=17179869184,
        volume_size=239362496 * 1024,
        volume_free=180000000 * 1024,
        homebrew=HOMEBREW,
        filevault=False,
        sleep_minutes=0,
        auto_restart=True,
        boot_time=1722409523,
        console_user=None,
        disk_sleep_minutes=10,
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"filevault": "FileVault is On."}, {"filevault": True}),
        ({"filevault": ""}, {"filevault": None}),
        ({"autorestart": "0", "sleep": "10"}, {"auto_restart": False, "sleep_minutes": 10}),
        ({"disksleep": ""}, {"disk_sleep_minutes": None}),
        ({"console_user": "bob"}, {"console_user": "bob"}),
        # uname says x86_64 under Rosetta; where Homebrew belongs is told by the hardware.
        ({"machine": "x86_64"}, {"arch": "arm64", "rosetta": True}),
        ({"machine": "x86_64", "prefix": "/usr/local"}, {"arch": "x86_64", "rosetta": False}),
        (
            {"hw.ncpu": "", "hw.memsize": "?", "volume": "", "kern.boottime": ""},
            {"cpus": None, "memory": None, "volume_size": None, "boot_time": None},
        ),
        ({"kernel": "Linux", "macos": ""}, {"kernel": "Linux", "macos": None}),
    ],
)
def test_variants(changed: dict[str, str], expected: dict[str, object]) -> None:
    found = mini(**changed)
    assert {key: getattr(found, key) for key in expected} == expected


def test_version() -> None:
    assert mini(macos="26.0.1").macos_version == (26, 0, 1)
    assert mini(macos="").macos_version == ()


def test_homebrew() -> None:
    assert Homebrew().process(BREW) == HOMEBREW
    assert Homebrew().process(["prefix=/usr/local", "end"]) == HomebrewState("/usr/local", None, None, ())


# dscl puts a value with a space on a line of its own.
@pytest.mark.parametrize(
    ("record", "home"),
    [
        (["NFSHomeDirectory: /Users/alice"], "/Users/alice"),
        (["NFSHomeDirectory:", " /Volumes/Data Disk/al ice"], "/Volumes/Data Disk/al ice"),
        (["NFSHomeDirectory: /Users/a=b"], "/Users/a=b"),
    ],
)
def test_user(record: list[str], home: str) -> None:
    output = ["status=0", *record, "PrimaryGroupID: 20", "UniqueID: 502", "UserShell: /bin/zsh"]
    assert User().process([*output, "present=yes", "group=staff", "end"]) == UserState(
        uid=502, gid=20, group="staff", home=home, home_present=True, shell="/bin/zsh"
    )


def test_user_whose_home_is_away() -> None:
    output = ["status=0", "NFSHomeDirectory: /Volumes/x", "PrimaryGroupID: 20", "UniqueID: 502", "present=no"]
    found = User().process([*output, "group=", "end"])
    assert isinstance(found, UserState)
    assert not found.home_present


def test_no_such_user() -> None:
    output = ["status=56", "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)", "present=no", "group=", "end"]
    assert User().process(output) == NoUser()


@pytest.mark.parametrize(
    "output",
    [
        ["status=185", "<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)"],
        ["status=40", "<dscl_cmd> DS Error: -14120 (eDSPermissionError)"],
        ["status=127", "sh: /usr/bin/dscl: No such file or directory"],
        ["status=0", "No such key: NFSHomeDirectory", "PrimaryGroupID: 20", "UniqueID: 502"],
        ["status=0", "NFSHomeDirectory: /Users/x", "PrimaryGroupID: 20", "UniqueID: many"],
        ["status=0"],
    ],
)
def test_unreadable_user(output: list[str]) -> None:
    assert User().process([*output, "present=no", "group=", "end"]) is None


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [
        ("    00:07", 7),
        ("12:34", 754),
        ("01:00:00", 3600),
        ("03-04:05:06", 273906),
        ("", None),
        ("ps: no", None),
        ("7", None),
    ],
)
def test_elapsed_seconds(elapsed: str, seconds: int | None) -> None:
    assert elapsed_seconds(elapsed) == seconds
