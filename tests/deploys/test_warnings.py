"""What does not stop a deploy, and is mentioned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys.warnings import warnings
from facts.docker import DockerConfigState
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
        (replace(MINI, filevault=True, macos="26.0"), {}, "once, by `ssh NAME@HOST` with a password, (or"),
        (replace(MINI, filevault=True, macos="27.1", arch="x86_64"), {}, "the disk once (or"),
        (replace(MINI, rosetta=True), {}, "Rosetta"),
        (MINI, {"colima_memory": "1.5"}, "COLIMA_MEMORY is 1.5 GiB"),
        (ASLEEP, {}, POWER),
        (ASLEEP, {"power": "server"}, ""),
        # Disks alone wake by themselves.
        (replace(MINI, disk_sleep_minutes=10), {}, ""),
        (MINI, {"backup_dir_base": "./backups/"}, "./backups is /Users/alice/backups on this Mac"),
        (MINI, {"backup_dir_base": "backups"}, ""),
        (MINI, {"backup_dir_base": "/a/./b"}, ""),
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
credsStore is osxkeychain in /Users/alice/.docker/config.json: that fails while nobody is logged in \
(-25308), and with it each `docker run` of alice's that has to pull, public images too. Remove it; a deploy \
asks no helper"""
ONE = """\
credHelpers has desktop for a.b, credHelpers has osxkeychain for c in /Users/alice/.docker/config.json: \
that fails while nobody is logged in (-25308), and with it each `docker run` of alice's that has to pull \
from there. Remove it; a deploy asks no helper"""


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
