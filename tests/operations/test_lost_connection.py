"""A connection that is lost when an operation begins fails its host: an exception there would stop all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.context import ctx_host, ctx_state

from operations import (
    colima,
    containers,
    docker,
    homebrew,
    launchd,
    power,
    prune,
    recovery,
    reset,
    rivals,
    strays,
    uninstall,
)
from operations.recovery import Service
from tests.fakes import FakeHost, fake_state, words
from tests.operations.test_launchd import LABEL, PLIST
from tests.operations.test_preflight import NO_INSTALLERS

LOG = "/var/log/colima.log"
PROFILE = {"user": "alice", "profile": "default", "label": LABEL}
SERVICE = Service("alice", "default", LABEL, LOG)
OPERATIONS: list[tuple[Any, dict[str, Any]]] = [
    (homebrew.formulae, {"user": "alice"}),
    (power.server, {}),
    (
        rivals.removed,
        {**PROFILE, "home": "/Users/alice", "clean": "true", "backup": "/Users/alice/backups", "asks": False},
    ),
    (strays.removed, PROFILE),
    (launchd.daemon, {"label": LABEL, "plist": PLIST}),
    (launchd.absent, {"label": LABEL}),
    (launchd.stopped, {"label": LABEL}),
    (launchd.started, {"label": LABEL}),
    (prune.pruned, {**PROFILE, "mode": "images"}),
    (containers.installed, {"installers": NO_INSTALLERS, "service": SERVICE}),
    (recovery.recovered, {"service": SERVICE}),
    (uninstall.untraced, {"user": "alice", "label": LABEL, "log_path": LOG}),
]
GO_ON: list[tuple[Any, dict[str, Any]]] = [
    (reset.resumed, {"place": reset.Place("alice", "default", LABEL, "/Users/alice/backups/x")}),
    (colima.instance, {**PROFILE, "log_path": LOG}),
    (docker.engine, {**PROFILE, "log_path": LOG}),
]


class Lost(dict[Any, Any]):
    """What paramiko raises for each fact that is asked over a connection that is no more."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: object) -> Any:
        def ask(**_: Any) -> None:
            raise EOFError

        return ask

    def get(self, key: object, default: object = None) -> Any:
        return self[key]


def begun(operation: Any, arguments: dict[str, Any]) -> tuple[list[str], FakeHost]:
    """The first words of the commands of an operation whose turn has come, and the host."""
    transport = SimpleNamespace(is_active=lambda: False)
    connector = SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))
    host: Any = FakeHost(Lost(), connector=connector)
    state = fake_state(executing=True)
    state.ops = {host: {}}
    try:
        with ctx_state.use(state), ctx_host.use(host):
            return [words(each)[0] for each in operation._inner(**arguments)], host
    finally:
        ctx_host.reset()
        ctx_state.reset()


@pytest.mark.parametrize(
    ("operation", "arguments"), OPERATIONS, ids=lambda each: getattr(each, "__name__", "")
)
def test_it_fails_its_host(operation: Any, arguments: dict[str, Any]) -> None:
    got, host = begun(operation, arguments)
    assert got == ["_fail"]
    assert "the SSH connection was lost" in host.logged


@pytest.mark.parametrize(("operation", "arguments"), GO_ON, ids=lambda each: getattr(each, "__name__", ""))
def test_what_goes_on_fails_in_its_command(operation: Any, arguments: dict[str, Any]) -> None:
    """pyinfra fails the host alone for what a command of it raises."""
    got, host = begun(operation, arguments)
    assert len(got) == 1
    assert "the SSH connection was lost" in host.logged
