"""The Mac that these tests are about: `--host`, or a bare stand-in that is reached over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.daemon import LABEL, Keep
from tests.host import Host, owners, reach

# Nothing of what the Mac's owner has deployed is looked at, and a slow Mac's settings count.
OURS = {"LABEL": LABEL, "COLIMA_PROFILE": "contract", "LOG_PATH": f"/var/log/{LABEL}.colima.log"}


@pytest.fixture(scope="package")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    lines = [f"{key}={value}" for key, value in (owners() | OURS).items()]
    with reach(request.config.getoption("host"), tmp_path_factory.mktemp("contracts")) as host:
        (host.directory / ".env").write_text("\n".join(lines) + "\n")
        yield host


@pytest.fixture(scope="package")
def keep(request: pytest.FixtureRequest, host: Host) -> Keep:
    directory: Path | None = request.config.getoption("keep")
    if directory is None:
        return Keep(None)
    version, arch = host.run("/usr/bin/sw_vers -productVersion; /usr/bin/uname -m").stdout.split()
    return Keep(directory.resolve(), version, arch)
