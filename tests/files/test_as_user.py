"""as-user, and the facts about a home: root does not even look there, and nothing there holds it up."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FactBase, StringCommand

from facts.backup import Backups, ProfileContents
from facts.colima import ColimaProfile
from facts.docker import DockerConfig, DockerEngine, PulledImage
from tests.files.conftest import Mac, lines
from tests.files.resets import Home


def ask(mac: Mac, fact: type[FactBase[Any]], **arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a fact's command as pyinfra does, on this Mac."""
    command = fact().command("alice", **arguments)
    assert isinstance(command, StringCommand)
    raw = mac.path(command.get_raw_value())
    # By the outer shell alone: its own deadline is the script's.
    return mac._finish(mac.popen("-c", re.sub(r"^\S+", "exec " + mac.path("/bin/sh"), raw)), "")


FACTS: list[tuple[type[FactBase[Any]], dict[str, str]]] = [
    (ColimaProfile, {"profile": "default"}),
    (ProfileContents, {"profile": "default", "backup": "{unit}"}),
    (Backups, {"backup": "{unit}"}),
    (DockerEngine, {"profile": "default"}),
    (DockerConfig, {}),
    (PulledImage, {"image": "nginx"}),
]
IDS = [fact.__name__ for fact, _ in FACTS]


def arguments(home: Home, given: dict[str, str]) -> dict[str, str]:
    return {key: value.format(unit=home.unit.parent) for key, value in given.items()}


@pytest.mark.parametrize(("fact", "given"), FACTS, ids=IDS)
def test_root_itself_sees_nothing_of_the_home(
    mac: Mac, fact: type[FactBase[Any]], given: dict[str, str]
) -> None:
    home = Home(mac)
    mac.brewed("limactl", "")
    mac.tool("/usr/bin/curl", "echo 'curl: (7) no' >&2; exit 7")
    mac.become("root")
    hidden = mac.root / "hidden"
    real = Path(mac.path("/usr/bin/sudo"))
    real.rename(real.with_name("real-sudo"))
    mac.tool(
        "/usr/bin/sudo",
        f"""real='{real.with_name("real-sudo")}'
        [ -d '{hidden}' ] || exec "$real" "$@"
        mv '{hidden}' '{mac.home}'; "$real" "$@"; status=$?; mv '{mac.home}' '{hidden}'; exit $status""",
    )
    mac.home.rename(hidden)
    done = ask(mac, fact, **arguments(home, given))
    assert (done.returncode, done.stderr) == (0, "")
    found = fact().process(lines(done))
    assert found is not None
    assert hidden.exists()
    assert mac.calls("sudo")[0][:4] == ["-n", "-H", "-u", "alice"]


def test_pipes_and_devices_in_the_place_of_files_hold_nothing_up(mac: Mac) -> None:
    home = Home(mac)
    mac.brewed("limactl", "")
    mac.tool("/usr/bin/curl", "echo 'curl: (7) no' >&2; exit 7")
    unit = home.unit.parent / "a unit"
    instance = mac.home / ".colima/_lima/colima"
    (unit / "instance").mkdir(parents=True)
    for path in (instance / "colima.yaml", unit / "manifest", unit / "instance/lima.yaml"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    (unit / "instance/colima.yaml").symlink_to("/dev/zero")
    for fact, given in FACTS:
        done = ask(mac, fact, **arguments(home, given))
        assert (done.returncode, done.stderr) == (0, "")
        assert fact().process(lines(done)) is not None


@pytest.mark.parametrize("body", ["exec sleep 300", "echo half; exit 1", "kill -KILL $$"])
def test_half_an_answer_is_none(mac: Mac, body: str) -> None:
    done = mac.run("facts/as-user", "alice", "0.3", f"PATH=/usr/bin:/bin; echo begun; {body}", "x")
    assert (done.returncode, done.stdout) == (0, "")


def test_an_answer_is_text(mac: Mac) -> None:
    """pyinfra takes nothing but UTF-8, and a terminal would obey the rest."""
    done = mac.run("facts/as-user", "alice", "5", r"printf 'a\377\033b\tc\303\251\n'", "x")
    assert done.stdout == "a??b\tcé\n"


def test_without_the_user_there_is_no_answer(mac: Mac) -> None:
    done = mac.run("facts/as-user", "nobody", "5", "echo said", "x")
    assert (done.returncode, done.stdout) == (0, "")


def test_arguments_and_the_name_pass_unchanged(mac: Mac) -> None:
    done = mac.run(
        "facts/as-user", "alice", "5", 'printf "[%s]" "$0" "$@"; cat', "a name", "a b", "", "$(x)", stdin="no"
    )
    assert done.stdout == "[a name][a b][][$(x)]\n"
