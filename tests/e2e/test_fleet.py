"""Several Macs in one inventory: one that fails stops no other, and each says what it would change."""

from __future__ import annotations

from collections.abc import Callable

from tests.checkout import Checkout
from tests.e2e.looking import is_loaded, ping
from tests.mac.machine import Mac


def test_one_of_many_fails(make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]) -> None:
    good, bad = make_mac(), make_mac()
    checkout = make_checkout(good, bad)
    bad.fault("start-fails", "always")

    run = checkout.ssh("-y")

    assert run.status == 1
    assert ping(good) == "200"
    assert not is_loaded(bad)
    assert f"[{bad.name}] Colima did not start" in run.output
    assert f"[{good.name}] Docker 20.10" in run.output

    dry = checkout.ssh("--dry").output
    assert f"[{bad.name}] Start Colima at boot and now" in dry
    assert f"[{good.name}] Start Colima" not in dry
    bad.heal("start-fails")
    assert checkout.ssh("-y").status == 0
    assert ping(bad) == "200"
    assert checkout.ssh("-y", "--json").changed == []
