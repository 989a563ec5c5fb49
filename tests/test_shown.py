"""Every command that the documents show is found, and has its place in a test that runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings import Settings
from tests.e2e.life import DOCUMENTS, ELSEWHERE, LIFE, shown
from tests.shown import commands

ROOT = Path(__file__).resolve().parents[1]
PAGE = r"""# A page with `make help` in its title

Type `pyinfra HOST deploy.py --dry  --diff`, as in `pyinfra HOST ...`, where `docker run` is
spoken of, `colima start --foreground` and `pyinfra` too, and `git
status` goes over a line.

    cp a b   # and
    FOO=1 make this \
        and-that

    pyinfra x y
    --> Starting operation: make
    [mac] docker run

1. An item
   with `sudo true`.

| `make a` | says `a \| b`; `sudo a \| b` |
|---|---|

```sh
unheard-of --flag
# a comment

make c # here
```

```console
$ whatever it takes
make of this what you like... no: make is a program
```

~~~python
make = "nothing"
~~~

    KEY=value
    pyinfraesque no
"""


def test_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert [(each.line, each.command) for each in commands(page)] == [
        (1, "make help"),
        (3, "pyinfra HOST deploy.py --dry --diff"),
        (4, "git status"),
        (7, "cp a b"),
        (8, "FOO=1 make this and-that"),
        (11, "pyinfra x y"),
        (16, "sudo true"),
        (18, "make a"),
        (18, "sudo a | b"),
        (22, "unheard-of --flag"),
        (25, "make c"),
        (29, "whatever it takes"),
        (30, "make of this what you like... no: make is a program"),
    ]


def test_every_command_is_run() -> None:
    run = {step.command for step in LIFE} | set(ELSEWHERE)
    lacking = [str(each) for each in shown() if each.command not in run]
    assert not lacking, "give them a step in tests/e2e/life.py, or a reason in its ELSEWHERE"


def test_nothing_is_run_that_is_not_shown() -> None:
    found = {each.command for each in shown()}
    assert [step.command for step in LIFE if step.command not in found] == []
    assert [command for command in ELSEWHERE if command not in found] == []


def test_nothing_is_run_twice() -> None:
    run = [*ELSEWHERE, *(step.command for step in LIFE)]
    assert sorted(run) == sorted(set(run))


def test_targets_of_make() -> None:
    """Those that run elsewhere are there, at least."""
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    named = {each.command.split()[1] for each in shown() if each.command.startswith("make ")}
    assert "deploy" in named
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name + "/" + path.name)
def test_data_names_settings(document: Path) -> None:
    """Also where the text names an option alone."""
    named = re.findall(r"--data\s+(\w+)=", document.read_text())
    assert set(named) <= {*vars(Settings()), "key"}


def test_files_and_pictures_are_there() -> None:
    """What the documents link to, of this repository."""
    for document in DOCUMENTS:
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
        links += re.findall(r"<img[^>]* src=\"(?!https?:)([^\"]+)", document.read_text())
        assert [link for link in links if not (document.parent / link).exists()] == []
