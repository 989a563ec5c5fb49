"""What a Mac and its users are, from what sysctl, sw_vers, pmset, fdesetup, stat and dscl print."""

from __future__ import annotations

import pytest

from facts.homebrew import HomebrewState
from facts.mac import Mac, MacState

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
    "machdep.cpu.brand_string=Apple M2",
    "kern.hv_support=1",
    "updates=readable",
    "AutomaticDownload=1",
    "AutomaticallyInstallMacOSUpdates=0",
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
        chip="Apple M2",
        hypervisor=True,
        installs_updates=False,
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"filevault": "FileVault is On."}, {"filevault": True}),
        ({"filevault": ""}, {"filevault": None}),
        ({"autorestart": "0", "sleep": "10"}, {"auto_restart": False, "sleep_minutes": 10}),
        ({"disksleep": ""}, {"disk_sleep_minutes": None}),
        ({"console_user": "bob"}, {"console_user": "bob"}),
        ({"kern.hv_support": "0"}, {"hypervisor": False}),
        ({"kern.hv_support": "", "machdep.cpu.brand_string": ""}, {"hypervisor": None, "chip": None}),
        # What is not set is on.
        ({"AutomaticallyInstallMacOSUpdates": "1"}, {"installs_updates": True}),
        ({"AutomaticallyInstallMacOSUpdates": ""}, {"installs_updates": True}),
        ({"AutomaticallyInstallMacOSUpdates": "1", "AutomaticDownload": "0"}, {"installs_updates": False}),
        (
            {"AutomaticallyInstallMacOSUpdates": "1", "AutomaticCheckEnabled": "0"},
            {"installs_updates": False},
        ),
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
