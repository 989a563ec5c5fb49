"""A first start that fails ends with the reason and leaves nothing; its cause removed, a deploy goes well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.checkout import PYINFRA, Checkout
from tests.e2e.looking import PLIST, is_loaded, ours, ping, vm_events, wait_for
from tests.mac.machine import Mac


def lose_qemu(mac: Mac) -> Callable[[], None]:
    """QEMU's emulator is gone from the prefix, its qemu-img is not: only the start itself can tell."""
    emulator = mac.path("/opt/homebrew/bin/qemu-system-aarch64")
    content, mode = emulator.read_bytes(), emulator.stat().st_mode
    owner = emulator.stat()
    emulator.unlink()

    def restore() -> None:
        path = mac.path("/opt/homebrew/bin/qemu-system-aarch64")
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, owner.st_uid, owner.st_gid)

    return restore


def strike(name: str, value: str = "always") -> Callable[[Mac], Callable[[], None]]:
    def fault(mac: Mac) -> Callable[[], None]:
        mac.fault(name, value)
        return lambda: mac.heal(name)

    return fault


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        pytest.param(lose_qemu, "qemu", id="qemu is missing"),
        pytest.param(strike("start-fails"), "colima start ended", id="colima start fails"),
        pytest.param(strike("image-download-fails"), "image download", id="the image cannot be had"),
        pytest.param(
            strike("docker-start-fails", "99"), "Colima did not start", id="docker in the guest fails"
        ),
        pytest.param(strike("start-hangs"), "not up after 6 s", id="colima start hangs"),
        pytest.param(strike("docker-hangs"), "not up after 6 s", id="docker never answers"),
        pytest.param(strike("vz-anyway"), "the VM came up on vz", id="the VM is VZ's"),
    ],
)
def test_it_is_undone(
    mac: Mac, checkout: Checkout, cause: Callable[[Mac], Callable[[], None]], reason: str
) -> None:
    remove_cause = cause(mac)
    quick = ["--data", "wait_provision_max=6"] if "6 s" in reason else []

    failed = checkout.ssh("-y", *quick)

    assert failed.status == 1, failed.output
    assert "Colima did not start" in failed.output
    assert reason in failed.output
    assert not is_loaded(mac)
    assert not mac.path(PLIST).exists()
    assert [each.command for each in ours(mac)] == []

    remove_cause()
    healed = checkout.ssh("-y")
    assert healed.status == 0, healed.output
    assert ping(mac) == "200"
    assert checkout.ssh("-y", "--json").changed == []


def test_an_interrupted_first_deploy_is_taken_up(mac: Mac, checkout: Checkout) -> None:
    mac.fault("start-slow", "8")
    checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploy.py", "-y"]
    deploy = subprocess.Popen(
        command,
        cwd=checkout.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: is_loaded(mac))
    deploy.kill()
    deploy.wait()
    assert "done" not in mac.path("/var/log/colima.log").read_text()
    again = checkout.ssh("-y")
    assert again.status == 0, again.output
    assert ping(mac) == "200"
    assert vm_events(mac).count("start") == 1
