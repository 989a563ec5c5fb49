"""Stand-in Macs to deploy to: fresh ones, and some on which a first deploy has gone well."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.e2e.looking import Deployed
from tests.mac.machine import Mac, missing

HELLO = "docker run --name colima-pulse-demo --rm hello-world\n"
WEB = "docker run --name web -d --restart always -p 8080:80 -v pages:/usr/share/nginx/html nginx\n"

INSTALLERS = {"hello-world": HELLO, "web": WEB}

# For how many seconds a detached container has to stay up, which is no setting.
EDITS = {"files/lib/containers": {"-gt 3 ]": "-gt 0 ]"}}

MakeMac = Callable[..., Mac]
MakeCheckout = Callable[..., Checkout]


@pytest.fixture(scope="session", autouse=True)
def can_boot() -> None:
    if lacking := missing():
        pytest.skip("the stand-in Mac cannot boot here: " + "; ".join(lacking))


@pytest.fixture(scope="module")
def make_mac() -> Iterator[MakeMac]:
    """A function that boots a Mac, which goes with the module: make_mac(**options of Mac)."""
    with ExitStack() as after:
        # On a real file system: the Docker Engines keep their layers there.
        directory = Path(tempfile.mkdtemp(prefix="colima-pulse-test.", dir="/var/tmp"))
        after.callback(shutil.rmtree, directory, ignore_errors=True)

        def make(**options: Any) -> Mac:
            name = f"mac{len(list(directory.iterdir()))}"
            mac = Mac(name, directory / name, **options)
            after.callback(mac.destroy)
            mac.boot()
            return mac

        yield make


@pytest.fixture(scope="module")
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckout:
    """A function that makes a checkout to deploy from: make_checkout(mac, and options of Checkout)."""

    def make(*macs: Mac, edits: Mapping[str, Mapping[str, str]] | None = None, **options: Any) -> Checkout:
        directory = tmp_path_factory.mktemp("checkout") / "colima-pulse"
        return Checkout(directory, macs, edits={**EDITS, **(edits or {})}, **options)

    return make


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What a module's `deployed` has in its `.env`."""
    return {}


@pytest.fixture(scope="module")
def deployed(make_mac: MakeMac, make_checkout: MakeCheckout, settings: dict[str, str]) -> Deployed:
    """A Mac on which a first deploy over SSH has gone well; the module's tests share it."""
    mac = make_mac()
    checkout = make_checkout(mac, env=settings, installers=INSTALLERS)
    first = checkout.ssh("-y")
    assert first.status == 0, first.output
    return Deployed(mac, checkout, checkout.ssh, first)
