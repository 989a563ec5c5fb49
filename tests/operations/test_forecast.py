"""The operations' names: what would change and why, for a person who reads `--dry`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.context import ctx_host, ctx_state

from facts.backup import ProfileContents
from facts.colima import RUNNING as RUNNING_VM
from facts.colima import ColimaProfile, Strays, StraysState
from facts.docker import Container, DockerEngine, EngineState
from facts.launchd import Definition, Definitions, JobState, LaunchdJob, Milestones
from facts.mac import Homebrew
from facts.power import Power, PowerState
from operations import forecast
from operations.docker import VERIFIED
from operations.forecast import Names, Words
from operations.preflight import Target
from operations.prune import DUE
from operations.util import ahead, terminal
from operations.util.installer import Installers
from operations.util.remote import Question
from tests.fakes import FakeHost, fake_state
from tests.operations.test_homebrew import ALL
from tests.operations.test_launchd import ABSENT, PLIST, RUNNING, TICKED, job_of, plist
from tests.operations.test_preflight import ALICE, GOOD, MINI, NEW, PROFILE, settings

READY = EngineState("/s", True, None, "28.4.0", {})
PRUNES = Target(settings(prune_mode="images"), MINI, ALICE, PROFILE)
ASKS = Target(settings(prune_mode="aggressive"), MINI, ALICE, PROFILE)


def names(
    facts: dict[Any, Any],
    *,
    reads: bool = True,
    target: Target | None = None,
    host: Any = None,
    hosts: int = 1,
) -> Names:
    host = host or FakeHost({Definitions: [], Strays: StraysState(supervised=True)} | facts)
    target = target or Target(GOOD, MINI, ALICE, PROFILE)
    try:
        with ctx_state.use(fake_state(executing=False, reads=reads, hosts=hosts)), ctx_host.use(host):
            return forecast.names(target, PLIST, Installers((), (), ()))
    finally:
        ctx_host.reset()
        ctx_state.reset()


def test_nobody_reads_it() -> None:
    """With -y no fact is asked: each is a command on the Mac."""
    assert names({}, reads=False) == Names()


@pytest.mark.parametrize("reads", [True, False])
def test_what_operations_ask_first_is_asked_ahead_where_nobody_has_to_agree(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    monkeypatch.setattr(
        ahead, "ask", lambda *groups: asked.extend(each for group in groups for each in group)
    )
    with ctx_state.use(fake_state(executing=False, reads=reads)):
        forecast.ask_ahead(Target(GOOD, MINI, ALICE, PROFILE))
    ctx_state.reset()
    facts = [fact for fact, _ in asked]
    assert facts == (
        []
        if reads
        else [ColimaProfile, Milestones, Homebrew, Definitions, Strays, LaunchdJob, LaunchdJob, DockerEngine]
    )


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
    target = Target(
        GOOD,
        replace(MINI, homebrew=replace(MINI.homebrew, tools=ALL)),
        ALICE,
        replace(PROFILE, status=RUNNING_VM),
    )
    facts = {DockerEngine: READY, Milestones: {VERIFIED: "5"}}
    found = names(facts | {LaunchdJob: both(RUNNING, TICKED)}, target=target)
    assert found == Names()


def both(colima: JobState | None, pulse: JobState | None) -> Any:
    """launchd's answers about the two jobs."""
    return lambda label, runs="launch": {"launch": colima, "pulse": pulse}[runs]


def test_the_pulse() -> None:
    facts: dict[Any, Any] = {DockerEngine: READY, Milestones: {VERIFIED: "5"}}
    assert "Start the pulse" in names(facts | {LaunchdJob: both(RUNNING, ABSENT)}).pulse
    assert names(facts | {LaunchdJob: both(RUNNING, None)}).pulse == Names().pulse
    without = Target(settings(pulse=False), MINI, ALICE, PROFILE)
    assert "Remove the pulse" in names(facts | {LaunchdJob: both(RUNNING, TICKED)}, target=without).pulse
    assert names(facts | {LaunchdJob: both(RUNNING, ABSENT)}, target=without).pulse == Names().pulse


def test_power() -> None:
    """Nobody asks pmset where deploys are to leave it alone."""
    facts: dict[Any, Any] = {DockerEngine: READY, Milestones: {VERIFIED: "5"}, LaunchdJob: RUNNING}
    serves = Target(settings(power="server"), MINI, ALICE, PROFILE)
    asleep = PowerState({"AC Power": {"sleep": 1, "autorestart": 1}})
    assert names(facts | {Power: asleep}, target=serves).power == "Keep the Mac awake: sleep 1 -> 0"
    assert names(facts | {Power: None}, target=serves).power == Names().power
    assert names(facts).power == Names().power


def test_what_is_asked_of_the_containers() -> None:
    old = Container("running", 0, "", "always", "spec")
    facts = {
        LaunchdJob: RUNNING,
        DockerEngine: replace(READY, containers={"old": old}),
        Milestones: {VERIFIED: "5"},
    }
    asked = Target(settings(remove_unowned=True), MINI, ALICE, PROFILE)
    assert names(facts, target=asked).containers == "Remove old (no installer describes it)"
    assert names(facts).containers == Names().containers


def test_a_prune() -> None:
    """Due after a start, and once more when the deploy that made it was cut off; not by being wanted."""
    facts = {LaunchdJob: RUNNING, DockerEngine: READY}
    assert "images" not in names(facts | {Milestones: {VERIFIED: "5"}}, target=PRUNES).prune
    assert "images" in names(facts | {Milestones: {DUE: ""}}, target=PRUNES).prune
    assert "images" in names(facts | {Milestones: {}, LaunchdJob: ABSENT}, target=PRUNES).prune


def test_many_hosts_share_a_name_and_each_says_its_own() -> None:
    """pyinfra's tables show one host's name for all."""
    facts = {Definitions: [], LaunchdJob: ABSENT, DockerEngine: READY, Milestones: {VERIFIED: "5"}}
    host: Any = FakeHost(facts | {Strays: None})
    assert names({}, host=host, hosts=2) == Names()
    assert "at boot" in host.said


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
    found = names({LaunchdJob: None, DockerEngine: READY, Milestones: None})
    assert found.supervision == Names().supervision


@pytest.mark.parametrize(
    ("target", "job", "notes", "refused"),
    [
        (ASKS, RUNNING, {}, False),  # nothing is started, so nothing is pruned
        (ASKS, RUNNING, {DUE: ""}, True),
        (ASKS, ABSENT, {}, True),
        (ASKS, None, None, True),
        (replace(ASKS, settings=settings(prune_mode="aggressive", restart=True)), RUNNING, {}, True),
        (replace(ASKS, settings=settings(prune_mode="aggressive", force_yes=True)), ABSENT, {}, False),
        (PRUNES, ABSENT, {DUE: ""}, False),
    ],
)
def test_a_prune_that_nobody_can_be_asked_about(
    monkeypatch: pytest.MonkeyPatch, target: Target, job: Any, notes: Any, refused: bool
) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: False)
    for reads in (False, True):
        try:
            with (
                ctx_state.use(fake_state(executing=False, reads=reads)),
                ctx_host.use(FakeHost({LaunchdJob: job, Milestones: notes})),
            ):
                why = forecast.refusal(target, PLIST)
        finally:
            ctx_host.reset()
            ctx_state.reset()
        assert (why is not None) is (refused and not reads)


def test_what_runs_without_launchd() -> None:
    facts: dict[Any, Any] = {LaunchdJob: ABSENT, DockerEngine: None, Milestones: {}}
    running = facts | {Strays: StraysState(False, ((4711, "/opt/homebrew/bin/colima start"),))}
    assert "colima start (pid 4711)" in names(running).strays
    assert names(facts).strays == Names().strays
    # A reset stops it anyway.
    reset = Target(settings(full_reset=True), MINI, ALICE, PROFILE)
    contents = {ProfileContents: None}
    assert names(running | contents, target=reset).strays == Names().strays


def test_an_operation_in_words() -> None:
    """A host's own, whether pyinfra has the name that hosts share or, of one host, the forecast."""
    names({LaunchdJob: job_of(plist(colima_memory=4)), DockerEngine: READY, Milestones: {VERIFIED: "5"}})
    own = "Restart Colima: memory 4 -> 2 GiB"
    for name in (Names().supervision, own, f"deploy.py | {own}", f"deploy.py | {Names().supervision}"):
        assert Words("mini", name).change == own
        assert Words("mini", name).state == "Colima supervised by launchd"
    assert Words("studio", Names().supervision).change == Names().supervision
    assert Words("mini", "Recover: restart the VM").state == "Recover: restart the VM"


def test_a_host_that_has_failed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its facts are what pyinfra goes on with: nothing that anybody knows."""
    left: list[str] = []
    monkeypatch.setattr(forecast, "leave_if_failed", lambda: left.append("asked"))
    names({LaunchdJob: ABSENT, DockerEngine: None, Milestones: None})
    assert left == ["asked"]
