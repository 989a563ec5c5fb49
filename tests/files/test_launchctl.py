"""files/launchctl: one verb, what it said, its status, and an end to it."""

from __future__ import annotations

import pytest

from tests.files.conftest import Mac


@pytest.mark.parametrize("status", [0, 3, 36, 113])
def test_what_it_says_and_its_status(mac: Mac, status: int) -> None:
    mac.tool("/bin/launchctl", f"echo out; echo err >&2; exit {status}")
    done = mac.run("launchctl", "kill", "TERM", "system/a b; $(touch x)")
    assert done.returncode == status
    assert done.stdout.splitlines() == ["out", "err", f"rc={status}"]
    assert mac.calls("launchctl") == [["kill", "TERM", "system/a b; $(touch x)"]]


def test_one_that_hangs_is_ended(one_mac: Mac) -> None:
    one_mac.tool("/bin/launchctl", "trap '' TERM; echo so far; sleep 300")
    done = one_mac.run(
        "launchctl", "bootout", "system/x", edits={"bounded 60": "bounded 0.2", "alarm 5": "alarm 0.2"}
    )
    assert done.stdout.splitlines() == ["so far", "rc=124"]
    assert done.returncode == 124
