"""The full reset and the restore: when they are refused, what they say first, and the lines they come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import OperationError

from facts.backup import Contents, Part, ProfileContents
from facts.colima import ColimaProfile
from facts.docker import DockerEngine, EngineState
from operations import reset
from operations.reset import DELETE, MOVE, PROMPT, Place, plan, room
from operations.util import terminal
from tests.conftest import RunOperation
from tests.deploys.test_faults import PROFILE
from tests.fakes import words
from tests.operations.test_containers import container

UNIT = "/Users/alice/colima-pulse-backups/default-20261122-101530"
OTHER = "/Users/alice/.config/colima"
LABEL = "com.example.x"
PLACE = Place("alice", "default", LABEL, UNIT, OTHER)
PARTS = (
    Part("profile", "/Users/alice/.colima/default", 12),
    Part("disk", "/Users/alice/.colima/_lima/_disks/colima", 3 * 1024**2),
)
CONTENTS = Contents(
    parts=PARTS,
    others=("foo",),
    other_dir=None,
    other_dir_kib=0,
    free_kib=1024,
    same_volume=True,
    writable=True,
)
TWO = replace(CONTENTS, other_dir=OTHER, other_dir_kib=2048)
FULL = replace(CONTENTS, same_volume=False)
ENGINE = EngineState("/s", None, "28.4.0", {"web": container(), "old": container(state="exited")})


def test_the_plan_in_words() -> None:
    assert plan(PLACE, TWO, ENGINE, MOVE) == [
        "Full reset of profile default of alice",
        f"  stops: {LABEL}, the VM, and in it web",
        f"  moves to {UNIT}, 3 GiB:",
        "    /Users/alice/.colima/default (profile, 0 MiB)",
        "    /Users/alice/.colima/_lima/_disks/colima (disk, 3 GiB)",
        f"    {OTHER} (the whole directory, 2 MiB)",
        "  leaves the other profiles as they are: foo",
        "  makes it anew: with no image, container or volume in it",
    ]


@pytest.mark.parametrize(
    ("mode", "contents", "anew", "says", "says_not"),
    [
        (DELETE, CONTENTS, True, "DELETES without a backup", UNIT),
        (PROMPT, CONTENTS, True, f"moves, or DELETES if you say so, to {UNIT}", "without a backup"),
        (MOVE, replace(CONTENTS, parts=()), True, "nothing of it", UNIT),
        (MOVE, CONTENTS, False, "Removal of profile default of alice", "anew"),
    ],
)
def test_other_plans(mode: str, contents: Contents, anew: bool, says: str, says_not: str) -> None:
    said = "\n".join(plan(PLACE, contents, None, mode, anew=anew))
    assert says in said
    assert says_not not in said


@pytest.mark.parametrize(
    ("contents", "mode", "why"),
    [
        (CONTENTS, MOVE, None),
        (FULL, MOVE, "takes 3 GiB, and its volume has 1 MiB free"),
        (FULL, PROMPT, "1 MiB"),
        (FULL, DELETE, None),
        (replace(FULL, free_kib=4 * 1024**2), MOVE, None),
        (replace(FULL, free_kib=None), MOVE, None),
        (replace(CONTENTS, writable=False), MOVE, "written"),
    ],
)
def test_room(contents: Contents, mode: str, why: str | None) -> None:
    found = room(contents, mode)
    assert found is None if why is None else why in str(found)


class Person:
    """Somebody at the terminal, or nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there, self.types, self.says, self.hosts = True, "DESTROY", True, 1
        self.asked: list[str] = []
        monkeypatch.setattr(terminal, "is_there", lambda: self.there)
        monkeypatch.setattr(terminal, "typed", self._typed)
        monkeypatch.setattr(terminal, "ask", self._ask)
        monkeypatch.setattr(reset, "hosts_of_run", lambda: self.hosts)

    def _typed(self, question: str) -> str:
        self.asked.append(question)
        return self.types

    def _ask(self, question: str, *, default: bool) -> bool:
        self.asked.append(question)
        return self.says if self.there else default


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(monkeypatch)


def confirm(
    commands: RunOperation, contents: Contents | None = CONTENTS, **arguments: Any
) -> tuple[str | None, str]:
    """Why it is refused, None when it is confirmed; and what was said."""
    facts = {ProfileContents: contents, DockerEngine: ENGINE}
    found, host = commands(reset.confirmed, facts, place=PLACE, **arguments)
    if not found:
        return None, host.said
    assert words(found[0])[0] == "refuse"
    return " ".join(words(found[0])[1:]), host.said


@pytest.mark.parametrize(("anew", "what"), [(True, "reset"), (False, "remove")])
def test_host_and_contents_are_named(commands: RunOperation, person: Person, anew: bool, what: str) -> None:
    why, said = confirm(commands, anew=anew)
    assert why is None
    assert person.asked == [f"[mini] Type DESTROY to {what} profile default of alice on this host:"]
    assert "/Users/alice/.colima/default" in said


@pytest.mark.parametrize(
    ("word", "types", "confirms"),
    [("DESTROY", "destroy", False), ("DESTROY", "DESTROY ", False), ("GO", "GO", True), ("GO", "", False)],
)
def test_another_word(commands: RunOperation, person: Person, word: str, types: str, confirms: bool) -> None:
    person.types = types
    why, _ = confirm(commands, word=word, force_yes=True)
    assert why == (None if confirms else f"{word} was not typed. Nothing was touched.")


@pytest.mark.parametrize(
    ("there", "hosts", "data", "confirms"),
    [
        (True, 1, {"no_confirm": True}, True),
        (True, 2, {"no_confirm": True}, False),
        (False, 1, {"no_confirm": True}, False),
        (False, 1, {"force_yes": True}, True),
        (False, 2, {"force_yes": True}, False),
    ],
)
def test_what_stands_in_for_the_word(
    commands: RunOperation, person: Person, there: bool, hosts: int, data: dict[str, Any], confirms: bool
) -> None:
    person.there, person.hosts, person.types = there, hosts, ""
    assert (confirm(commands, **data)[0] is None) is confirms
    assert bool(person.asked) is (there and hosts > 1)


def test_before_the_question(commands: RunOperation, person: Person) -> None:
    assert "BACKUP_DIR_BASE" in str(confirm(commands, FULL)[0])
    assert "cannot be read" in str(confirm(commands, None)[0])
    # While pyinfra prepares, all is said, and nothing asked.
    why, said = confirm(commands, executing=False)
    assert (why, UNIT in said) == (None, True)
    with pytest.raises(OperationError):
        confirm(commands, None, executing=False)
    assert person.asked == []


def lines(commands: RunOperation, operation: Any, facts: Any = None, **arguments: Any) -> list[list[str]]:
    found, _ = commands(operation, facts or {}, **{"place": PLACE} | arguments)
    return [words(each) for each in found]


def test_a_profile_is_set_aside(commands: RunOperation) -> None:
    found, host = commands(reset.set_aside, {}, place=replace(PLACE, other_dir=None))
    assert [words(each) for each in found] == [["set-aside", LABEL, "move", UNIT]]
    assert host.logged == [
        f"Set profile default of alice aside to {UNIT}",
        "To put it back: pyinfra mini deploys/restore.py --data restore=default-20261122-101530",
    ]
    found, host = commands(reset.set_aside, {}, place=PLACE, mode=DELETE)
    assert [words(each) for each in found] == [["set-aside", LABEL, "delete", UNIT, OTHER]]
    assert host.logged == ["Delete profile default of alice, without a backup"]


@pytest.mark.parametrize(
    ("there", "says", "mode"), [(True, True, "move"), (True, False, "delete"), (False, False, "move")]
)
def test_prompt(commands: RunOperation, person: Person, there: bool, says: bool, mode: str) -> None:
    person.there, person.says = there, says
    lines(commands, reset.set_aside, mode=PROMPT, executing=False)
    assert person.asked == []
    assert lines(commands, reset.set_aside, mode=PROMPT) == [["set-aside", LABEL, mode, UNIT, OTHER]]


def test_finished_and_restored(commands: RunOperation) -> None:
    for unfinished in (replace(PROFILE, unfinished="clearing"), None):
        assert lines(commands, reset.resumed, {ColimaProfile: unfinished}) == [["finish-reset", LABEL]]
    assert lines(commands, reset.resumed, {ColimaProfile: PROFILE}) == []
    assert lines(commands, reset.restored, backup="/b/x") == [["restore-backup", LABEL, "/b/x", UNIT]]
