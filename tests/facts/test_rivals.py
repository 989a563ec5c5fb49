"""Jobs of other hands: what does not fit together is only mentioned, and nobody can void a deploy with it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.rivals import Definition, Definitions

AGENTS = "/Users/alice/Library/LaunchAgents"
RIVALS = [
    "[system /Library/LaunchDaemons]",
    "|link\tx.plist\t\t\t",
    f"[gui/502 {AGENTS}]",
    "|file\thomebrew.mxcl.colima.plist\thomebrew.mxcl.colima\tdefault\talice",
    "|file\tlima.plist\tlima\t\troot",
    "[system ]",
    "|loaded\t\tgone\twork\tbob",
    "end",
]


def test_definitions() -> None:
    assert Definitions().process(RIVALS) == [
        Definition("link", "system", "/Library/LaunchDaemons/x.plist", None),
        Definition(
            "file",
            "gui/502",
            f"{AGENTS}/homebrew.mxcl.colima.plist",
            "homebrew.mxcl.colima",
            "default",
            "alice",
        ),
        Definition("file", "gui/502", f"{AGENTS}/lima.plist", "lima", None, "root"),
        Definition("loaded", "system", None, "gone", "work", "bob"),
    ]
    assert Definitions().process(["end"]) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("unreadable\t\t\t\t", AGENTS),
        ("file\t\tx\tdefault\talice", AGENTS),
        ("file\tx.plist\t\tdefault\talice", f"{AGENTS}/x.plist"),  # to launchctl that is the domain
        ("file\tx.plist\ta\u2028b\tdefault\talice", f"{AGENTS}/x.plist"),
        ("loaded\tx.plist\tx\tdefault\talice", f"{AGENTS}/x.plist"),
        ("file\tx\tx\tdefault\talice", f"{AGENTS}/x"),
        ("file\t../../x.plist\tx\tdefault\talice", f"{AGENTS}/../../x.plist"),
        ("file\tx.plist\tx\tdefault", AGENTS),
    ],
)
def test_what_does_not_fit_is_unreadable(line: str, path: str) -> None:
    found = Definitions().process([f"[gui/502 {AGENTS}]", f"|{line}", "end"])
    assert found == [Definition("unreadable", "gui/502", path, None)]


@pytest.mark.parametrize("output", [["|file", "end"], ["what", "end"]])
def test_an_answer_that_is_not_whole(output: list[str]) -> None:
    with pytest.raises(FactProcessError):
        Definitions().process(output)
