"""The toolkit is installed where it is not of this version, and a label's settings where they differ."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.toolkit import Toolkit, ToolkitState
from files import archive, digest
from operations.toolkit import configuration, current, installed
from settings import Settings
from tests.conftest import RunOperation
from tests.fakes import words

LABEL = "homebrew.mrcee.colima-pulse"
SETTINGS = configuration(
    Settings(homebrew_user="alice", colima_memory=4, colima_start_filter_info=False),
    "/Users/al ice",
    "/opt/homebrew",
)
INSTALL = ["install", digest()]
CONFIGURE = ["configure", LABEL]
THERE = ToolkitState(digest(), SETTINGS, safe=True)


def test_the_settings() -> None:
    assert (SETTINGS["home"], SETTINGS["hide_info"]) == ("/Users/al ice", "no")
    assert (SETTINGS["good_answers"], SETTINGS["start_seconds"]) == ("5", "120")


@pytest.mark.parametrize(
    ("found", "lines", "says"),
    [
        (THERE, [], []),
        (
            ToolkitState(None),
            [INSTALL, CONFIGURE],
            ["Install Colima Pulse's commands", f"Write down the settings of {LABEL}"],
        ),
        (ToolkitState("f00", SETTINGS, safe=True), [INSTALL], ["Update Colima Pulse's commands"]),
        (
            ToolkitState(digest(), SETTINGS | {"log": "/x", "log_keep": "9"}, safe=True),
            [CONFIGURE],
            [f"Write down the settings of {LABEL}: log, log_keep"],
        ),
        # One that is no longer a setting.
        (
            ToolkitState(digest(), SETTINGS | {"old": "1"}, safe=True),
            [CONFIGURE],
            [f"Write down the settings of {LABEL}"],
        ),
        (ToolkitState(digest(), SETTINGS, safe=False), [CONFIGURE], [f"Write down the settings of {LABEL}"]),
    ],
)
def test_installed(
    commands: RunOperation, found: ToolkitState, lines: list[list[str]], says: list[str]
) -> None:
    got, host = commands(installed, {Toolkit: found}, label=LABEL, settings=SETTINGS)
    assert [words(each) for each in got] == lines
    assert host.logged == says
    assert len(host.noops) == (not lines)
    stdin: dict[str, Any] = {words(each)[0]: each.connector_arguments["_stdin"] for each in got}  # type: ignore[union-attr]
    assert stdin.get("install", archive()) == archive()
    expected = "".join(f"{key}={value}\n" for key, value in SETTINGS.items())
    assert stdin.get("configure", expected) == expected


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (THERE, []),
        # Its settings stay as they are: only a deploy knows what it needs.
        (ToolkitState("f00", {"user": "bob"}, safe=True), [INSTALL]),
        (ToolkitState(None), None),
        (ToolkitState(digest()), None),
        (None, None),
    ],
)
def test_current(commands: RunOperation, found: ToolkitState | None, lines: list[list[str]] | None) -> None:
    got, _ = commands(current, {Toolkit: found}, label=LABEL)
    if lines is not None:
        assert [words(each) for each in got] == lines
        return
    assert [words(each)[0] for each in got] == ["refuse"]
    with pytest.raises(OperationError, match=r"Run deploy\.py|cannot be read"):
        commands(current, {Toolkit: found}, executing=False, label=LABEL)


def test_what_cannot_be_read_is_not_replaced(commands: RunOperation) -> None:
    got, _ = commands(installed, {Toolkit: None}, label=LABEL, settings=SETTINGS)
    assert [words(each)[0] for each in got] == ["refuse"]
