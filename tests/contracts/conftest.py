"""The Mac that these tests are about: `--host`, or a bare stand-in that is reached over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_repository
from tests.contracts.daemon import LABEL, Keep
from tests.host import SSH, Host
from tests.mac.machine import Mac, missing

# Nothing of what the Mac's owner has deployed is looked at, and a slow Mac's settings count.
OURS = {"LABEL": LABEL, "COLIMA_PROFILE": "contract", "LOG_PATH": f"/var/log/{LABEL}.colima.log"}


@pytest.fixture(scope="package")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("contracts")
    checkout = directory / "colima-pulse"
    copy_repository(checkout)
    own = ROOT / ".env"
    lines = [own.read_text()] if own.exists() else []
    lines += [f"{key}={value}" for key, value in OURS.items()]
    (checkout / ".env").write_text("\n".join(lines) + "\n")
    if name := request.config.getoption("host"):
        yield Host(name, checkout)
        return
    if lacking := missing():
        pytest.skip("the stand-in Mac cannot boot here: " + "; ".join(lacking))
    mac = Mac("macmini", directory / "macmini", installed=())
    (directory / ".ssh").mkdir()
    # One connection for all that ssh runs.
    shared = f"  ControlMaster auto\n  ControlPath {directory}/shared\n  ControlPersist 60\n"
    (directory / ".ssh" / "config").write_text(mac.ssh_config() + shared)
    mac.boot()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(directory))
            yield Host(f"{SSH}{mac.name}", checkout)
    finally:
        mac.destroy()


@pytest.fixture(scope="package")
def keep(request: pytest.FixtureRequest, host: Host) -> Keep:
    directory: Path | None = request.config.getoption("keep")
    if directory is None:
        return Keep(None)
    version, arch = host.run("/usr/bin/sw_vers -productVersion; /usr/bin/uname -m").stdout.split()
    return Keep(directory.resolve(), version, arch)
