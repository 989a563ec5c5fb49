"""Stand-in Macs to deploy to: fresh ones, and some on which a first deploy has gone well."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
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
    """A function that makes a checkout to deploy from: make_checkout(mac, env={}, installers={})."""

    def make(*macs: Mac, **options: Any) -> Checkout:
        return Checkout(tmp_path_factory.mktemp("checkout") / "colima-pulse", macs, **options)

    return make


@pytest.fixture(scope="module")
def make_deployed(make_mac: MakeMac, make_checkout: MakeCheckout) -> Callable[..., Deployed]:
    """A function that deploys to a fresh Mac: make_deployed(how="ssh"|"local", env={}, **options of Mac)."""

    def make(how: str = "ssh", env: dict[str, str] | None = None, **options: Any) -> Deployed:
        mac = make_mac(**options)
        checkout = make_checkout(mac, env=env, installers=INSTALLERS)
        run = checkout.ssh if how == "ssh" else checkout.local
        return Deployed(mac, checkout, run, run("-y"))

    return make


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What a module's `deployed` has in its `.env`."""
    return {}


@pytest.fixture(scope="module")
def deployed(make_deployed: Callable[..., Deployed], settings: dict[str, str]) -> Deployed:
    """A Mac on which a first deploy over SSH has gone well; the module's tests share it."""
    made: Deployed = make_deployed("ssh", env=settings)
    assert made.first.status == 0, made.first.output
    return made
