"""The Mac of --host, or a stand-in over SSH; and steps that come in order, up to the first that fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.life import LABEL, PROFILE, Life, owners
from tests.checkout import QUICK, copy_repository
from tests.e2e.conftest import make_mac  # noqa: F401
from tests.host import Host
from tests.mac.machine import missing

WARNING = """
This is for a Mac that may be changed. On {host} it will

  - install Homebrew's colima, docker and qemu, where they are missing; they stay
  - replace the commands in /Library/ColimaPulse by this checkout's, for every label there is
  - make, stop, kill, reset and remove a Colima profile of its own: {profile}, with the label
    {label}, port 48080 and a backup directory

It leaves alone every other profile, and the power settings. It takes some ten minutes on a Mac
that has a hypervisor, and hours on one that has none. The steps:

{steps}

To go on: make acceptance HOST={host} YES=--yes-really
"""

LEFT = """\
Status, logs and a diagnosis are in {kept}
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
    directory = tmp_path_factory.mktemp("life")
    copy_repository(directory / "repository")
    name: str | None = request.config.getoption("--host")
    if name:
        if not request.config.getoption("--yes-really"):
            pytest.exit(_warning(request, name), returncode=pytest.ExitCode.USAGE_ERROR)
        yield Life(Host(name, directory / "repository"), owners())
        return
    if lacking := missing():
        pytest.skip("the stand-in Mac cannot boot here: " + "; ".join(lacking))
    mac = request.getfixturevalue("make_mac")(installed=())
    (directory / ".ssh").mkdir()
    # One connection for all that ssh runs.
    shared = f"  ControlMaster auto\n  ControlPath {directory}/shared\n  ControlPersist 60\n"
    (directory / ".ssh" / "config").write_text(mac.ssh_config("*.lan") + shared)
    quick = {key: value for key, value in QUICK.items() if key != "HOMEBREW_USER"} | {"PULSE_INTERVAL": "2"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(directory))
        yield Life(Host("@ssh/macmini.lan", directory / "repository"), quick)


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
            report.sections.append(("Status afterwards", life.keep(kept)))
            report.sections.append(("What to do", LEFT.format(kept=kept, host=life.host.name)))
    return report
