"""The operations' names: what would change and why, for a person who reads `--dry`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pyinfra.context import ctx_host, ctx_state

from facts.docker import DockerEngine, EngineState
from facts.launchd import Definition, Definitions, LaunchdJob, Milestones
from operations import forecast
from operations.docker import VERIFIED
from operations.forecast import Names
from operations.preflight import Target
from operations.util.installer import Installers
from tests.fakes import FakeHost
from tests.operations.test_launchd import ABSENT, PLIST, RUNNING, job_of, plist
from tests.operations.test_preflight import ALICE, GOOD, MINI, NEW, PROFILE

READY = EngineState("/s", True, None, "28.4.0", {})


def names(facts: dict[Any, Any], *, reads: bool = True, target: Target | None = None) -> Names:
    host: Any = FakeHost({Definitions: []} | facts)
    target = target or Target(GOOD, MINI, ALICE, PROFILE)
    try:
        with ctx_state.use(SimpleNamespace(should_check_for_changes=lambda: reads)), ctx_host.use(host):
            return forecast.names(target, PLIST, Installers((), (), ()))
    finally:
        ctx_host.reset()
        ctx_state.reset()


def test_nobody_reads_it() -> None:
    """With -y no fact is asked: each is a command on the Mac."""
    assert names({}, reads=False) == Names()


def test_fresh() -> None:
    found = names(
        {LaunchdJob: ABSENT, DockerEngine: None, Milestones: {}}, target=Target(GOOD, MINI, ALICE, NEW)
    )
    assert "Install qemu" in found.dependencies
    assert "at boot" in found.supervision
    assert "first start" in found.provisioning


def test_resize() -> None:
    old = job_of(plist(colima_memory=4))
    found = names({LaunchdJob: old, DockerEngine: READY, Milestones: {VERIFIED: "5"}})
    assert "memory 4 -> 2 GiB" in found.supervision
    assert "5 good answers" in found.gates  # what was verified before the restart does not count


def test_converged() -> None:
    found = names({LaunchdJob: RUNNING, DockerEngine: READY, Milestones: {VERIFIED: "5"}})
    assert found.gates == "Ask Docker once"
    assert "loaded and runs" in found.supervision


def test_a_rival() -> None:
    homebrews = Definition(
        "file",
        "gui/502",
        "/Users/alice/Library/LaunchAgents/x.plist",
        "x",
        ("/opt/homebrew/bin/colima", "start"),
    )
    facts = {LaunchdJob: RUNNING, DockerEngine: READY, Milestones: {}}
    assert "Remove" in names(facts | {Definitions: [homebrews]}).hygiene
    assert "Remove" not in names(facts).hygiene
    assert "Remove" not in names(facts | {Definitions: None}).hygiene


def test_unreadable_launchd() -> None:
    assert names({LaunchdJob: None, DockerEngine: READY, Milestones: None}).supervision
