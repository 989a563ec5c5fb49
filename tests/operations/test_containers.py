"""Which installers run and why, and how a failure of one is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand

from facts.docker import Container, DockerEngine, EngineState
from facts.launchd import Milestones, milestones_path
from operations import recovery
from operations.containers import describe, install, installed, pending, smoke_note, unowned
from operations.recovery import Service
from operations.util.installer import Installer, Installers, parse
from tests.conftest import RunOperation
from tests.fakes import Answer, Clock, FakeHost, Series, fake_state

LABEL = "homebrew.mrcee.colima-pulse"
ENGINE = EngineState("/s", True, None, "28.4.0", {})
SILENT = EngineState("/s", True, "curl: (52) Empty reply from server")
EOF = ["Unable to find image 'nginx:latest' locally", "docker: Error response from daemon: Get x: EOF."]
NO_SUCH_IMAGE = ["docker: Error response from daemon: pull access denied for nope."]


def installer(text: str) -> Installer:
    made, faults = parse("web", text.encode())
    assert not faults
    assert made is not None
    return made


WEB = installer("docker run --name web nginx\n")
DETACHED = installer("docker run -d --restart always --name web nginx\n")
HELLO = replace(installer("docker run --rm --name hello hello-world\n"), file="hello")


def container(**changes: Any) -> Container:
    made = Container(
        state="running",
        exit_code=0,
        started_at="2026-11-21T23:45:45Z",
        restart_policy="always",
        spec=WEB.digest,
    )
    return replace(made, **changes)


def holding(**containers: Container) -> EngineState:
    return replace(ENGINE, containers=containers)


def installers(*each: Installer, **secrets: str) -> Installers:
    return Installers(each, (), (), secrets)


@pytest.mark.parametrize(
    ("engine", "notes", "why"),
    [
        (holding(web=container()), {smoke_note("hello"): HELLO.digest}, {}),
        # What stopped is Docker's to restart, by its policy.
        (holding(web=container(state="exited")), {smoke_note("hello"): HELLO.digest}, {}),
        (holding(), {smoke_note("hello"): HELLO.digest}, {"web": "not there"}),
        (holding(web=container(spec="old")), {smoke_note("hello"): HELLO.digest}, {"web": "changed"}),
        (holding(web=container(spec=None)), {smoke_note("hello"): HELLO.digest}, {"web": "not made from"}),
        (holding(web=container()), {smoke_note("hello"): "old"}, {"hello": "changed"}),
        (holding(web=container()), {}, {"hello": "started"}),
        (holding(web=container()), None, {"hello": "started"}),
        (None, None, {"web": "not there", "hello": "started"}),
    ],
)
def test_pending(engine: EngineState | None, notes: dict[str, str] | None, why: dict[str, str]) -> None:
    both = installers(WEB, HELLO)
    found = {each.container: reason for each, reason in pending(both, engine, notes)}
    assert set(found) == set(why)
    assert all(why[name] in found[name] for name in why)
    described = describe(both, engine, notes)
    assert all(f"{name} (" in str(described) for name in why)
    assert (described is None) is (not why)


def test_unowned() -> None:
    engine = holding(web=container(), old=container(), theirs=container(spec=None))
    assert unowned(installers(WEB), engine) == ["old"]
    assert unowned(installers(WEB), None) == []


# The operation

SERVICE = Service("alice", "default", LABEL, "/var/log/colima.log")
ARGUMENTS: dict[str, Any] = {"service": SERVICE}


def test_nothing_to_do(commands: RunOperation) -> None:
    got, host = commands(
        installed,
        {DockerEngine: holding(web=container(), old=container()), Milestones: {}},
        installers=installers(WEB),
        **ARGUMENTS,
    )
    assert got == []
    assert len(host.noops) == 1
    assert "old" in host.said  # reported, not removed
    assert "runs old, web" in host.said


def test_in_name_order(commands: RunOperation) -> None:
    got, _ = commands(
        installed,
        {DockerEngine: ENGINE, Milestones: {}},
        installers=installers(HELLO, WEB, TOKEN="hunter2"),
        **ARGUMENTS,
        tries=7,
    )
    *installs, report = [each for each in got if isinstance(each, FunctionCommand)]
    assert [each.args[0].container for each in installs] == ["hello", "web"]
    assert report.function is not install
    assert "hunter2" not in repr(got)


@pytest.mark.parametrize(
    ("engine", "notes"), [(None, {}), (SILENT, {}), (replace(ENGINE, containers=None), {}), (ENGINE, None)]
)
def test_unknown_is_not_absent(
    commands: RunOperation, engine: EngineState | None, notes: dict[str, str] | None
) -> None:
    facts = {DockerEngine: engine, Milestones: notes}
    got, _ = commands(installed, facts, installers=installers(WEB, HELLO), **ARGUMENTS)
    assert len(got) == 1
    assert isinstance(got[0], FunctionCommand)
    assert got[0].function is not install
    host: Any = FakeHost()
    assert got[0].execute(fake_state(), host, {}) is False


def test_the_forecast_needs_no_docker(commands: RunOperation) -> None:
    facts = {DockerEngine: SILENT, Milestones: {}}
    got, _ = commands(installed, facts, executing=False, installers=installers(WEB), **ARGUMENTS)
    assert isinstance(got[0], FunctionCommand)
    assert got[0].function is install


# One installer

Install = Callable[..., tuple[bool, Any]]


@pytest.fixture
def run_install(clock: Clock) -> Install:
    def run(
        each: Installer,
        *answers: Answer,
        engine: Any = None,
        tries: int = 3,
        debug: bool = False,
        secrets: dict[str, str] | None = None,
    ) -> tuple[bool, Any]:
        left = list(answers)

        def answer(told: list[str]) -> Answer:
            return left.pop(0) if told[0] == "run-installer" and left else (True, [])

        host: Any = FakeHost({DockerEngine: engine or holding(web=container())}, answer)
        given = installers(each, **(secrets or {}))
        done = install(fake_state(), host, each, given, SERVICE, tries, debug)
        return done, host

    return run


def test_install(run_install: Install) -> None:
    done, host = run_install(WEB)
    assert done
    (ran,) = host.ran
    assert ran.words[:4] == ["run-installer", "alice", "default", "web"]
    assert ran.live
    # The text is on no command line.
    assert ran.stdin == f"docker run --label colima-pulse.spec={WEB.digest} --name web nginx\n"


def test_secrets_travel_by_standard_input(run_install: Install) -> None:
    each = installer("docker run --name web -e TOKEN nginx\n")
    _, host = run_install(each, (False, NO_SUCH_IMAGE), secrets={"TOKEN": "hunter2"}, debug=True)
    assert "hunter2" in host.ran[0].stdin
    assert "hunter2" not in str(host.told)
    assert "hunter2" not in host.said


def test_a_transient_error_is_tried_again(run_install: Install) -> None:
    done, host = run_install(WEB, (False, EOF), (False, EOF))
    assert done
    assert [each[0] for each in host.told if each[0] not in ("note", "hold")] == ["run-installer"] * 3
    assert "2 of 3" in host.said


def test_tries_are_bounded(run_install: Install) -> None:
    done, host = run_install(WEB, *[(False, EOF)] * 9, tries=3)
    assert not done
    assert [each[0] for each in host.told if each[0] not in ("note", "hold")] == ["run-installer"] * 3 + [
        "diagnose"
    ]
    assert "containers/web failed" in host.logged[-1]
    assert "containers/web" in host.said
    assert "3 times" in host.said


def test_a_final_error_stops_at_once(run_install: Install) -> None:
    done, host = run_install(WEB, (False, NO_SUCH_IMAGE))
    assert not done
    assert [each[0] for each in host.told] == ["run-installer", "diagnose"]
    assert "diagnostics/" in host.logged[-2]
    assert "containers/web" in host.said
    assert "once" in host.said


@pytest.mark.parametrize("recovers", [True, False])
def test_docker_recovers_before_another_try(
    run_install: Install, monkeypatch: pytest.MonkeyPatch, recovers: bool
) -> None:
    asked: list[Service] = []

    def recover(_state: Any, _host: Any, service: Service) -> bool:
        asked.append(service)
        return recovers

    monkeypatch.setattr(recovery, "recover", recover)
    done, host = run_install(WEB, (False, EOF), (False, EOF))
    assert done is recovers
    assert asked == [SERVICE] * (2 if recovers else 1)
    assert [each[0] for each in host.told] == ["run-installer"] * (3 if recovers else 1)
    if not recovers:  # it has collected diagnostics, and said why
        assert "containers/web failed" in host.logged[-1]


def test_a_detached_container_that_stays(run_install: Install, clock: Clock) -> None:
    done, host = run_install(DETACHED)
    assert done
    assert clock.now >= 1003
    assert [each[0] for each in host.told] == ["run-installer"]


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (holding(web=container(state="exited", exit_code=137)), "137"),
        (holding(web=container(state="restarting", exit_code=1)), "restarting"),
        (holding(), "gone"),
        (Series(holding(web=container()), holding(web=container(state="exited", exit_code=2))), "2"),
    ],
)
def test_a_detached_container_that_ends_at_once(run_install: Install, engine: Any, says: str) -> None:
    done, host = run_install(DETACHED, engine=engine)
    assert not done
    assert says in host.said
    assert "web" in host.said
    assert [each[:4] for each in host.told][1] == ["container-log", "alice", "default", "web"]
    assert host.ran[1].live
    assert host.told[2][0] == "diagnose"
    assert says in host.logged[-1]


@pytest.mark.parametrize("unheard", [None, SILENT, replace(ENGINE, containers=None)])
def test_a_look_that_failed_is_no_end(run_install: Install, unheard: EngineState | None) -> None:
    done, _ = run_install(
        DETACHED, engine=Series(holding(web=container()), unheard, holding(web=container()))
    )
    assert done


def test_a_smoke_test_is_noted(run_install: Install) -> None:
    done, host = run_install(HELLO)
    assert done
    assert host.told[1] == ["note", milestones_path(LABEL), "smoke.hello", HELLO.digest]


def test_a_smoke_test_that_fails_is_not(run_install: Install) -> None:
    done, host = run_install(HELLO, (False, NO_SUCH_IMAGE))
    assert not done
    assert [each[0] for each in host.told] == ["run-installer", "diagnose"]


def test_debug_shows_the_cleaned_text(run_install: Install) -> None:
    _, host = run_install(installer("$ docker run \\\n  --name web nginx\n"), debug=True)
    assert "docker run --name web nginx" in " ".join(host.said.split())
    _, host = run_install(WEB)
    assert "docker run" not in host.said
