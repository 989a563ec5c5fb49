"""What does not stop a deploy, and is mentioned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys.warnings import older, upgrade_warnings, warnings
from facts.docker import DockerConfigState
from facts.homebrew import Formula, FormulaeState
from facts.mac import MacState
from tests.deploys.test_faults import MINI, said, settings

ASLEEP = replace(MINI, sleep_minutes=1, disk_sleep_minutes=10, auto_restart=False)
POWER = """\
this Mac sleeps after 1 min, its disks after 10 min, it stays off after a power failure: \
sudo pmset -a sleep 0 disksleep 0 autorestart 1, or POWER=server"""


@pytest.mark.parametrize(
    ("mac", "data", "says"),
    [
        (MINI, {}, ""),
        (
            replace(MINI, filevault=True),
            {},
            "unlocks the disk once (or restarts with `sudo fdesetup authrestart`)",
        ),
        # By apple_ssh_and_filevault(7).
        (
            replace(MINI, filevault=True, macos="26.0"),
            {},
            "unlocks the disk, at the Mac or with a password over `ssh NAME@HOST` (or",
        ),
        (replace(MINI, rosetta=True), {}, "Rosetta"),
        (MINI, {"colima_memory": "1.5"}, "COLIMA_MEMORY is 1.5 GiB"),
        (ASLEEP, {}, POWER),
        (ASLEEP, {"power": "server"}, ""),
        # Disks alone wake by themselves.
        (replace(MINI, disk_sleep_minutes=10), {}, ""),
        (MINI, {"backup_dir_base": "./backups/"}, "./backups is /Users/alice/backups on this Mac"),
        (MINI, {"backup_dir_base": "backups"}, ""),
        (MINI, {"backup_dir_base": "/a/./b"}, ""),
        (MINI, {"maintain_every_days": 7}, ""),
        (
            MINI,
            {"maintain_every_days": 7, "pulse": False},
            "MAINTAIN_EVERY_DAYS has no effect with PULSE=false: set PULSE=true",
        ),
        (MINI, {"colima_extra_args": "--network-address"}, "needs steps by hand: docs/networking.md"),
        (MINI, {"colima_extra_args": "--network-address --network-address=false"}, ""),
        # What every user of the Mac can read.
        (MINI, {"colima_extra_args": "--env=A=s3cret,B=x --env=C=s3cret=x"}, "sets A, B, C with --env"),
        (MINI, {"colima_extra_args": """--env='"A=1,s3cret=2"'"""}, "sets A with --env"),
        (MINI, {"colima_extra_args": "--dns=1.1.1.1 --env-file=a=b --env=A"}, ""),
    ],
)
def test_warnings(mac: MacState, data: dict[str, Any], says: str) -> None:
    found = warnings(settings(**data), mac, "/Users/alice", DockerConfigState())
    said(found, says)
    assert "s3cret" not in "".join(found)


def test_filevault_of_an_intel_mac() -> None:
    found = warnings(settings(), replace(MINI, filevault=True, macos="26.0", arch="x86_64"), None, None)
    assert "the disk once (or" in found[0]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("--mount=~/Documents:w", "~/Documents"),
        ("--mount=~:w,/volumes/Big/a:/a:w --mount=/Users/b/downloads", "/volumes/Big/a, /Users/b/downloads"),
        ("""--mount='"/Homes/alice/Desktop/a, b:w",/Volumes'""", "/Homes/alice/Desktop/a, b, /Volumes"),
        ("'--mount=~/Library/Mobile Documents/a'", "~/Library/Mobile Documents/a"),
        ("--mount=~/Documents2,/Users/Shared/Volumes,/x/Documents --mount-type=9p --env=/Volumes/x", ""),
    ],
)
def test_mounts_that_macos_keeps_daemons_out_of(flags: str, kept: str) -> None:
    found = warnings(settings(colima_extra_args=flags), MINI, "/Homes/alice", DockerConfigState())
    said(found, kept and f"mounts {kept}: macOS keeps daemons, and so containers, out")


KEYCHAIN = """\
alice's docker asks osxkeychain for all registries, which fails while nobody is logged in (-25308), and with \
it each `docker run` that has to pull, public images too; a deploy asks nobody. See docs/troubleshooting.md, \
Registries"""
ONE = """\
alice's docker asks desktop for a.b, osxkeychain for c, which fails while nobody is logged in (-25308), and \
with it each `docker run` that has to pull from there; a deploy asks nobody. See docs/troubleshooting.md, \
Registries"""


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "/Users/alice/.docker/config.json cannot be read"),
        (DockerConfigState("osxkeychain"), KEYCHAIN),
        (DockerConfigState("osxkeychain", {"a.b": "ecr-login"}), KEYCHAIN),
        (DockerConfigState(None, {"c": "osxkeychain", "a.b": "desktop"}), ONE),
        # These need nobody.
        (DockerConfigState("pass", {"a.b": "ecr-login"}), ""),
    ],
)
def test_registries(config: DockerConfigState | None, says: str) -> None:
    said(warnings(settings(homebrew_user="alice"), MINI, "/Users/alice", config), says)
    assert warnings(settings(), MINI, None, config) == []


M4 = replace(MINI, chip="Apple M4 Pro", hypervisor=True)


def formulae(
    qemu: str = "10.1.2", *, entitled: bool | None = True, pinned: str = "lima qemu"
) -> FormulaeState:
    versions = {"lima": "2.2.0", "qemu": qemu}
    installed = {name: Formula(each, 0, name in pinned.split()) for name, each in versions.items()}
    return FormulaeState(installed, entitled)


@pytest.mark.parametrize(
    ("mac", "found", "says"),
    [
        (M4, formulae(), ""),
        (M4, None, ""),
        (M4, FormulaeState({}), ""),
        (M4, formulae("9.1.2_1"), "QEMU 9.1.2_1 aborts on an Apple M4 Pro, below 9.2: deploys/upgrade.py"),
        (replace(M4, chip="Apple M10"), formulae("9.1"), "aborts on an Apple M10"),
        (M4, formulae("9.2"), ""),
        (M4, formulae("HEAD-0a1"), ""),
        (replace(M4, chip="Apple M3"), formulae("9.1.2"), ""),
        (replace(M4, chip="Intel(R) Core(TM) M4"), formulae("9.1.2"), ""),
        (replace(M4, chip=None), formulae("8.2.1"), ""),
        (MINI, formulae("8.2.0"), "QEMU 8.2.0 is older than 8.2.1, which Lima wants: deploys/upgrade.py"),
        (M4, formulae("7.2"), "which Lima wants"),
        (
            M4,
            formulae(entitled=False),
            "QEMU is not signed for the hypervisor, so the VM will not start again: docs/",
        ),
        (M4, formulae(entitled=None), ""),
        # Lima does without one there.
        (replace(M4, hypervisor=False), formulae(entitled=False), ""),
    ],
)
def test_what_an_upgrade_is_for(mac: MacState, found: FormulaeState | None, says: str) -> None:
    said(warnings(settings(), mac, None, None, found), says)


@pytest.mark.parametrize(
    ("mac", "found", "what", "how"),
    [
        (M4, formulae(pinned="qemu"), "brew upgrade would replace lima under", "as alice: brew pin lima"),
        (M4, formulae(pinned=""), "replace lima, qemu under", "brew pin lima qemu"),
        (replace(MINI, installs_updates=True), None, "restarts by itself", "InstallMacOSUpdates -bool false"),
        (replace(MINI, arch="x86_64"), formulae(), "nothing new for Intel", "docs/upgrades.md"),
        (replace(MINI, installs_updates=False), formulae(), "", ""),
    ],
)
def test_what_comes_at_a_moment_nobody_chooses(
    mac: MacState, found: FormulaeState | None, what: str, how: str
) -> None:
    said(["; ".join(each) for each in upgrade_warnings(mac, found, "alice")], what and f"{what}\n{how}")


def test_older() -> None:
    assert older(formulae()) is None
    late = replace(formulae(), now=1000, age=2000, up=3000)
    assert older(late) == "Colima was started before lima 2.2.0, qemu 10.1.2 were installed"
