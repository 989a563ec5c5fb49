"""Which installers run and why, and how a failure of one is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand
from pyinfra.context import ctx_host

from facts.docker import Container, DockerEngine, EngineState
from facts.launchd import Milestones, milestones_path
from operations import recovery
from operations.containers import (
    Choices,
    Due,
    Pulled,
    choice_faults,
    describe,
    images,
    install,
    installed,
    pending,
    pull,
    remove,
    smoke_note,
    start,
    unowned,
)
from operations.recovery import Service
from operations.util.installer import Image, Installer, Installers, parse
from tests.conftest import RunOperation
from tests.fakes import Answer, Clock, FakeHost, Series, fake_state, words

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
        # It was to end, and did well.
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
    found = {due.installer.container: due.why for due in pending(both, engine, notes)}
    assert set(found) == set(why)
    assert all(why[name] in found[name] for name in why)
    described = describe(both, engine, notes)
    assert all(f"{name} (" in str(described) for name in why)
    assert (described is None) is (not why)


EXITED = {"state": "exited", "exit_code": 137}
NEVER = {"state": "created", "exit_code": 128}


@pytest.mark.parametrize(
    ("each", "changes", "due"),
    [
        (DETACHED, EXITED, Due(DETACHED, "it is exited, exit code 137", starts=True)),
        (DETACHED, {"state": "exited"}, Due(DETACHED, "it is exited, exit code 0", starts=True)),
        (DETACHED, NEVER, Due(DETACHED, "it is created, and never ran", starts=True)),
        # Docker starts no such one.
        (DETACHED, {"state": "dead", "exit_code": 1}, Due(DETACHED, "it is dead, exit code 1")),
        # Docker's to restart, and somebody's to go on with.
        (DETACHED, {"state": "restarting", "exit_code": 1}, None),
        (DETACHED, {"state": "paused"}, None),
        (DETACHED, {"state": "removing"}, None),
        (DETACHED, {"spec": "old", **EXITED}, Due(DETACHED, "its text changed")),
        (WEB, {"state": "exited"}, None),
        (WEB, EXITED, Due(WEB, "it is exited, exit code 137")),
        (WEB, NEVER, Due(WEB, "it is created, and never ran")),
        (WEB, {"state": "dead"}, Due(WEB, "it is dead, exit code 0")),
        # A smoke test's is nobody's.
        (replace(HELLO, container="web"), EXITED, None),
    ],
)
def test_what_is_there_and_does_not_run(each: Installer, changes: dict[str, Any], due: Due | None) -> None:
    engine = holding(web=container(**{"spec": each.digest, **changes}))
    notes = {smoke_note("web"): each.digest}
    assert pending(installers(each), engine, notes) == ([] if due is None else [due])
    described = describe(installers(each), engine, notes)
    verb = "Start" if due is not None and due.starts else "Install"
    assert described == (f"{verb} web ({due.why})" if due is not None else None)


def test_what_is_asked_for_or_newer_is_made_anew_and_not_started() -> None:
    engine = holding(web=container(spec=DETACHED.digest, image="nginx", image_id="sha256:1", **EXITED))
    newer = {Image("nginx"): Pulled("sha256:1", "sha256:2")}
    (due,) = pending(installers(DETACHED), engine, {}, Choices(reinstall=True))
    assert not due.starts
    assert pending(installers(DETACHED), engine, {}, Choices(pull=True), newer) == [
        Due(DETACHED, "a newer image")
    ]
    # What cannot be pulled is still there to be started.
    failed = {Image("nginx"): Pulled("sha256:1", "sha256:1", "dial tcp: timeout")}
    (due,) = pending(installers(DETACHED), engine, {}, Choices(pull=True, reinstall=True), failed)
    assert due.starts


def test_unowned() -> None:
    engine = holding(web=container(), old=container(), theirs=container(spec=None))
    assert unowned(installers(WEB), engine) == {"old": container()}
    assert unowned(installers(WEB), None) == {}


# What one run is asked for

DB = replace(installer("docker run -d --name db --restart always postgres:17\n"), file="10-db")
THREE = installers(WEB, DB, HELLO)
UP = {"image": "nginx", "image_id": "sha256:1"}
CONVERGED = holding(
    web=container(**UP), db=container(spec=DB.digest, image="postgres:17", image_id="sha256:7")
)
PASSED = {smoke_note("hello"): HELLO.digest}
GONE = "Error response from daemon: manifest for mine:latest not found: manifest unknown: manifest unknown"


def reasons(
    choices: Choices, pulled: dict[str, Pulled] | None = None, engine: Any = CONVERGED
) -> dict[str, str]:
    outcomes = {Image(name): outcome for name, outcome in (pulled or {}).items()}
    return {due.installer.container: due.why for due in pending(THREE, engine, PASSED, choices, outcomes)}


def test_only() -> None:
    assert reasons(Choices(only=("db",)), engine=holding()) == {"db": "it is not there"}
    assert reasons(Choices(only=("10-db", "hello")), engine=holding()) == {"db": "it is not there"}
    assert reasons(Choices(only=("db",), reinstall=True)) == {"db": "asked for with reinstall=true"}


def test_a_containers_name_comes_before_a_files() -> None:
    both = installers(replace(WEB, file="a"), replace(DB, file="web"))
    assert both.named("web") == both.all[0]
    assert both.named("a") == both.all[0]
    assert both.named("db") == both.all[1]
    assert both.named("b") is None


def test_reinstall() -> None:
    asked = "asked for with reinstall=true"
    assert reasons(Choices(reinstall=True)) == {"web": asked, "db": asked, "hello": asked}
    assert reasons(Choices(reinstall=("10-db",))) == {"db": "asked for with reinstall=db"}
    # What has to run anyway says so.
    assert (
        reasons(Choices(reinstall=("web",)), engine=holding(web=container(spec="old")))["web"]
        == "its text changed"
    )


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (Choices(), []),
        (Choices(only=("web", "10-db"), reinstall=("db",)), []),
        (Choices(reinstall=True), []),
        (
            Choices(only=("wbe",)),
            ["ONLY: 'wbe'; no installer's name; there is web, db (containers/10-db), hello"],
        ),
        (Choices(reinstall=("x", "web", "y")), ["REINSTALL: 'x'", "REINSTALL: 'y'"]),
        (Choices(only=("web",), reinstall=("db",)), ["REINSTALL: 'db'; not among only=web"]),
        (Choices(only=("wbe",), reinstall=("web",)), ["ONLY: 'wbe'", "REINSTALL: 'web'; not among"]),
    ],
)
def test_choice_faults(choices: Choices, says: list[str]) -> None:
    found = choice_faults(choices, THREE)
    assert len(found) == len(says)
    assert all(fault.startswith(start) for fault, start in zip(found, says, strict=True))


def test_images() -> None:
    """What a container was made from, and for what is still to be made what its text says."""
    shell = installer('docker run --name shell "busybox:$TAG"\n')
    assert shell.image is None
    found = installers(WEB, replace(shell, file="a"), DB, HELLO, replace(WEB, container="twin", file="twin"))
    engine = holding(web=container(image="nginx:by-hand"), db=container(spec="old", image="postgres:16"))
    names = [image.name for image in images(found, engine, Choices())]
    assert names == ["nginx:by-hand", "postgres:17", "hello-world", "nginx"]
    assert images(found, None, Choices(only=("web", "shell"))) == [Image("nginx")]
    made = holding(shell=container(spec=shell.digest, image="busybox:1"))
    assert images(installers(shell), made, Choices()) == [Image("busybox:1")]


def test_a_platform_is_pulled_as_the_text_names_it() -> None:
    """Another one's image would be newer each time."""
    intel = installer("docker run --platform linux/amd64 --name web nginx\n")
    assert images(installers(intel), None, Choices()) == [Image("nginx", "linux/amd64")]
    made = holding(web=container(spec=intel.digest, image="nginx:1"))
    assert images(installers(intel), made, Choices()) == [Image("nginx:1", "linux/amd64")]
    assert installer('docker run --platform "$P" --name web nginx\n').image is None


@pytest.mark.parametrize(
    ("pulled", "expected"),
    [
        ({}, {}),
        ({"nginx": Pulled("sha256:1", "sha256:1")}, {}),
        ({"nginx": Pulled("sha256:1", "sha256:2")}, {"web": "a newer image"}),
        # Pulled before, by hand or by a deploy that was cut off: what counts is what the container runs.
        ({"nginx": Pulled("sha256:2", "sha256:2")}, {"web": "a newer image"}),
        ({"nginx": Pulled("sha256:2", "sha256:2", GONE)}, {}),
        ({"nginx": Pulled("sha256:2", None)}, {}),
        ({"hello-world": Pulled("sha256:3", "sha256:3")}, {}),
        ({"hello-world": Pulled("sha256:3", "sha256:4")}, {"hello": "a newer image"}),
    ],
)
def test_a_newer_image(pulled: dict[str, Pulled], expected: dict[str, str]) -> None:
    assert reasons(Choices(pull=True), pulled) == expected


def test_what_could_not_be_pulled_is_not_made_anew() -> None:
    choices = Choices(reinstall=("web", "db"), pull=True)
    pulled = {
        "nginx": Pulled("sha256:1", "sha256:1", "dial tcp: timeout"),
        "postgres:17": Pulled("x", "x", GONE),
    }
    assert reasons(choices, pulled) == {"db": "asked for with reinstall=db"}
    # What is not there is made from what is here, if that can be.
    assert reasons(Choices(pull=True), pulled, holding())["web"] == "it is not there"


def test_described() -> None:
    engine = holding(**(CONVERGED.containers or {}), old=container(), older=container(state="exited"))
    described = describe(THREE, engine, PASSED, Choices(remove_unowned=True, reinstall=("web",)))
    assert described == (
        "Remove old (no installer describes it), older (no installer describes it); "
        "install web (asked for with reinstall=web)"
    )
    described = describe(THREE, engine, PASSED, Choices(pull=True))
    assert described == ("Pull 3 images and install what has a newer one, which is known only then")
    assert "Pull an image and" in str(describe(THREE, engine, PASSED, Choices(pull=True, only=("web",))))
    assert describe(THREE, engine, PASSED, Choices(only=("web",))) is None
    assert describe(THREE, CONVERGED, PASSED, Choices(remove_unowned=True)) is None


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
    # Reported, not removed.
    assert "container old was made by an installer that is no longer in containers/" in host.said
    assert "It is running; --data remove_unowned=true removes it" in host.said
    assert "runs old, web" in host.said


def functions(got: list[Any]) -> list[str]:
    return [each.function.__name__ for each in got]


def test_what_has_no_installer_goes_first(commands: RunOperation) -> None:
    """It may hold a port that another one wants."""
    facts = {DockerEngine: holding(old=container(), by_hand=container(spec=None)), Milestones: {}}
    got, _ = commands(
        installed, facts, installers=installers(WEB), choices=Choices(remove_unowned=True), **ARGUMENTS
    )
    assert functions(got) == ["remove", "install", "_report"]
    assert isinstance(got[0], FunctionCommand)
    assert got[0].args[:2] == ("old", "running")


def test_only_mentions_nothing_else(commands: RunOperation) -> None:
    facts = {DockerEngine: replace(CONVERGED, containers={"old": container()}), Milestones: {}}
    got, host = commands(installed, facts, installers=THREE, choices=Choices(only=("db",)), **ARGUMENTS)
    assert [each.args[0].installer.container for each in got[:-1] if isinstance(each, FunctionCommand)] == [
        "db"
    ]
    assert "old" not in host.said


def test_a_removal() -> None:
    host: Any = FakeHost()
    assert remove(fake_state(), host, "old", "exited", SERVICE)
    assert host.told == [["remove-container", "alice", "default", "old"]]
    assert "Remove old, which is exited" in host.said
    host = FakeHost(answer=lambda words: (False, ["no installer has made it: it stays"]))
    assert not remove(fake_state(), host, "old", "exited", SERVICE)
    assert "it stays" in host.logged[-1]


PullAll = Callable[..., tuple[list[str], Any]]


@pytest.fixture
def pull_all(commands: RunOperation, monkeypatch: pytest.MonkeyPatch) -> PullAll:
    """Generate the operation with pull=true, Docker answering each pull-image as given by its image."""

    def generate(
        answers: dict[str, Answer], engine: Any = CONVERGED, **choices: Any
    ) -> tuple[list[str], Any]:
        def answer(_host: Any, command: Any, **_: Any) -> tuple[bool, Any]:
            ok, lines = answers[words(command)[-2]]
            return ok, [SimpleNamespace(line=line) for line in lines]

        monkeypatch.setattr(FakeHost, "run_shell_command", answer)
        facts = {DockerEngine: engine, Milestones: PASSED}
        got, host = commands(
            installed, facts, installers=THREE, choices=Choices(pull=True, **choices), **ARGUMENTS
        )
        return functions(got), host

    return generate


def pulled(before: str, after: str, *said: str) -> Answer:
    return not said, [f"before=sha256:{before}", *said, f"after=sha256:{after}"]


SAME = {"nginx": pulled("1", "1"), "postgres:17": pulled("7", "7"), "hello-world": pulled("3", "3")}


def test_nothing_is_newer(pull_all: PullAll) -> None:
    got, host = pull_all(SAME)
    assert got == []
    assert len(host.noops) == 1
    assert host.said.count("up to date") == 3


def test_what_is_newer_is_installed(pull_all: PullAll) -> None:
    got, host = pull_all(SAME | {"nginx": pulled("1", "2")})
    assert got == ["install", "_report"]
    assert "Install web: a newer image" in host.said


def test_an_image_of_no_registry_is_left_alone(pull_all: PullAll) -> None:
    got, host = pull_all(SAME | {"nginx": pulled("1", "1", GONE)})
    assert got == []
    assert "nginx is in no registry, as far as Docker can see (" in host.said


def test_an_image_that_cannot_be_pulled_fails_at_the_end(pull_all: PullAll) -> None:
    no_host = "Error response from daemon: Get x: dial tcp: lookup ghcr.io: no such host"
    got, _ = pull_all(SAME | {"nginx": pulled("1", "1", no_host), "postgres:17": pulled("7", "8")})
    assert got == ["install", "_report", "_fail"]
    got, _ = pull_all(SAME | {"nginx": pulled("1", "1", no_host)})
    assert got == ["_fail"]


def test_a_connection_that_ends_is_a_pull_that_failed(
    pull_all: PullAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised in the generator it would end the run of every host."""

    def drop(*_: Any, **__: Any) -> Any:
        raise EOFError

    monkeypatch.setattr("operations.containers.run", drop)
    got, _ = pull_all(SAME)
    assert got == ["_fail"]


def test_no_image_is_pulled_for_a_preview(commands: RunOperation) -> None:
    facts = {DockerEngine: CONVERGED, Milestones: PASSED}
    got, host = commands(
        installed, facts, executing=False, installers=THREE, choices=Choices(pull=True), **ARGUMENTS
    )
    assert functions(got[:1]) == ["pull"], "there may be a change"
    assert host.told == []


def test_pull() -> None:
    left = [(False, ["before=", "Error: EOF", "after="]), (True, ["before=", "after=sha256:1"])]
    host: Any = FakeHost(answer=lambda words: left.pop(0))
    found = pull(fake_state(), host, [Image("nginx"), Image("a@sha256:1"), Image("sha256:2")], SERVICE, 3)
    assert found == {Image("nginx"): Pulled(None, "sha256:1")}
    assert host.told == [["pull-image", "alice", "default", "3600", "nginx", ""]] * 2
    assert "a@sha256:1 is named by its digest" in host.said
    host = FakeHost(answer=lambda words: (False, ["before=", "Error: EOF", "after="]))
    found = pull(fake_state(), host, [Image("nginx")], SERVICE, 3)
    assert len(host.told) == 3
    assert found[Image("nginx")].failed


@pytest.mark.parametrize(
    ("said", "nowhere"),
    [
        (GONE, True),
        (
            "Error response from daemon: pull access denied for mine, repository does not exist or",
            True,
        ),
        (
            'failed to resolve reference "docker.io/a/mine:latest": docker.io/a/mine:latest: not found',
            True,
        ),
        ("invalid reference format", True),
        (
            'error getting credentials - err: exec: "docker-credential-x": file not found in $PATH',
            False,
        ),
        ("Error response from daemon: Get x: unauthorized: authentication required", False),
        ("toomanyrequests: You have reached your pull rate limit", False),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", False),
        ("docker pull did not end within 3600 s", False),
    ],
)
def test_which_failure_is_which(said: str, nowhere: bool) -> None:
    outcome = Pulled(None, None, said)
    assert (outcome.nowhere, outcome.failed) == (nowhere, not nowhere)


def test_in_name_order(commands: RunOperation) -> None:
    got, _ = commands(
        installed,
        {DockerEngine: ENGINE, Milestones: {}},
        installers=installers(HELLO, WEB, TOKEN="hunter2"),
        **ARGUMENTS,
        tries=7,
    )
    *installs, report = [each for each in got if isinstance(each, FunctionCommand)]
    assert [each.args[0].installer.container for each in installs] == ["hello", "web"]
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


def test_installed_and_started_in_their_order(commands: RunOperation) -> None:
    """One may need another."""
    other = replace(installer("docker run -d --name db postgres\n"), file="10-db")
    facts = {DockerEngine: holding(web=container(spec=DETACHED.digest, **EXITED)), Milestones: {}}
    three = installers(other, DETACHED, replace(WEB, container="last"))
    got, host = commands(installed, facts, installers=three, tries=7, **ARGUMENTS)
    assert functions(got) == ["install", "start", "install", "_report"]
    assert "Start web: it is exited, exit code 137" in host.said
    assert isinstance(got[1], FunctionCommand)
    assert got[1].args == (Due(DETACHED, "it is exited, exit code 137", starts=True), SERVICE, 7)
    assert describe(three, facts[DockerEngine], {}) == (  # type: ignore[arg-type]
        "Install db (it is not there), last (it is not there); start web (it is exited, exit code 137)"
    )


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
        try:
            with ctx_host.use(host):
                done = install(fake_state(), host, Due(each, "changed"), given, SERVICE, tries, debug)
        finally:
            ctx_host.reset()
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
    notes = milestones_path(LABEL)
    forget, _, note = host.told
    assert forget == ["/bin/rm", "-f", f"{notes}/smoke.hello"], "should it fail, an older success is void"
    assert note == ["note", notes, "smoke.hello", HELLO.digest]


def test_a_smoke_test_that_fails_is_not(run_install: Install) -> None:
    done, host = run_install(HELLO, (False, NO_SUCH_IMAGE))
    assert not done
    assert [each[0] for each in host.told] == ["/bin/rm", "run-installer", "diagnose"]


def test_debug_shows_the_cleaned_text(run_install: Install) -> None:
    _, host = run_install(installer("$ docker run \\\n  --name web nginx\n"), debug=True)
    assert "docker run --name web nginx" in " ".join(host.said.split())
    _, host = run_install(WEB)
    assert "docker run" not in host.said


# One start


@pytest.fixture
def run_start(clock: Clock) -> Install:
    def run(*answers: Answer, engine: Any = None, tries: int = 3) -> tuple[bool, Any]:
        left = list(answers)

        def answer(told: list[str]) -> Answer:
            return left.pop(0) if told[0] == "start-container" and left else (True, [])

        host: Any = FakeHost({DockerEngine: engine or holding(web=container())}, answer)
        try:
            with ctx_host.use(host):
                due = Due(DETACHED, "it is exited, exit code 137", starts=True)
                return start(fake_state(), host, due, SERVICE, tries), host
        finally:
            ctx_host.reset()

    return run


TAKEN = ["Error response from daemon: .. port is already allocated", "Error: failed to start containers: web"]


def test_start(run_start: Install, clock: Clock) -> None:
    done, host = run_start()
    assert done
    assert host.told == [["start-container", "alice", "default", "web"]]
    assert host.ran[0].live
    assert clock.now >= 1003, "it is seen to stay up"


def test_a_start_that_fails(run_start: Install) -> None:
    done, host = run_start((False, TAKEN))
    assert not done
    assert [each[0] for each in host.told] == ["start-container", "container-log", "diagnose"]
    assert "web could not be started, tried once" in host.logged[-1]
    assert "--data reinstall=web makes it anew" in host.logged[-1]


def test_a_start_after_a_transient_error(run_start: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    recovered: list[Service] = []

    def recover(_state: Any, _host: Any, service: Service) -> bool:
        recovered.append(service)
        return True

    monkeypatch.setattr(recovery, "recover", recover)
    done, host = run_start((False, EOF))
    assert done
    assert recovered == [SERVICE]
    assert [each[0] for each in host.told] == ["start-container"] * 2
    assert not run_start(*[(False, EOF)] * 9, tries=2)[0]


def test_a_container_that_ends_right_after_its_start(run_start: Install) -> None:
    done, host = run_start(engine=holding(web=container(state="exited", exit_code=3)))
    assert not done
    assert [each[0] for each in host.told] == ["start-container", "container-log", "diagnose"]
    assert "web is exited (exit code 3) right after its start" in host.logged[-1]
