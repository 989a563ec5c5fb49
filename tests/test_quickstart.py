"""A fresh clone on a machine that has uv alone, or a Python alone: what README has typed first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.shown import commands
from tests.terminal import publish

UV = Path(sys.prefix, "bin/uv")
DEV_TOOLS = {"mypy", "pytest", "ruff", "shellcheck", "uv", "zizmor"}

Type = Callable[[str], subprocess.CompletedProcess[str]]

# Not of the make that runs this, nor of its environment.
OTHERS = ("VIRTUAL_ENV", "PYTHON", "MAKE", "MFLAGS", "GIT_")
OURS = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a fresh clone of this repository in it, and an empty bin."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = nobody\n\temail = nobody@localhost\n")
    origin = tmp_path / "origin.git"
    publish(origin, OURS | {"HOME": str(tmp_path)})
    subprocess.run(["git", "clone", "-q", origin, tmp_path / "colima-pulse"], check=True)
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def type_in(home: Path) -> Type:
    """Type a command in the clone, with the home's bin first in PATH."""
    environment = OURS | {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:/usr/bin:/bin",
        "UV_PYTHON_INSTALL_DIR": str(home / "managed"),
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = ["/bin/sh", "-c", command]
        where = home / "colima-pulse"
        return subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, timeout=600)

    return run


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def programs(home: Path) -> set[str]:
    """What the environment in the clone brings."""
    return {path.name for path in (home / "colima-pulse/.venv/bin").iterdir()}


def test_uv_alone(home: Path, type_in: Type) -> None:
    """uv takes the Python that it manages, whatever else there is, and installs what a deploy needs."""
    (home / "bin/uv").symlink_to(UV)
    script(home / "bin/python3", "echo 'this is Apple'\"'\"'s' >&2; exit 1")
    # In the place of the one that it would fetch: this one.
    listing = [str(UV), "python", "list", "--only-installed", "--output-format=json"]
    listing += ["--python-preference=only-system", sys.executable]
    (found, *_) = json.loads(subprocess.run(listing, capture_output=True, check=True).stdout)
    managed = home / "managed" / found["key"]
    managed.mkdir(parents=True)
    for path in Path(sys.base_prefix).iterdir():
        (managed / path.name).symlink_to(path)

    done = type_in("uv run pyinfra --version")
    assert (done.returncode, done.stdout[:11]) == (0, "pyinfra: v3"), done.stderr
    assert f"home = {managed}" in (home / "colima-pulse/.venv/pyvenv.cfg").read_text()
    assert not programs(home) & DEV_TOOLS
    assert type_in("git status --short").stdout == ""


@pytest.mark.weekly
def test_pip_alone(home: Path, type_in: Type) -> None:
    (home / "bin/python3").symlink_to(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    (way,) = (each.command for each in commands(ROOT / "README.md") if "-m venv" in each.command)
    done = type_in(f"{way} && pyinfra --version")
    assert (done.returncode, done.stdout.splitlines()[-1][:11]) == (0, "pyinfra: v3"), done.stderr
    assert not programs(home) & DEV_TOOLS
    assert type_in("git status --short").stdout == ""


def test_make_takes_the_newest_python(home: Path, type_in: Type) -> None:
    """By its name: `python3` may be Apple's."""
    for name in ("python3", "python3.10", "python3.14"):
        script(home / "bin" / name, f'echo "{name} $*" >>"$HOME/asked"; [ "$1" = -c ]')
    done = type_in("make deploy")
    assert "apt-get install python3-venv" in done.stderr
    assert (home / "asked").read_text().splitlines() == ["python3.14 -c ", "python3.14 -m venv .venv"]


def test_make_prefers_uv(home: Path, type_in: Type) -> None:
    for name in ("uv", "python3.14"):
        script(home / "bin" / name, f'echo "{name} $*" >>"$HOME/asked"; [ "$1" = -c ]')
    assert type_in("make deploy").returncode == 2
    assert (home / "asked").read_text().splitlines()[1:] == ["uv sync --quiet --inexact"]
