"""Which containers are made, started and removed, why, and by which lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from facts.docker import Container, DockerEngine, EngineState, Pulled, PulledImage
from facts.launchd import Milestones
from operations.containers import images, installed, pending, unowned
from operations.util.installer import Image, Installer, Installers, parse
from operations.util.registries import Logins
from tests.conftest import RunOperation
from tests.fakes import FakeHost, words

LABEL = "homebrew.mrcee.colima-pulse"
LOGINS = '{"auths": {"ghcr.io": {"auth": "YWxpY2U6czNjcmV0"}}}'
SILENT = EngineState("/s", "curl: (52) Empty reply from server")


def installer(text: str, file: str = "web") -> Installer:
    made, faults = parse(file, text.encode())
    assert not faults
    assert made is not None
    return made


WEB = installer("docker run --name web nginx\n")
DETACHED = installer("docker run -d --restart always --name web nginx\n")
DB = installer("docker run -d --name db --restart always postgres:17\n", "10-db")
HELLO = installer("docker run --rm --name hello hello-world\n", "hello")


def container(
    spec: str | None = WEB.digest, state: str = "running", code: int = 0, **changes: Any
) -> Container:
    return replace(Container(state, code, "always", spec), **changes)


def detached(state: str = "running", code: int = 0, **changes: Any) -> Container:
    return container(DETACHED.digest, state, code, **changes)


def holding(**containers: Container) -> EngineState:
    return EngineState("/s", None, "28.4.0", containers)


def installers(*each: Installer, **secrets: str) -> Installers:
    return Installers(each, (), (), secrets, Logins(LOGINS))


def due(each: Installer, *arguments: Any, **named: Any) -> tuple[str, str] | None:
    """Why something is due for an installer, and how."""
    found = pending(installers(each), *arguments, **named)
    return (found[0].why, found[0].how) if found else None


@pytest.mark.parametrize(
    ("each", "there", "expected"),
    [
        (DETACHED, detached(), None),
        (DETACHED, None, ("it is not there", "make")),
        (DETACHED, container("old", "exited", 1), ("its text changed", "make")),
        (DETACHED, container(None), ("it was not made from this file", "make")),
        (DETACHED, detached("exited"), ("it is exited, exit code 0", "start")),
        (DETACHED, detached("created", 128), ("it is created, and never ran", "start")),
        # Docker starts no such one.
        (DETACHED, detached("dead", 1), ("it is dead, exit code 1", "make")),
        # Docker's to restart, and somebody's to go on with.
        (DETACHED, detached("restarting", 1), None),
        (DETACHED, detached("paused"), None),
        # It was to end, and did well.
        (WEB, container(state="exited"), None),
        (WEB, container(state="exited", code=137), ("it is exited, exit code 137", "make")),
    ],
)
def test_what_is_there(each: Installer, there: Container | None, expected: tuple[str, str] | None) -> None:
    assert due(each, holding(**({"web": there} if there else {})), {}) == expected


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({"smoke.hello": HELLO.digest}, None),
        ({"smoke.hello": "old"}, ("its text changed", "make")),
        (None, ("Docker was started", "make")),
    ],
)
def test_a_smoke_test(notes: dict[str, str] | None, expected: tuple[str, str] | None) -> None:
    # What has its name is nobody's.
    assert due(HELLO, holding(hello=container(HELLO.digest, "exited", 1)), notes) == expected
    pulled = {Image("hello-world"): Pulled("sha256:3", "sha256:4")}
    newer = due(HELLO, holding(), notes, pulled=pulled)
    assert newer == (expected or ("a newer image", "anew"))


SAME, NEWER = Pulled("sha256:1", "sha256:1"), Pulled("sha256:1", "sha256:2")
NOWHERE = Pulled("x", "x", "Error response from daemon: manifest for a:b not found: manifest unknown: x")
TIMEOUT = Pulled("x", "x", "dial tcp: timeout")


@pytest.mark.parametrize(
    ("reinstall", "outcome", "state", "expected"),
    [
        (False, SAME, "running", None),
        (False, NEWER, "exited", ("a newer image", "anew")),
        # Pulled before, by hand or by a deploy that was cut off: what counts is what the container runs.
        (False, Pulled("sha256:2", "sha256:2"), "running", ("a newer image", "anew")),
        (False, Pulled("sha256:2", None), "running", None),
        (True, None, "exited", ("asked for with reinstall=true", "anew")),
        (("web",), SAME, "running", ("asked for with reinstall=web", "anew")),
        (("db",), SAME, "running", None),
        # What could not be pulled is not made anew, and can still be started.
        (True, TIMEOUT, "running", None),
        (True, TIMEOUT, "exited", ("it is exited, exit code 0", "start")),
        (True, NOWHERE, "running", ("asked for with reinstall=true", "anew")),
    ],
)
def test_what_one_run_is_asked_for(
    reinstall: Any, outcome: Pulled | None, state: str, expected: tuple[str, str] | None
) -> None:
    web = detached(state, image="nginx", image_id="sha256:1")
    pulled = {Image("nginx"): outcome} if outcome else {}
    found = pending(
        installers(DETACHED, DB), holding(web=web, db=container(DB.digest)), {}, (), reinstall, pulled
    )
    assert next(((each.why, each.how) for each in found if each.installer == DETACHED), None) == expected


def test_images() -> None:
    """What a container was made from, and for what is still to be made what its text says."""
    shell = installer('docker run --name shell "busybox:$TAG"\n')
    intel = installer("docker run --platform linux/amd64 --name intel nginx\n")
    found = installers(WEB, shell, DB, HELLO, replace(HELLO, file="twin"), intel)
    engine = holding(web=container(image="nginx:by-hand"), db=container("old", image="postgres:16"))
    of_intel = Image("nginx", "linux/amd64")
    assert images(found, engine) == [
        *map(Image, ("nginx:by-hand", "postgres:17", "hello-world")),
        of_intel,
    ]
    assert images(found, None, ("web", "intel")) == [Image("nginx"), of_intel]
    made = holding(shell=container(shell.digest, image="busybox:1"))
    assert images(installers(shell), made) == [Image("busybox:1")]


# The operation


def run(
    commands: RunOperation,
    engine: Any,
    *each: Installer,
    notes: Any = (("smoke.hello", HELLO.digest),),
    pulled: Any = None,
    **arguments: Any,
) -> tuple[list[list[str]], FakeHost, list[Any]]:
    facts = {DockerEngine: engine, Milestones: notes and dict(notes), PulledImage: pulled}
    given = installers(*each, TOKEN="hunter2")
    got, host = commands(installed, facts, installers=given, label=LABEL, user="alice", **arguments)
    return [words(command) for command in got], host, got


def test_nothing_to_do(commands: RunOperation) -> None:
    engine = holding(web=container(), old=container(), theirs=container(None))
    got, host, _ = run(commands, engine, WEB, HELLO)
    assert (got, len(host.noops)) == ([], 1)
    # Reported, not removed.
    assert "container old was made by an installer that is no longer in containers/" in host.said
    assert "Docker 28.4.0 runs old, theirs, web" in host.said
    assert unowned(installers(WEB), None) == {}


def test_each_in_its_order(commands: RunOperation) -> None:
    engine = holding(web=detached("exited", 1), old=container(), theirs=container(None))
    last = installer("docker run --name last -e TOKEN nginx\n", "z")
    options = {"remove_unowned": True, "reinstall": ("last",), "tries": 7, "debug": True}
    got, host, raw = run(commands, engine, DB, DETACHED, HELLO, last, notes={"": ""}, **options)
    assert got == [
        # It may hold a port that another one wants.
        ["remove-container", LABEL, "old"],
        ["install-container", LABEL, "db", "7", DB.digest, "detached"],
        ["start-container", LABEL, "web", "7"],
        ["install-container", LABEL, "hello", "7", HELLO.digest, "smoke"],
        ["install-container", LABEL, "last", "7", last.digest, "attached"],
    ]
    for said in (
        "Remove old, which is running",
        "Install db: it is not there",
        "Start web: it is exited, exit code 1",
        "10-db, cleaned:\n  docker run -d",
    ):
        assert said in host.said
    command = f"docker run --label colima-pulse.spec={last.digest} --name last -e TOKEN nginx\n"
    assert raw[-1].connector_arguments["_stdin"] == f"{LOGINS}\nexport TOKEN=hunter2\n{command}# end\n"
    shown = repr(raw) + repr(installers(DB, TOKEN="hunter2")) + str(got) + host.said
    assert "hunter2" not in shown
    assert "YWxp" not in shown


def test_what_is_asked_for_and_nothing_else(commands: RunOperation) -> None:
    got, host, _ = run(
        commands, holding(web=container(), old=container()), WEB, DB, only=("web",), reinstall=True
    )
    assert got == [["install-container", LABEL, "web", "3", WEB.digest, "attached", "anew"]]
    assert "old was" not in host.said


@pytest.mark.parametrize(
    ("engine", "notes"),
    [(None, {}), (SILENT, {}), (replace(holding(), containers=None), {}), (holding(), None)],
)
def test_unknown_is_not_absent(commands: RunOperation, engine: Any, notes: Any) -> None:
    got, *_ = run(commands, engine, WEB, HELLO, notes=notes)
    assert [each[0] for each in got] == ["refuse"]


def test_a_preview_needs_no_docker_and_pulls_nothing(commands: RunOperation) -> None:
    got, *_ = run(commands, SILENT, WEB, executing=False)
    assert got[0][0] == "install-container"
    pulled = {PulledImage: AssertionError}
    engine = holding(web=container(image="nginx"))
    got, host, _ = run(commands, engine, WEB, HELLO, pulled=pulled, executing=False, pull=True)
    assert len(got) == 1, "there may be a change"
    assert "Pull 2 images and install what has a newer one, which is known only then" in host.said


UP_TO_DATE = Pulled("sha256:3", "sha256:3")


@pytest.mark.parametrize(
    ("nginx", "hello", "does", "says"),
    [
        (SAME, UP_TO_DATE, [], "nginx: up to date"),
        (NEWER, NOWHERE, ["anew"], "hello-world is in no registry, as far as Docker can see ("),
        (NEWER, None, ["anew", "hello-world: no answer"], "postgres@sha256:7 is named by its digest"),
    ],
)
def test_a_pull(commands: RunOperation, nginx: Any, hello: Any, does: list[str], says: str) -> None:
    def pulled(image: str, platform: str, _stdin: Any, **where: Any) -> Pulled | None:
        assert (where, platform) == ({"user": "alice", "profile": "default", "tries": 3}, "")
        assert _stdin.read() == f"{LOGINS}\n"
        # pyinfra logs it.
        assert "YWxp" not in str(_stdin)
        found: Pulled | None = {"nginx": nginx, "hello-world": hello}[image]
        return found

    web = container(image="nginx", image_id="sha256:1")
    engine = holding(web=web, db=container(DB.digest, image="postgres@sha256:7"))
    got, host, _ = run(commands, engine, WEB, DB, HELLO, pulled=pulled, pull=True)
    assert ([each[-1] for each in got], len(host.noops)) == (does, not does)
    assert says in host.said
