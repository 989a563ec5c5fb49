"""A host is checked as a whole: everything that is wrong is said at once, and nothing was touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import DeployError
from pyinfra.api.host import HostData
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from deploys import preflight
from deploys.preflight import Target, check, settings_of_host
from facts.backup import Backups
from facts.colima import ColimaProfile, Log, LogState
from facts.docker import DockerConfig, DockerConfigState
from facts.homebrew import Formula, Formulae, FormulaeState, Homebrew, HomebrewState
from facts.mac import Mac, NoUser, User
from operations.util import internals, terminal
from operations.util.installer import Installers, parse
from tests.conftest import RunOperation
from tests.deploys.test_faults import ALICE, BREW, MINI, PROFILE, UNIT
from tests.deploys.test_faults import settings as parsed
from tests.fakes import FakeHost, fake_state, words

FACTS: dict[str, Any] = {
    "mac": Mac,
    "user": User,
    "profile": ColimaProfile,
    "log": Log,
    "docker_config": DockerConfig,
    "backups": Backups,
    "homebrew": Homebrew,
    "formulae": Formulae,
}
DATA: dict[str, Any] = {"homebrew_user": "alice"}
NO_INSTALLERS = Installers((), (), ())


def host_with(**facts: Any) -> Any:
    good = {
        Mac: MINI,
        User: ALICE,
        ColimaProfile: PROFILE,
        Log: LogState(0),
        DockerConfig: DockerConfigState(),
        Formulae: None,
    }
    # What is asked for the operations says nothing of what is checked.
    others = {fact: None for fact, _ in preflight.asked_first(parsed())}
    return FakeHost(others | good | {FACTS[name]: value for name, value in facts.items()})


@contextmanager
def loading(
    host: Any, data: dict[str, Any], asked: dict[str, Any] | None = None, **state: Any
) -> Iterator[None]:
    """pyinfra's context while a deploy is loaded: the host's data, of which --data has `asked`, or all."""
    host.data = HostData(host, data)
    inventory = SimpleNamespace(get_override_data=lambda: data if asked is None else asked)
    try:
        with (
            ctx_host.use(host),
            ctx_state.use(fake_state(executing=False, **state)),
            ctx_inventory.use(inventory),
        ):
            yield
    finally:
        ctx_host.reset()
        ctx_state.reset()
        ctx_inventory.reset()


def on(
    host: Any, data: dict[str, Any], installers: Installers = NO_INSTALLERS, **state: Any
) -> Target | None:
    """Check a host; all data is from --data."""
    with loading(host, data, **state):
        return check(installers)


def refused(data: dict[str, Any], installers: Installers = NO_INSTALLERS, **facts: Any) -> str:
    with pytest.raises(DeployError) as error:
        on(host_with(**facts), data, installers)
    assert "mini: nothing was touched" in str(error.value)
    return str(error.value)


def test_a_good_host() -> None:
    target = on(host_with(), DATA | {"colima_cpus": "4"})
    assert target is not None
    assert target.settings == parsed(colima_cpus=4)
    assert (target.mac, target.user, target.profile) == (MINI, ALICE, PROFILE)
    assert target.warnings == []


def test_what_keeps_the_users_docker_from_registries_is_no_fault() -> None:
    for config, says in (
        (DockerConfigState("desktop"), "docker asks desktop for all"),
        (None, "cannot be read"),
    ):
        for reads in (False, True):
            target = on(host_with(docker_config=config), DATA, reads=reads)
            assert target is not None
            assert [says in each for each in target.warnings] == [True]


def test_all_faults_in_one_message() -> None:
    """The settings' own, the installers', and what the Mac, the user, the log and the profile say."""
    web, _ = parse("00-web", b"docker run --name web nginx\n")
    assert web is not None
    said = refused(
        DATA | {"colima_cpus": "0", "colima_memory": "x", "label": "a b", "colima_disk": 10, "only": "wbe"},
        Installers((web,), ("containers/b:1: there is no command in it",), ()),
        mac=replace(MINI, macos="12.0"),
        user=replace(ALICE, home_present=False),
        log=LogState(0, "/a is bob's"),
        profile=replace(PROFILE, vm_type="vz"),
    )
    for each in (
        "COLIMA_CPUS",
        "COLIMA_MEMORY",
        "LABEL",
        "COLIMA_DISK",
        "12.0",
        "/Users/alice",
        "vz",
        "bob's",
    ):
        assert each in said
    assert "containers/b:1" in said
    assert "ONLY: 'wbe'; no installer's name; there is web (containers/00-web)" in said
    assert said.count("\n  - ") == 10


def test_among_several_hosts_one_is_its_own_failed_operation(
    monkeypatch: pytest.MonkeyPatch, commands: RunOperation
) -> None:
    asked: list[Any] = []
    untouched = preflight.untouched
    monkeypatch.setattr(preflight, "untouched", lambda **arguments: asked.append(arguments))
    host = host_with(profile=replace(PROFILE, vm_type="vz"))
    host.name = "refused"
    assert on(host, DATA, hosts=2) is None
    assert asked[0]["name"] == "Preflight"
    assert "vz" in asked[0]["faults"][0]
    assert internals.refusal(host) == tuple(asked[0]["faults"])
    got, _ = commands(untouched, {}, faults=["a", "b"])
    assert [words(each) for each in got] == [["refuse", "nothing was touched.", "  - a", "  - b"]]


def test_a_reset_that_nobody_can_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: False)
    reset = DATA | {"full_reset": True}
    said = refused(reset | {"colima_cpus": "0"})
    assert "force_yes=true" in said
    assert "COLIMA_CPUS" in said
    # What is only previewed is not refused.
    for target in (on(host_with(), reset, reads=True), on(host_with(), reset | {"force_yes": True})):
        assert target is not None
        assert (target.replaced, target.first_start) == (True, True)


def test_a_prune_that_nobody_can_be_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: False)
    prune = DATA | {"prune_mode": "aggressive", "restart": True}
    assert "PRUNE_MODE: 'aggressive'" in refused(prune)
    assert on(host_with(), prune, reads=True) is not None


def test_danger_in_an_inventory_is_passed_over() -> None:
    host = host_with()
    with loading(host, DATA | {"full_reset": True}, DATA):
        target = check(NO_INSTALLERS)
    assert target is not None
    assert not target.settings.full_reset
    assert "full_reset" in host.said


def test_the_settings_of_a_deploy_file_that_makes_nothing_anew() -> None:
    host, asked, wrong = host_with(), {"lines": 7}, {"lines": "many", "follow": "x"}
    with loading(host, DATA | asked | {"delete_vm": True}, asked):
        found = settings_of_host()
    refuses = pytest.raises(DeployError, match=r"(?s)mini: nothing was touched.*LINES.*FOLLOW")
    with loading(host, DATA | wrong), refuses:
        settings_of_host()
    assert found is not None
    assert (found.lines, found.delete_vm) == (7, False)
    assert "delete_vm in an inventory is ignored" in host.said


def test_what_a_restore_checks() -> None:
    facts: dict[str, Any] = {
        "profile": replace(PROFILE, vm_type="vz"),
        "backups": lambda **asked: [UNIT] if asked["backup"] == "/Users/alice/b" else None,
    }
    target = on(host_with(**facts), DATA | {"restore": "default-1", "backup_dir_base": "b"})
    assert target is not None
    assert (target.replaced, target.first_start) == (True, False)
    assert target.place.unit.startswith("/Users/alice/b/default-2")
    assert "default-1" in refused(DATA | {"restore": "default-2", "backup_dir_base": "b"}, **facts)


@pytest.mark.parametrize("data", [{}, {"homebrew_user": ""}])
def test_without_a_user_it_is_who_owns_homebrew(data: dict[str, Any]) -> None:
    host = host_with(homebrew=BREW)
    target = on(host, data)
    assert target is not None
    assert target.settings.homebrew_user == "alice"
    assert host.said == "HOMEBREW_USER is not set: alice, who owns Homebrew"


INTEL = replace(BREW, brew="/usr/local/bin/brew")


@pytest.mark.parametrize(
    "brew", [None, replace(BREW, owner=None), replace(BREW, owner="root"), replace(BREW, brew=None), INTEL]
)
def test_where_that_has_no_single_answer_a_name_is_wanted(brew: HomebrewState | None) -> None:
    assert "HOMEBREW_USER: not set; name the user who owns Homebrew" in refused({}, homebrew=brew)


@pytest.mark.parametrize(
    ("data", "facts", "says", "not_says"),
    [
        ({"colima_cpus": "0"}, {"mac": replace(MINI, kernel="Linux")}, ["Linux", "COLIMA_CPUS"], "Lima"),
        (DATA | {"colima_cpus": "0"}, {"mac": None}, ["what this Mac is", "COLIMA_CPUS"], "Lima"),
        ({"homebrew_user": "root"}, {}, ["'root'"], "profile"),
        # What Lima says does not count without a user, and a name that is refused never reaches a command.
        (DATA, {"user": NoUser(), "profile": None}, ["'alice'"], "Lima"),
        ({"homebrew_user": "$(id)"}, {"user": lambda user: pytest.fail("asked")}, ["$(id)"], "Lima"),
    ],
)
def test_where_it_ends(data: dict[str, Any], facts: dict[str, Any], says: list[str], not_says: str) -> None:
    said = refused(data, **facts)
    assert all(each in said for each in says)
    assert not_says not in said


@pytest.mark.parametrize(("restart", "says"), [(False, True), (True, False)])
def test_what_runs_is_older_than_what_is_installed(restart: bool, says: bool) -> None:
    """It is said where this run restarts nothing."""
    installed = {"qemu": Formula("10.2.0", 900, pinned=True)}
    state = FormulaeState(installed, now=1000, age=200, up=300)
    target = on(host_with(formulae=state), DATA | {"restart": restart})
    assert target is not None
    words = "Colima was started before qemu 10.2.0 was installed; to restart it: --data restart=true"
    assert target.warnings == [words] * says


def test_only_lima_is_asked_with_sudo() -> None:
    """All are asked at once, and only one of them may ask for sudo's password."""
    asked = {}

    def ask(fact: str, value: object) -> Any:
        return lambda **arguments: asked.update({fact: arguments.get("_sudo")}) or value

    on(host_with(mac=ask("mac", MINI), user=ask("user", ALICE), profile=ask("profile", PROFILE)), DATA)
    assert asked == {"mac": False, "user": False, "profile": None}
