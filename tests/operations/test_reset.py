"""The full reset and the restore: when they are refused, what they say first, and in which order they act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand

from facts.backup import Contents, Part, ProfileContents
from facts.colima import ColimaProfile
from facts.docker import DockerEngine, EngineState
from facts.launchd import LaunchdJob
from operations import reset
from operations.reset import DELETE, MOVE, PROMPT, Place, faults, plan, room
from operations.util import terminal
from tests.conftest import RunOperation
from tests.fakes import Answer, Clock, FakeHost, fake_state
from tests.operations.test_containers import container
from tests.operations.test_launchd import ABSENT, RUNNING
from tests.operations.test_preflight import PROFILE, settings

UNIT = "/Users/alice/colima-pulse-backups/default-20261122-101530"
PLACE = Place("alice", "default", "com.example.x", UNIT, "/Users/alice/.config/colima")
PARTS = (
    Part("profile", "/Users/alice/.colima/default", 12),
    Part("disk", "/Users/alice/.colima/_lima/_disks/colima", 3 * 1024**2),
)
CONTENTS = Contents(
    parts=PARTS,
    others=("foo",),
    other_dir=None,
    other_dir_kib=0,
    other_dir_profiles=(),
    free_kib=1024,
    same_volume=True,
    writable=True,
    unfinished=None,
)
ENGINE = EngineState("/s", True, None, "28.4.0", {"web": container(), "old": container(state="exited")})


# The guard


@pytest.mark.parametrize(
    ("data", "hosts", "terminal", "says"),
    [
        ({}, 1, False, None),
        ({}, 5, False, None),
        ({"full_reset": True}, 1, True, None),
        ({"full_reset": True}, 5, True, None),
        ({"full_reset": True}, 1, False, "force_yes=true"),
        ({"full_reset": True, "no_confirm": True}, 1, False, "force_yes=true"),
        ({"full_reset": True, "force_yes": True}, 1, False, None),
        ({"full_reset": True, "force_yes": True}, 2, False, "--limit"),
        ({"delete_vm": True}, 1, True, None),
        ({"delete_vm": True}, 1, False, "DELETE_VM"),
        ({"delete_vm": True, "force_yes": True}, 1, False, None),
        ({"delete_vm": True, "force_yes": True}, 2, False, "--limit"),
    ],
)
def test_who_can_confirm(data: dict[str, Any], hosts: int, terminal: bool, says: str | None) -> None:
    found = faults(settings(**data), hosts, has_terminal=terminal)
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_the_plan_in_words() -> None:
    said = "\n".join(plan(PLACE, CONTENTS, ENGINE, MOVE))
    for words in (
        "profile default of alice",
        "com.example.x",
        "in it web",
        UNIT,
        "/Users/alice/.colima/default",
        "3.0 GiB",
        "foo",
    ):
        assert words in said
    assert "old" not in said
    two = replace(CONTENTS, other_dir="/Users/alice/.config/colima", other_dir_kib=2048)
    assert "/Users/alice/.config/colima (the whole directory, 2.0 MiB)" in "\n".join(
        plan(PLACE, two, None, MOVE)
    )
    assert "DELETE" not in said


def test_the_plan_of_a_deletion() -> None:
    said = "\n".join(plan(PLACE, CONTENTS, None, DELETE))
    assert "DELETES without a backup" in said
    assert UNIT not in said
    assert UNIT in "\n".join(plan(PLACE, CONTENTS, None, PROMPT))
    assert "nothing of it" in "\n".join(plan(PLACE, replace(CONTENTS, parts=()), None, DELETE))


def test_the_plan_of_a_removal() -> None:
    said = "\n".join(plan(PLACE, CONTENTS, ENGINE, MOVE, anew=False))
    assert said.startswith("Removal of profile default of alice")
    assert "anew" not in said
    assert UNIT in said


def test_a_second_state_directory_is_only_taken_where_it_is_meant() -> None:
    two = replace(CONTENTS, other_dir="/Users/alice/.config/colima", other_dir_kib=2048)
    assert reset.of_place(PLACE, two) == two
    assert reset.of_place(replace(PLACE, other_dir=None), two) == CONTENTS


def test_room() -> None:
    elsewhere = replace(CONTENTS, same_volume=False)
    assert room(CONTENTS, MOVE) is None
    assert "3.0 GiB" in str(room(elsewhere, MOVE))
    assert "1.0 MiB" in str(room(elsewhere, PROMPT))
    assert room(replace(elsewhere, free_kib=4 * 1024**2), MOVE) is None
    assert room(replace(elsewhere, free_kib=None), MOVE) is None
    assert room(elsewhere, DELETE) is None
    assert "written" in str(room(replace(CONTENTS, writable=False), MOVE))
    assert room(replace(CONTENTS, writable=False, parts=()), MOVE) is None


class Person:
    """Somebody at the terminal, or nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there = True
        self.types = "DESTROY"
        self.says = True
        self.asked: list[str] = []
        monkeypatch.setattr(terminal, "is_there", lambda: self.there)
        monkeypatch.setattr(terminal, "typed", self._typed)
        monkeypatch.setattr(terminal, "ask", self._ask)

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
) -> tuple[bool, str]:
    """Run the guard as pyinfra would; whether it lets go on, and what it said."""
    facts = {ProfileContents: contents, DockerEngine: ENGINE}
    found, host = commands(reset.confirmed, facts, place=PLACE, **arguments)
    (command,) = found
    assert isinstance(command, FunctionCommand)
    ok = command.function(fake_state(), host, *command.args)
    assert host.told == []
    return ok, host.said


def test_the_word_is_typed_with_host_and_contents_named(commands: RunOperation, person: Person) -> None:
    ok, said = confirm(commands)
    assert ok
    assert person.asked == ["[mini] Type DESTROY to reset profile default of alice on this host:"]
    assert "/Users/alice/.colima/default" in said


def test_a_removal_is_asked_for_as_one(commands: RunOperation, person: Person) -> None:
    ok, said = confirm(commands, anew=False)
    assert ok
    assert person.asked == ["[mini] Type DESTROY to remove profile default of alice on this host:"]
    assert "anew" not in said


@pytest.mark.parametrize("types", ["destroy", "", " DESTROY", "DESTROY "])
def test_another_word(commands: RunOperation, person: Person, types: str) -> None:
    person.types = types
    ok, said = confirm(commands, force_yes=True)
    assert not ok
    assert "Nothing was touched" in said


def test_a_word_of_ones_own(commands: RunOperation, person: Person) -> None:
    person.types = "GO"
    assert confirm(commands, word="GO")[0]
    person.types = "DESTROY"
    assert not confirm(commands, word="GO")[0]


def test_no_confirm_does_without_on_a_terminal_of_one_host(commands: RunOperation, person: Person) -> None:
    person.types = ""
    assert confirm(commands, no_confirm=True)[0]
    assert person.asked == []
    assert not confirm(commands, no_confirm=True, hosts=2)[0]


def test_without_a_terminal(commands: RunOperation, person: Person) -> None:
    person.there = False
    assert not confirm(commands)[0]
    assert not confirm(commands, no_confirm=True)[0]
    assert confirm(commands, force_yes=True)[0]
    assert not confirm(commands, force_yes=True, hosts=2)[0]
    assert person.asked == []


def test_no_room_or_nothing_to_read_is_said_before_the_question(
    commands: RunOperation, person: Person
) -> None:
    full = replace(CONTENTS, same_volume=False)
    ok, said = confirm(commands, full)
    assert not ok
    assert "BACKUP_DIR_BASE" in said
    assert not confirm(commands, None)[0]
    assert person.asked == []


# What is done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("operations.util.remote.time", clock)
    return clock


class Launchd:
    """A launchd that does what it is told, seen through the facts."""

    def __init__(self, job: Any, *fails: str, after: str | None = None) -> None:
        self.job = job
        self.fails = fails
        self.unfinished: str | None = None
        self.after = after

    def answer(self, words: list[str]) -> Answer:
        if words[0] == "launchctl":
            if words[1] == "bootout":
                self.job = ABSENT
            elif words[1] == "bootstrap":
                self.job = RUNNING
        if any(each in words[:4] for each in self.fails):
            self.unfinished = self.after
            return False, ["it failed"]
        return True, ["rc=0"]

    def host(self, **facts: Any) -> Any:
        return FakeHost(
            {
                LaunchdJob: lambda **_: self.job,
                ProfileContents: facts.get("contents", CONTENTS),
                DockerEngine: None,
                ColimaProfile: lambda **_: replace(PROFILE, unfinished=self.unfinished),
            },
            answer=self.answer,
        )


def short(told: list[list[str]]) -> list[str]:
    """Commands as one word each: a script's name, launchctl's verb, a script's mode."""
    named: dict[str, Any] = {
        "launchctl": lambda words: words[1],
        "set-aside": lambda words: f"set-aside {words[3]}",
    }
    return [named.get(words[0], lambda words: words[0])(words) for words in told]


def act(
    commands: RunOperation, operation: Any, launchd: Launchd, contents: Any = CONTENTS, **arguments: Any
) -> tuple[bool, list[str], str]:
    """Run an operation's one function against this launchd: whether it went well, what ran, what was said."""
    host = launchd.host(contents=contents)
    found, _ = commands(operation, host.facts, place=PLACE, **arguments)
    (command,) = found
    assert isinstance(command, FunctionCommand)
    ok = command.function(fake_state(), host, *command.args)
    return ok, short(host.told), host.said


STOPPED = ["disable", "stop-instance", "bootout", "sweep-profile"]
STARTED = ["enable", "bootstrap"]


@pytest.mark.usefixtures("clock")
def test_all_is_stopped_before_anything_is_moved(commands: RunOperation) -> None:
    ok, told, said = act(commands, reset.set_aside, Launchd(RUNNING))
    assert ok
    assert told == [*STOPPED, "set-aside move"]
    assert "deploys/restore.py --data restore=default-20261122-101530" in said


@pytest.mark.usefixtures("clock")
def test_what_set_aside_is_told(commands: RunOperation) -> None:
    host = Launchd(RUNNING).host()
    assert reset._move(fake_state(), host, PLACE, DELETE)
    path = "/Library/LaunchDaemons/com.example.x.plist"
    assert host.told == [
        ["set-aside", "alice", "default", "delete", UNIT, path, "/Users/alice/.config/colima"]
    ]


@pytest.mark.usefixtures("clock")
def test_without_a_backup_nothing_is_promised(commands: RunOperation) -> None:
    ok, told, said = act(commands, reset.set_aside, Launchd(RUNNING), mode=DELETE)
    assert (ok, told[-1]) == (True, "set-aside delete")
    assert "restore" not in said


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("there", "says", "mode"), [(True, True, "move"), (True, False, "delete"), (False, False, "move")]
)
def test_prompt(commands: RunOperation, person: Person, there: bool, says: bool, mode: str) -> None:
    person.there, person.says = there, says
    _, told, _ = act(commands, reset.set_aside, Launchd(RUNNING), mode=PROMPT)
    assert told[-1] == f"set-aside {mode}"


@pytest.mark.usefixtures("clock")
def test_a_backup_that_fails_leaves_what_was_there(commands: RunOperation) -> None:
    ok, told, said = act(commands, reset.set_aside, Launchd(RUNNING, "set-aside"))
    assert not ok
    assert told == [*STOPPED, "set-aside move", *STARTED]
    assert "not reset" in said


@pytest.mark.usefixtures("clock")
def test_what_was_not_loaded_is_not_started(commands: RunOperation) -> None:
    _, told, _ = act(commands, reset.set_aside, Launchd(ABSENT, "set-aside"))
    assert told == [*STOPPED, "set-aside move", "enable"]


@pytest.mark.usefixtures("clock")
def test_half_of_a_profile_is_not_started(commands: RunOperation) -> None:
    ok, told, _ = act(commands, reset.set_aside, Launchd(RUNNING, "set-aside", after="clearing"))
    assert (ok, told) == (False, [*STOPPED, "set-aside move"])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("fails", ["sweep-profile", "bootout"])
def test_what_does_not_stop_is_not_moved(commands: RunOperation, fails: str) -> None:
    """And a boot brings it back."""
    ok, told, _ = act(commands, reset.set_aside, Launchd(RUNNING, fails))
    assert not ok
    assert "set-aside move" not in told
    assert told[-1] == "enable"


def test_a_launchd_that_is_not_heard(commands: RunOperation) -> None:
    for operation, arguments in ((reset.set_aside, {}), (reset.restored, {"backup": UNIT})):
        ok, told, said = act(commands, operation, Launchd(None), **arguments)
        assert (ok, told) == (False, [])
        assert "Nothing was touched" in said


@pytest.mark.usefixtures("clock")
def test_an_interrupted_reset_is_taken_up(commands: RunOperation) -> None:
    launchd = Launchd(ABSENT)
    launchd.unfinished = "clearing"
    assert act(commands, reset.resumed, launchd)[:2] == (True, [*STOPPED, "set-aside resume"])
    found, host = commands(reset.resumed, {ColimaProfile: PROFILE}, place=PLACE)
    assert (found, host.noops) == ([], ["no reset was interrupted"])
    assert len(commands(reset.resumed, {ColimaProfile: None}, place=PLACE)[0]) == 1


OLD = "/Users/alice/colima-pulse-backups/default-1"


@pytest.mark.usefixtures("clock")
def test_restore(commands: RunOperation) -> None:
    host = Launchd(RUNNING).host()
    assert reset._restore(fake_state(), host, PLACE, OLD)
    assert short(host.told) == [*STOPPED, "set-aside resume", "set-aside move", "restore-backup"]
    assert host.told[-1] == ["restore-backup", "alice", "default", OLD]


@pytest.mark.usefixtures("clock")
def test_restore_where_nothing_is(commands: RunOperation) -> None:
    _, told, _ = act(commands, reset.restored, Launchd(ABSENT), replace(CONTENTS, parts=()), backup=OLD)
    assert told == [*STOPPED, "set-aside resume", "restore-backup"]


@pytest.mark.usefixtures("clock")
def test_a_restore_that_fails_puts_back_what_was_there(commands: RunOperation) -> None:
    launchd = Launchd(RUNNING, OLD)
    ok, told, said = act(commands, reset.restored, launchd, backup=OLD)
    assert not ok
    assert told == [
        *STOPPED, "set-aside resume", "set-aside move", "restore-backup", "restore-backup", *STARTED
    ]  # fmt: skip
    assert "in its place again" in said


@pytest.mark.usefixtures("clock")
def test_a_restore_whose_way_is_not_clear(commands: RunOperation) -> None:
    ok, told, said = act(commands, reset.restored, Launchd(RUNNING, "move"), backup=OLD)
    assert (ok, told[-1]) == (False, "set-aside move")
    assert "was not put back" in said


# The forecast


def test_describe() -> None:
    assert UNIT in str(reset.describe(PLACE, settings(full_reset=True), PROFILE))
    assert "without a backup" in str(reset.describe(PLACE, settings(full_reset=True, backup=False), PROFILE))
    assert OLD in str(reset.describe(PLACE, settings(restore="default-1"), PROFILE))
    assert "interrupted" in str(reset.describe(PLACE, settings(), replace(PROFILE, unfinished="clearing")))
    assert reset.describe(PLACE, settings(), PROFILE) is None
