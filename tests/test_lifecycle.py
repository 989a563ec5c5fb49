"""Which operations the deploy files that change a Mac call, and in which order."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config
from pyinfra.context import ctx_config

import operations
from deploys import installation, summary
from tests.deploys.test_faults import PROFILE, UNIT, settings
from tests.deploys.test_installation import WHOLE
from tests.deploys.test_preflight import host_with, loading

ROOT = Path(__file__).parent.parent
TOOLKIT = "Install Colima Pulse's commands"
CONFIRM, ASIDE = "Confirm the full reset", "Set the profile aside"
REMOVE, UNINSTALL = "Confirm the removal of the profile", "Uninstall Colima Pulse"
AWAKE, RESUME = "Keep the Mac awake", "Finish the interrupted reset"
FORMULAE, RIVALS = "Install colima, docker and qemu", "Remove other launchd jobs that start Colima"
START = [
    "Stop what runs of Colima without launchd",
    "Keep Colima loaded in launchd",
    "Wait until Colima has started",
    "Wait until Docker is ready",
]
PULSE, PRUNE = "Keep the pulse loaded in launchd", "Prune Docker after a start"
CONTAINERS = "Keep the containers as their installers say"


def called(
    monkeypatch: pytest.MonkeyPatch, file: str, data: dict[str, Any], **facts: Any
) -> list[dict[str, Any]]:
    """The arguments of each operation that a deploy file calls for a Mac, with `data` from --data."""
    found: list[dict[str, Any]] = []
    for each in pkgutil.iter_modules(operations.__path__):
        module = importlib.import_module(f"operations.{each.name}")
        for name, value in list(vars(module).items()):
            if hasattr(value, "_inner"):
                monkeypatch.setattr(module, name, lambda **arguments: found.append(arguments))
    monkeypatch.setattr(summary, "at_end", lambda: None)
    monkeypatch.setattr(summary, "prepared", lambda: None)
    host = host_with(**facts)
    with loading(host, data, reads=True), ctx_config.use(Config()):
        runpy.run_path(str(ROOT / file))
    return found


@pytest.mark.parametrize(
    ("data", "unfinished", "names"),
    [
        ({}, None, [TOOLKIT, FORMULAE, RIVALS, *START, PULSE, CONTAINERS]),
        (
            {"full_reset": True},
            None,
            [CONFIRM, TOOLKIT, FORMULAE, RIVALS, ASIDE, *START, PULSE, PRUNE, CONTAINERS],
        ),
        (
            {"restore": UNIT.name},
            "copying",
            [TOOLKIT, FORMULAE, RIVALS, "Restore the backup", *START, PULSE, CONTAINERS],
        ),
        (
            {"power": "server", "pulse": "false"},
            "moving",
            [TOOLKIT, AWAKE, FORMULAE, RIVALS, RESUME, *START, "Remove the pulse", CONTAINERS],
        ),
    ],
)
def test_a_deploy_in_order(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], unfinished: str | None, names: list[str]
) -> None:
    """What takes the profile away is confirmed before anything else happens."""
    data = {"homebrew_user": "alice", **data}
    found = called(
        monkeypatch, "deploy.py", data, profile=replace(PROFILE, unfinished=unfinished), backups=[UNIT]
    )
    assert [each["name"] for each in found] == names
    if CONFIRM in names:
        assert [each["place"] for each in found if "place" in each] == [found[0]["place"]] * 2


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({}, [TOOLKIT, UNINSTALL]),
        ({"delete_vm": True, "backup": "false"}, [REMOVE, TOOLKIT, ASIDE, UNINSTALL]),
    ],
)
def test_an_uninstall_in_order(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], names: list[str]
) -> None:
    monkeypatch.setattr(installation, "observe", lambda wanted: replace(WHOLE, settings=wanted))
    found = called(monkeypatch, "deploys/uninstall.py", {"homebrew_user": "alice", **data})
    assert [each["name"] for each in found] == names
    assert {each["mode"] for each in found if "mode" in each} <= {settings(**data).backup}
