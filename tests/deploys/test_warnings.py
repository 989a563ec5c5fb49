"""What does not stop a deploy, and is mentioned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys.warnings import warnings
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
        (replace(MINI, filevault=True), {}, "fdesetup authrestart"),
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
    found = warnings(settings(**data), mac, "/Users/alice")
    said(found, says)
    assert "s3cret" not in "".join(found)
