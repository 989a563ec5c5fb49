"""What Homebrew has to bring is installed once, as its owner, and brew is not called again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.checkout import Checkout
from tests.e2e.looking import is_loaded, ping
from tests.mac.machine import Mac

MakeMac = Callable[..., Mac]
MakeCheckout = Callable[..., Checkout]


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
@pytest.mark.parametrize("how", ["ssh", "local"])
def test_missing_formulae_are_installed(
    make_mac: MakeMac, make_checkout: MakeCheckout, how: str, arch: str
) -> None:
    mac = make_mac(installed=(), arch=arch)
    checkout = make_checkout(mac)
    run = checkout.ssh if how == "ssh" else checkout.local
    assert "Install colima, docker, qemu with Homebrew" in run("--dry").output
    first = run("-y")
    assert first.status == 0, first.output
    assert ping(mac) == "200"
    installs = [line for line in mac.commands() if "brew install" in line]
    assert [line.split("brew install ")[1] for line in installs] == ["colima docker qemu"]
    called = len(mac.commands())
    assert run("-y", "--json").changed == []
    assert not any("brew " in line for line in mac.commands()[called:])


def test_only_what_is_missing(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac(installed=("colima", "docker"))
    run = make_checkout(mac).ssh("-y")
    assert run.status == 0, run.output
    assert [line.split("install ")[1] for line in mac.commands() if "brew install" in line] == ["qemu"]


def test_a_download_that_fails_stops_there(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac(installed=())
    mac.fault("brew-fails", "1")
    checkout = make_checkout(mac)
    run = checkout.ssh("-y")
    assert run.status == 1
    assert not is_loaded(mac)
    assert checkout.ssh("-y").status == 0
    assert ping(mac) == "200"
