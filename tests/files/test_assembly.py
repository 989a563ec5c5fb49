"""How a script becomes the text that is sent: what it needs of files/lib comes along, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import files
from tests.files.test_lint import SCRIPTS, shell

LIBRARIES = [name for name in SCRIPTS if name.startswith("lib")]
SENT = [name for name in SCRIPTS if name not in LIBRARIES]
# What takes a function as an argument, and calls it.
CALLS = re.compile(r"(?<![\w/.$-])(?:told|gone \S+|signal_each \S+) (?P<function>[a-z]\w*)")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in the place of files/."""
    monkeypatch.setattr(files, "HERE", tmp_path)
    for cached in (files.definitions, files.assembled, files.text):
        cached.cache_clear()
    yield tmp_path
    for cached in (files.definitions, files.assembled, files.text):
        cached.cache_clear()


LIB = """\
# shellcheck shell=sh
# What a, b and c share.

# Comes first: one() is not called here.
one() { two "$words"; }
# shellcheck disable=SC2016  # a perl program
words='
    # not shell
    $of many() {
lines
'
two() {
    # here neither: five
    echo "
}text"
}

three() { :; }
empty=
four() { echo "$empty/five" three=$1 -four; }
five() { echo "${words}"; }
"""


@pytest.mark.parametrize(
    "code, comes",
    [
        ("echo end", []),
        ("one", ["one", "words", "two"]),
        ("# one", []),
        ("gone 3 two x", ["two"]),
        ("x=$(two)", ["two"]),
        ("if ! two; then", ["two"]),
        ("/usr/bin/two --two -two .two $two two=1 two/x", []),
        ("four", ["empty", "four"]),
        ("five", ["words", "five"]),
        ('echo "${empty:-x}"', ["empty"]),
    ],
)
def test_what_a_script_names_comes_along_with_what_that_names(
    here: Path, code: str, comes: list[str]
) -> None:
    (here / "lib").write_text(LIB)
    (here / "script").write_text(f"#!/bin/sh\n# What it is.\n# lib\n{code}\n")
    text = files.text("script")
    assert re.findall(r"(?m)^(\w+)(?:\(\)|=(?!\$|1))", text) == comes
    assert text.startswith("#!/bin/sh\n# What it is.\n")
    assert code.startswith("#") or text.endswith(f"\n{code}\n")


def test_a_definition_comes_whole_and_without_its_comments(here: Path) -> None:
    (here / "lib").write_text(LIB)
    (here / "script").write_text("# lib\none\n")
    assert files.text("script") == (
        "one() { two \"$words\"; }\nwords='\n    $of many() {\nlines\n'\n"
        'two() {\n    echo "\n}text"\n}\none\n'
    )


def test_libraries_may_need_each_other(here: Path) -> None:
    (here / "lib").write_text("low() { :; }\nother() { :; }\n")
    (here / "lib-high").write_text("high() { low; }\n")
    (here / "script").write_text("#!/bin/sh\n# Is.\nset -u\n# lib\n# lib-high\n\nhigh\n")
    assert files.text("script") == "#!/bin/sh\n# Is.\nset -u\nlow() { :; }\nhigh() { low; }\nhigh\n"


@pytest.mark.parametrize("foreign", ["set -u", "one() { x", "x=$(one)", "  y=1", "two() {\n    x\n"])
def test_a_library_that_does_something_is_refused(here: Path, foreign: str) -> None:
    (here / "lib").write_text(f"one() {{ :; }}\n{foreign}\n")
    with pytest.raises(ValueError, match="neither a function nor a variable"):
        files.definitions("lib")


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_function_of_a_library_is_found_and_used(library: str) -> None:
    written = re.findall(r"(?m)^(\w+)\(\)", (files.HERE / library).read_text())
    found = [name for name in files.definitions(library) if not name.startswith("$")]
    assert found == written
    unused = {name for name, code in files.definitions(library).items() if not used(code)}
    assert unused == set()


def used(code: str) -> bool:
    return any(code in files.assembled(name) for name in SENT)


@pytest.mark.parametrize("name", SENT)
def test_every_function_that_a_script_hands_on_is_there(name: str) -> None:
    # Those that it calls itself test_lint.py looks after.
    text = shell(name)
    there = set(re.findall(r"(?m)^\s*(\w+)\(\)", text))
    assert {match["function"] for match in CALLS.finditer(text)} - there == set()


@pytest.mark.parametrize("name", SENT)
def test_nothing_but_comments_is_left_out(name: str) -> None:
    kept = [line for line in files.assembled(name).splitlines() if line and not re.match(r"\s*#", line)]
    head = [line for line in files.text(name).splitlines() if line.startswith("#")]
    assert files.text(name).splitlines() == head + kept
    assert len(head) >= 2


def test_a_small_script_is_sent_small() -> None:
    assert len(files.text("observe-user")) < 3000
    assert "colima_processes" not in files.text("observe-job")
