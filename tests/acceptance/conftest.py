"""The Mac of --host, or a stand-in over SSH; and steps that come in order, up to the first that fails."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.life import LABEL, PROFILE, Life
from tests.checkout import WAITS
from tests.host import owners, reach

WARNING = """
This is for a Mac that may be changed. On {host} it will

  - install Homebrew's colima, docker and qemu, where they are missing, and what they depend on,
    which Homebrew may upgrade; they stay
  - replace the commands in /Library/ColimaPulse by this checkout's, for every label there is
  - make, stop, kill, reset and remove a Colima profile of its own: {profile}, with the label
    {label}, port 48080 and a backup directory

It leaves alone every other profile, and the power settings. It takes a quarter of an hour on
a Mac with a hypervisor, and an hour or two on one without. The steps:

{steps}

To go on: make acceptance HOST={host} YES=--yes-really
"""

LEFT = """\
The Mac is left as it is, to be looked at. What acceptance has made there goes with
    make acceptance HOST={host} YES=--yes-really PYTEST_ARGS='-k leftovers'
"""

_ended = pytest.StashKey[str]()


def _warning(request: pytest.FixtureRequest, name: str) -> str:
    steps = [item.obj.__doc__ for item in request.session.items if isinstance(item, pytest.Function)]
    return WARNING.format(
        host=name,
        profile=PROFILE,
        label=LABEL,
        steps="\n".join(f"  {number:2}. {step}" for number, step in enumerate(steps, 1)),
    )


@pytest.fixture(scope="module")
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """The Mac, with nothing touched yet."""
    name: str | None = request.config.getoption("--host")
    if name and not request.config.getoption("--yes-really"):
        pytest.exit(_warning(request, name), returncode=pytest.ExitCode.USAGE_ERROR)
    with reach(name, tmp_path_factory.mktemp("acceptance")) as host:
        yield Life(host, owners() if name else {**WAITS, "PULSE_INTERVAL": "2"})


def pytest_runtest_setup(item: pytest.Item) -> None:
    if ended := item.session.stash.get(_ended, ""):
        pytest.fail(f"not run: {ended} failed before", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _ended not in item.session.stash:
        item.session.stash[_ended] = item.name
        if isinstance(life := item.funcargs.get("life"), Life):
            kept: Path = item.config.getoption("--keep") or life.host.directory / "kept"
            try:
                said = life.keep(kept)
            except (OSError, subprocess.SubprocessError) as error:
                said = f"{error}"
            report.sections.append((f"Status afterwards; logs and a diagnosis are in {kept}", said))
            if item.config.getoption("--host"):
                report.sections.append(("What to do", LEFT.format(host=life.host.name)))
    return report
