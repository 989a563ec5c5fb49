"""What the facts and the deploy files that change nothing make of a Mac on which nothing is deployed."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.contracts.conftest import OURS
from tests.contracts.daemon import Keep
from tests.facts.test_every_fact import every
from tests.host import Host

LABEL, PROFILE, LOG = OURS["LABEL"], OURS["COLIMA_PROFILE"], OURS["LOG_PATH"]

Facts = Mapping[str, Any]


def name_of(fact: type) -> str:
    return f"{fact.__module__.removeprefix('facts.')}.{fact.__name__}"


@pytest.fixture(scope="module")
def user(host: Host) -> str:
    """Whose Homebrew is."""
    script = """
        for homebrew in /opt/homebrew /usr/local/Homebrew; do
            if [ -d "$homebrew" ]; then exec /usr/bin/stat -f %Su "$homebrew"; fi
        done
        exit 1"""
    return host.run(script).stdout.strip()


@pytest.fixture(scope="module")
def said(host: Host, keep: Keep, user: str) -> Facts:
    """Every fact, by its name, in one run."""
    given = {
        "user": user,
        "profile": PROFILE,
        "label": LABEL,
        "log": LOG,
        "log_path": LOG,
        "path": LOG,
        "backup": f"/Users/{user}/none",
        "start_seconds": "60",
        "image": "hello-world",
        "mode": "safe",
    }
    words = []
    for fact in every():
        takes = set(inspect.signature(fact.command).parameters)
        words += [f"facts.{name_of(fact)}", *(f"{key}={given[key]}" for key in given if key in takes)]
    run = host.pyinfra("fact", *words, "--json")
    assert run.status == 0, run.output
    found = {key.split()[0].removeprefix("facts."): answers[host.name] for key, answers in run.json.items()}
    for key, answer in found.items():
        keep(f"facts/{key}.json", json.dumps(answer, indent=1) + "\n")
    return found


# What a Mac without our job and our profile decides of each answer.
BARE: dict[str, Callable[[Any], bool]] = {
    "backup.ProfileContents": lambda it: it["parts"] == [] and it["free_kib"] > 0 and it["writable"],
    "backup.Backups": lambda it: it == [],
    "colima.ColimaProfile": lambda it: (
        it["provisioned"] is False and it["status"] is it["unfinished"] is None
    ),
    "colima.Guest": lambda it: it["answers"] is False,
    "colima.Log": lambda it: it == {"size": 0, "exposed": None},
    "colima.Strays": lambda it: not it["supervised"] and it["processes"] == it["stale"] == [],
    "diagnosis.Diagnosis": lambda it: not it["good"] and it["refused"] and "is not loaded" in it["found"],
    "docker.DockerConfig": lambda it: isinstance(it["cred_helpers"], dict),
    "docker.DockerEngine": lambda it: it["silence"] == "there is no socket" and it["version"] is None,
    "docker.PulledImage": lambda it: it["before"] is it["after"] is None and it["trouble"],
    "docker.Prunable": lambda it: it["goes"] == [] and it["trouble"],
    "homebrew.Formulae": lambda it: (
        abs(it["now"] - time.time()) < 3600
        and it["up"] > 0
        and it["age"] is None
        and it["entitled"] is (True if "qemu" in it["installed"] else None)
        and all(each["version"] and each["linked"] > 1.5e9 for each in it["installed"].values())
    ),
    "homebrew.Homebrew": lambda it: it["brew"].startswith(it["prefix"]) and it["owner"],
    "homebrew.Outdated": lambda it: {each["name"] for each in it} <= {"colima", "lima", "qemu"},
    "launchd.LaunchdJob": lambda it: not it["loaded"] and not it["disabled"] and it["plist_file"] is None,
    "launchd.Milestones": lambda it: it == {},
    "logs.Logs": lambda it: [each["place"] for each in it] == ["absent"] * 4,
    "mac.Mac": lambda it: (
        it["kernel"] == "Darwin"
        and it["arch"] in ("arm64", "x86_64")
        and it["cpus"] > 0
        and it["memory"] >= 1 << 30
        and 0 < it["volume_free"] < it["volume_size"]
        and it["filevault"] in (True, False)
        and it["sleep_minutes"] >= 0
        and 0 < it["boot_time"] < time.time() + 3600
        and it["chip"]
        and it["hypervisor"] in (True, False)
        and it["installs_updates"] in (True, False)
    ),
    "mac.User": lambda it: it["uid"] > 500 and it["home_present"],
    "power.Power": lambda it: all("sleep" in keys for keys in it["sources"].values()) and it["sources"],
    "pulse.Pulse": lambda it: (
        it["state"] == "not looked yet"
        and it["reports"] == it["events"] == []
        and it["since"] is it["maintenance"] is None
    ),
    "rivals.Definitions": lambda it: all(each["label"] != LABEL for each in it),
    "toolkit.Toolkit": lambda it: it["settings"] == {} and not it["safe"],
    "traces.Traces": lambda it: not any(LABEL in path for path in it["paths"]) and it["unfinished"] == [],
}


@pytest.mark.parametrize("name", [name_of(fact) for fact in every()])
def test_fact(said: Facts, name: str) -> None:
    assert BARE[name](said[name]), said[name]


def test_what_a_deploy_would_do(host: Host, keep: Keep, said: Facts) -> None:
    run = host.pyinfra("deploy.py", "--dry", "--diff", "--json")
    keep("deploys/dry.txt", run.stderr)
    assert run.status == 0, run.output
    lacks = len(said["homebrew.Homebrew"]["tools"]) < 4
    assert run.would_change == [
        "Install Colima Pulse's commands",
        *(["Install colima, docker and qemu"] if lacks else []),
        "Keep Colima loaded in launchd",
        "Wait until Colima has started",
        "Wait until Docker is ready",
        "Keep the pulse loaded in launchd",
    ]
    assert f"+ \t<string>{LABEL}</string>" in run.stderr


def test_status(host: Host, keep: Keep) -> None:
    run = host.pyinfra("deploys/status.py")
    keep("deploys/status.txt", run.stdout)
    assert run.status == 1, run.output
    assert f"nothing was deployed here: there is no job {LABEL}" in run.stdout


def test_diagnose(host: Host, keep: Keep) -> None:
    run = host.pyinfra("deploys/diagnose.py")
    assert run.status == 0, run.output
    (file,) = (host.directory / "diagnostics").iterdir()
    text = file.read_text()
    keep("deploys/diagnose.txt", text)
    assert f'Could not find service "{LABEL}" in domain for system' in text
    assert "the answer is incomplete" not in text
