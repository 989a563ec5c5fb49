"""Every option: its default, what it takes and refuses; `.env`; and how the two reach a host's data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyinfra import logger

import settings
from settings import COMMAND_LINE_ONLY, ENV, Settings, parse_env, read_env
from tests.checkout import copy_repository

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = vars(Settings())
WHOLE = [name for name, default in DEFAULTS.items() if type(default) is int]
YES_NO = [name for name, default in DEFAULTS.items() if type(default) is bool]
NAMES = ["homebrew_user", "colima_profile", "label"]


def parse(**data: Any) -> tuple[Settings, dict[str, str]]:
    """The settings, and what was said of each key that is wrong."""
    found, faults = Settings.parse({"homebrew_user": "alice"} | data)
    return found, {fault.key: str(fault) for fault in faults}


def test_defaults() -> None:
    found, faults = Settings.parse(dict.fromkeys(DEFAULTS, ""))
    assert vars(found) == DEFAULTS
    assert [fault.key for fault in faults] == ["HOMEBREW_USER"]  # the only one that has none
    assert settings.defaults().keys() == {key.lower() for key in ENV} - {"homebrew_user"}


GOOD = [
    ("homebrew_user", "_www.a-1", "_www.a-1"),
    ("colima_profile", "a.b_c-1", "a.b_c-1"),
    ("colima_profile", "defaults", "defaults"),
    ("colima_profile", 123, "123"),  # as --data has it
    ("colima_runtime", "Docker", "docker"),
    ("colima_vm_type", "QEMU", "qemu"),
    *((name, given, int(given)) for name in WHOLE for given in ("7", 1)),
    ("wait_stable_required", "600", 600),
    ("maintain_every_days", "0", 0),
    ("colima_memory", "2.5", 2.5),
    ("colima_memory", 4, 4.0),
    ("colima_extra_args", "--dns=1.1.1.1 --env='A=b c'", ("--dns=1.1.1.1", "--env=A=b c")),
    ("colima_extra_args", ["--network-address", "--dns=1.1.1.1"], ("--network-address", "--dns=1.1.1.1")),
    ("label", "x" * 128, "x" * 128),
    ("log_path", "/Users/a b/$(id)'.log", "/Users/a b/$(id)'.log"),
    ("log_path", "/private/var/log/...log", "/private/var/log/...log"),
    ("clean_other_colima_daemons", "TRUE", "true"),
    ("clean_other_colima_daemons", False, "false"),  # as --data has it
    ("backup_dir_base", "/Volumes/Back up/$(id)/", "/Volumes/Back up/$(id)"),
    ("launch_via", "SU", "su"),
    ("backup", False, "false"),  # as --data has it
    ("confirm_token", "ERASE-it!", "ERASE-it!"),
    ("restore", "default-20261122-101530", "default-20261122-101530"),
    ("only", "web, my file,web", ("web", "my file")),
    ("only", ["web", "db"], ("web", "db")),
    ("only", 123, ("123",)),  # as --data has it
    ("reinstall", "web,db", ("web", "db")),
    ("html", "status.html", "status.html"),
    ("html", "/var/www/a b/.html.html", "/var/www/a b/.html.html"),
    ("power", "Server", "server"),
    *(("prune_mode", mode, mode) for mode in ("none", "safe", "images", "aggressive")),
    *((name, value, True) for name in YES_NO for value in ("Yes", "1", True)),
    *((name, value, False) for name in YES_NO for value in ("NO", "off", False)),
]


@pytest.mark.parametrize("name", DEFAULTS)
def test_good(name: str) -> None:
    cases = [(given, value) for option, given, value in GOOD if option == name]
    assert cases
    for given, value in cases:
        found, faults = parse(**{name: given})
        assert not faults
        assert (given, getattr(found, name)) == (given, value)
        assert type(getattr(found, name)) is type(value)


BAD: dict[str, list[Any]] = {
    **{name: ["a b", "$(id)", "a;b", "-a", "a/b", "../a", "~", "*", " ", ["a"], 1.5, True] for name in NAMES},
    **{
        name: [0, "-1", "two", "1.5", 1.5, "0x10", "1 2", True, "1000001", "9" * 400, "1;id"]
        for name in WHOLE
    },
    "colima_memory": [0, "0.0", "-2", "2GiB", "nan", "1e9", True, "2,5"],
    **{name: ["may/be", "2,"] for name in YES_NO},
    "colima_runtime": ["containerd"],
    "colima_vm_type": ["vz"],
    "clean_other_colima_daemons": ["maybe"],
    "backup_dir_base": ["/", "~/x", "../x", "/a/../b", ["a"]],
    "launch_via": ["root"],
    "html": ["status", "/var/www/", "a/.html/", True, ["a.html"]],
    "backup": ["copy", True],
    "confirm_token": ["two words", "x" * 65, True],
    "restore": ["../x", "/x", ".x", "a b", "$(id)", True],
    "only": [True, "web,", ",", "a/b", "../a", " ", [" "]],
    "power": ["always"],
    "prune_mode": ["all"],
}
BAD["maintain_every_days"] = [each for each in BAD["maintain_every_days"] if each != 0] + ["366"]
BAD["homebrew_user"] = [*BAD["homebrew_user"], "root", "1alice", "a" * 32]
# One directory of ~/.colima, on a disk that takes two spellings for one name.
OWN = ["Default", "COLIMA", "docker.sock", "Ssh_Config"]
BAD["colima_profile"] = [*BAD["colima_profile"], "colima", "colima-work", "a..b", "a-", "my.yaml", *OWN]
BAD["label"] = [*BAD["label"], "com.apple.x", "x" * 129, ".x"]
BAD["wait_stable_required"] = [601]
BAD["log_path"] = [
    "colima.log",
    "~/colima.log",
    "/var/log/colima",
    "/var/log/../x.log",
    "/var/log//colima.log",
]
BAD["log_path"] += ["/./dev/disk0.log", "//dev/x.log", "/dev/x.log", "/ETC/sudoers.log", "/private/etc/x.log"]
BAD["colima_extra_args"] = ["--cpus=4", "--vm-type=vz", "--dns=1.1.1.1 --foreground=false", "-p work", "--"]
# Colima would start the profile `work`.
BAD["colima_extra_args"] += ["--kubernetes work", "--env 'A=b", "--Dns=1", 5]


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    for given in BAD[name]:
        found, faults = parse(**{name: given})
        assert (given, list(faults)) == (given, [name.upper()])
        assert repr(given) in faults[name.upper()]
        # What follows is checked against the default, to say everything at once.
        assert getattr(found, name) == DEFAULTS[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_setting_takes_a_control_character(name: str) -> None:
    """A terminal obeys it, and a property list cannot hold it; wherever it stands in a value that is good."""
    good = next(str(given) for option, given, _ in GOOD if option == name and isinstance(given, str | int))
    for char in "\x00\t\n\x1b\x85\udcff":
        for given in (good[:1] + char + good[1:], good + char, [good, good + char]):
            assert list(parse(**{name: given})[1]) == [name.upper()]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("colima_cpus", "-4", "1 or more"),
        ("colima_memory", "0", "above 0"),
        ("wait_stable_required", "9999", "600"),
        ("launch_via", "root", "user, su"),
        ("colima_vm_type", "vz", "qemu"),
        ("container_debug_script", "maybe", "true or false"),
        ("homebrew_user", "root", "other than root"),
        ("only", "a/b", "names of containers"),
        ("reinstall", "a/b", "true, or names of containers"),
        ("colima_extra_args", "--dns=1 --disk=9", "--disk is Colima Pulse's own"),
    ],
)
def test_a_fault_says_what_is_allowed(key: str, value: str, allowed: str) -> None:
    assert allowed in parse(**{key: value})[1][key.upper()]


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"colima_cpus": "0", "colima_disk": "-20", "label": "a b"}, ["COLIMA_CPUS", "COLIMA_DISK", "LABEL"]),
        # The pulse's own log.
        ({"label": "colima", "log_path": "/var/log/colima.log"}, ["LOG_PATH"]),
        ({"label": "colima"}, ["LOG_PATH"]),
        ({"log_path": "/var/log/other.log"}, []),
        ({"full_reset": True, "restore": "default-1"}, ["RESTORE"]),
        ({"only": "web", "remove_unowned": True}, ["REMOVE_UNOWNED"]),
    ],
)
def test_all_faults_at_once_and_what_does_not_go_together(data: dict[str, Any], wrong: list[str]) -> None:
    assert list(parse(**data)[1]) == wrong


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("\ufeffCOLIMA_CPUS=4\r\nLABEL=a.b\r\n", {"colima_cpus": "4", "label": "a.b"}),
        ("export COLIMA_CPUS=4\n", {"colima_cpus": "4"}),
        ("  colima_cpus = 4  \n", {"colima_cpus": "4"}),
        ("LOG_PATH=\"/a b/c.log\"\nLABEL='x' # y\n", {"log_path": "/a b/c.log", "label": "x"}),
        ("LOG_PATH=/a#b.log\n", {"log_path": "/a#b.log"}),
        ("# COLIMA_CPUS=4\n\n   \n", {}),
        # It is data: nothing in it is executed or expanded.
        ("LOG_PATH=/$(id)/${HOME}/`id`\n", {"log_path": "/$(id)/${HOME}/`id`"}),
    ],
)
def test_env(text: str, values: dict[str, str]) -> None:
    assert parse_env(text) == (values, [])


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("LABEL=a\n\nCOLIMA_CPUS=4\r\nLABEL=b\n# c\nlabel=c\n", {"label": "c", "colima_cpus": "4"},
         ["LABEL", "3 times", "1, 4, 6"]),
        ("\n\n  COLIMA_CPU=4\n", {}, ["COLIMA_CPU ", "line 3", "COLIMA_CPUS"]),
        ("FAVOURITE_COLOUR=blue\n", {}, ["FAVOURITE_COLOUR", "line 1"]),
        ("LABEL=a\nthis is no setting\n", {"label": "a"}, ["line 2"]),
        ("COLIMA_CPUS\n", {}, ["line 1"]),
        ('LABEL="a\nCOLIMA_CPUS=4\n', {"colima_cpus": "4"}, ["line 1"]),
        *((f"# x\n{key}=true\n", {}, [key, "line 2", f"--data {key.lower()}=true"])
          for key in COMMAND_LINE_ONLY),
        ("RESET_BACKUP_MODE=false\n", {}, ["RESET_BACKUP_MODE (line 1)", "--data backup=..,"]),
    ],
)  # fmt: skip
def test_env_warnings(text: str, values: dict[str, str], says: list[str]) -> None:
    found, (warning,) = parse_env(text)
    assert found == values
    assert all(each in warning for each in says)


# What the shell script took, in each of its forms.
OF_THE_SCRIPT = """\
# =====================
# Our Mac in the cupboard
# =====================
HOMEBREW_USER=alice
  export   COLIMA_PROFILE = work
export LABEL="com.example.docker"   # in quotes
LOG_PATH='/var/log/docker #1.log'
BACKUP_DIR_BASE=./backups	# behind a tab
COLIMA_CPUS= 4 # cores
COLIMA_MEMORY=     # as it is
COLIMA_DISK=#20
\tPRUNE_MODE=safe
#PRUNE_MODE=images
WAIT_QEMU_MAX=
WRITE_ENV_EXAMPLE=false
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_env_of_the_shell_script_is_taken_as_it_is(end: str) -> None:
    values, warnings = parse_env(OF_THE_SCRIPT.replace("\n", end))
    assert warnings == []
    assert values == {
        "homebrew_user": "alice",
        "colima_profile": "work",
        "label": "com.example.docker",
        "log_path": "/var/log/docker #1.log",
        "backup_dir_base": "./backups",
        "colima_cpus": "4",
        "colima_memory": "",
        "colima_disk": "",
        "prune_mode": "safe",
        "wait_qemu_max": "",
    }


def test_danger_is_taken_from_the_command_line_alone() -> None:
    assert {"FULL_RESET", "FORCE_YES", "NO_CONFIRM", "RESTORE", "DELETE_VM", "BACKUP"} <= set(
        COMMAND_LINE_ONLY
    )
    data = {"label": "a", "full_reset": True, "restart": True, "backup": "false"}
    kept, warnings = settings.without_danger(data, {"restart": True})
    assert kept == {"label": "a", "restart": True}
    assert [warning.split()[0] for warning in warnings] == ["full_reset", "backup"]
    assert settings.without_danger(data, data) == (data, [])


def test_read_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *values: said.append(text % values))
    env = tmp_path / ".env"
    assert read_env(env) == {}
    read_env.cache_clear()
    env.write_bytes(b"LABEL=a\nLABEL=b\xff\n")
    assert read_env(env) == read_env(env) == {"label": "b\ufffd"}
    # Once, however many hosts and groups ask.
    assert [each[:5] for each in said] == [".env:"]


def test_env_example_and_table() -> None:
    """What the repository says of its options."""
    text = (ROOT / ".env.example").read_text()
    example = dict(re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", text))
    page = (ROOT / "docs/settings.md").read_text()
    table = re.findall(r"(?m)^\| `([A-Z_]+)` \| *(?:`([^`]*)`)?[^|]*\|", page)
    assert set(example) == set(ENV)
    assert [key for key, _ in table] == list(ENV)
    for said in (example, dict(table)):
        found, _ = parse(
            **{key.lower(): value for key, value in said.items() if value and key != "HOMEBREW_USER"}
        )
        assert vars(found) == DEFAULTS | {"homebrew_user": "alice"}
    # Copied as it is, it sets nothing.
    assert parse_env(text) == ({}, [])


def data_of(checkout: Path, inventory: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """A host's data as pyinfra has it, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", inventory, "debug-inventory", *arguments],
        cwd=checkout,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYINFRA_")},
        capture_output=True,
        text=True,
        check=True,
    )
    data: dict[str, Any] = json.loads(re.findall(r"(?s)--> Data:\n(\{.*?\n\})", done.stdout + done.stderr)[0])
    return data, done.stdout + done.stderr


def test_host_data(tmp_path: Path) -> None:
    """Defaults < .env < the inventory's host data < --data."""
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    data, _ = data_of(checkout, "@local")
    assert data == json.loads(json.dumps(settings.defaults())) | {
        "_sudo": True,
        "_shell_executable": "/bin/sh",
    }
    (checkout / ".env").write_text(
        "HOMEBREW_USER=alice\nCOLIMA_CPUS=3\nCOLIMA_MEMORY=3\nCOLIMA_DISK=30\nFULL_RESET=true\n"
    )
    (checkout / "inventory.py").write_text('macs = [("@local", {"colima_memory": 5, "colima_disk": 50})]\n')
    data, said = data_of(checkout, "inventory.py", "--data", "colima_disk=70", "--data", "restart=true")
    found, faults = Settings.parse(data)
    assert not faults
    assert (found.homebrew_user, found.label) == ("alice", DEFAULTS["label"])
    assert (found.colima_cpus, found.colima_memory, found.colima_disk) == (3, 5.0, 70)
    assert found.restart
    assert "FULL_RESET (line 5)" in said
    assert "full_reset" not in data
