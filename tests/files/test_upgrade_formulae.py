"""bin/upgrade-formulae: what was pinned is pinned again, whatever comes of the upgrade."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.files.conftest import LABEL, Mac, until
from tests.files.test_formulae import pin
from tests.files.test_lib import HOSTILE

FORMULAE = ("colima", "qemu")


def prepare(mac: Mac, upgrade: str, *pinned: str) -> None:
    """A brew that does `upgrade`, and keeps its pins as links."""
    mac.become("root")
    mac.configure()
    for name in pinned:
        pin(mac, name)
    pins = f"'{mac.prefix}/var/homebrew/pinned'"
    mac.brewed(
        "brew",
        f"""verb=$1
        shift
        case $verb in
        unpin) for name; do rm {pins}/"$name"; done ;;
        pin) for name; do ln -s new {pins}/"$name"; done ;;
        upgrade) {upgrade} ;;
        esac""",
    )


def run(mac: Mac) -> subprocess.CompletedProcess[str]:
    return mac.run("bin/upgrade-formulae", LABEL, *FORMULAE, env=HOSTILE)


def pinned(mac: Mac) -> list[str]:
    return sorted(path.name for path in (mac.prefix / "var/homebrew/pinned").iterdir())


@pytest.mark.parametrize("pins", [(), ("lima", "qemu")])
def test_what_is_pinned_stays_so_and_nothing_else_is_touched(mac: Mac, pins: tuple[str, ...]) -> None:
    prepare(mac, f"ls '{mac.prefix}/var/homebrew/pinned' 2>/dev/null; echo poured", *pins)
    done = run(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [*pins[:1], "poured"]
    assert not pins or pinned(mac) == sorted(pins)
    assert ["upgrade", "--formula", *FORMULAE] in mac.calls("brew")
    assert len(mac.calls("brew")) == (3 if pins else 1)
    env = mac.env("brew")
    assert env["HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK"] == "1"
    assert int(env["HOMEBREW_CLEANUP_PERIODIC_FULL_DAYS"]) > 3650
    assert all("alice" in call for call in mac.calls("sudo"))


def test_a_brew_that_fails(mac: Mac) -> None:
    prepare(mac, "echo 'Error: no network\033]0;' >&2; exit 3", "colima")
    done = run(mac)
    assert (done.returncode, done.stdout) == (1, "Error: no network?]0;\n")
    assert "exit status 3, for the reason above. The VM runs on as it is; run this again" in done.stderr
    assert pinned(mac) == ["colima"]


def test_a_pin_that_fails(mac: Mac) -> None:
    pins = f"'{mac.prefix}/var/homebrew/pinned'"
    prepare(mac, f"rmdir {pins}; ln -s nowhere {pins}", "qemu")
    done = run(mac)
    assert done.returncode == 1
    assert done.stderr == "Not pinned any more; as alice: brew pin qemu\n"


def test_pins_that_cannot_be_read_upgrade_nothing(mac: Mac) -> None:
    prepare(mac, ":", "qemu")
    mac.tool("/usr/bin/sudo", "exit 1")
    done = run(mac)
    assert (done.returncode, done.stderr) == (1, "what is pinned cannot be read; nothing was upgraded\n")


def test_one_that_is_cut_off(mac: Mac) -> None:
    prepare(mac, f"touch '{mac.root}/upgrading'; sleep 30", "colima")
    process = mac.popen("-c", mac.text("bin/upgrade-formulae"), "upgrade-formulae", LABEL, *FORMULAE)
    until((mac.root / "upgrading").exists)
    assert pinned(mac) == []
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "brew upgrade: exit status" in err
    assert pinned(mac) == ["colima"]
