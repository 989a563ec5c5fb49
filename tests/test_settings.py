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
from settings import COMMAND_LINE_ONLY, Settings, env_options, parse_env, read_env
from tests.checkout import copy_repository

ROOT = Path(__file__).resolve().parents[1]
# What README.md and .env.example say of them is held against these below; the rest is one run's.
DEFAULTS = vars(Settings())
OF_ONE_RUN = {
    "restart": False,
    "full_reset": False,
    "backup": "move",
    "confirm_token": "DESTROY",
    "no_confirm": False,
    "force_yes": False,
    "restore": "",
    "only": (),
    "reinstall": False,
    "remove_unowned": False,
    "pull": False,
    "delete_vm": False,
    "lines": 50,
    "follow": False,
}
WHOLE = [name for name, default in DEFAULTS.items() if type(default) is int]
YES_NO = [name for name, default in DEFAULTS.items() if type(default) is bool]
NAMES = ["homebrew_user", "colima_profile", "label"]
HOSTILE = ["a b", 'a"b', "$(id)", "`id`", "a;b", "a\nb", "a\n", "-a", "a/b", "../a", "~", "*", " ", "\0"]


def parse(**data: Any) -> tuple[Settings, dict[str, str]]:
    """The settings, and what was said of each key that is wrong."""
    found, faults = Settings.parse({"homebrew_user": "alice"} | data)
    return found, {fault.key: str(fault) for fault in faults}


def test_defaults() -> None:
    found, faults = Settings.parse({})
    assert vars(found) == DEFAULTS
    assert [fault.key for fault in faults] == ["HOMEBREW_USER"]  # the only one that has none
    assert {key: DEFAULTS[key] for key in map(str.lower, COMMAND_LINE_ONLY)} == OF_ONE_RUN
    env = {key: value for key, value in DEFAULTS.items() if key not in {"homebrew_user", *OF_ONE_RUN}}
    assert settings.defaults() == env


GOOD = [
    ("homebrew_user", "alice", "alice"),
    ("homebrew_user", "_www.a-1", "_www.a-1"),
    ("colima_profile", "work", "work"),
    ("colima_profile", "a.b_c-1", "a.b_c-1"),
    ("colima_profile", 123, "123"),  # as --data has it
    ("colima_runtime", "Docker", "docker"),
    ("colima_vm_type", "QEMU", "qemu"),
    *((name, given, int(given)) for name in WHOLE for given in ("7", 1)),
    ("wait_stable_required", "600", 600),
    ("container_tries", "100", 100),
    ("colima_memory", "2.5", 2.5),
    ("colima_memory", 4, 4.0),
    ("colima_memory", "0.5", 0.5),
    ("colima_extra_args", "--dns=1.1.1.1 --env='A=b c'", ("--dns=1.1.1.1", "--env=A=b c")),
    ("colima_extra_args", "--mount='$(id) x':w", ("--mount=$(id) x:w",)),
    ("colima_extra_args", ["--network-address", "--dns=1.1.1.1"], ("--network-address", "--dns=1.1.1.1")),
    ("label", "com.example.colima", "com.example.colima"),
    ("label", "x" * 128, "x" * 128),
    ("colima_profile", "defaults", "defaults"),
    ("log_path", "/Users/a b/$(id)'.log", "/Users/a b/$(id)'.log"),
    ("log_path", "/private/var/log/...log", "/private/var/log/...log"),
    ("clean_other_colima_daemons", "TRUE", "true"),
    ("clean_other_colima_daemons", False, "false"),  # as --data has it
    ("backup_dir_base", "/Volumes/Back up/$(id)/", "/Volumes/Back up/$(id)"),
    ("backup_dir_base", "backups", "backups"),
    ("launch_via", "SU", "su"),
    ("backup", "Move", "move"),
    ("backup", False, "false"),  # as --data has it
    ("confirm_token", "ERASE-it!", "ERASE-it!"),
    ("restore", "default-20261122-101530", "default-20261122-101530"),
    ("only", "web", ("web",)),
    ("only", "web, my file,web", ("web", "my file")),
    ("only", ["web", "db"], ("web", "db")),
    ("only", 123, ("123",)),  # as --data has it
    ("reinstall", "web,db", ("web", "db")),
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


BAD = [
    *((name, value) for name in NAMES for value in [*HOSTILE, ["a"], 1.5]),
    *(
        (name, value)
        for name in WHOLE
        for value in (0, "-1", "two", "1.5", 1.5, "1e3", "0x10", "1 2", True, "1000001", "9" * 400, "1;id")
    ),
    *(("colima_memory", value) for value in (0, "0.0", "-2", "2GiB", "nan", "1e9", True, "2,5")),
    *((name, value) for name in YES_NO if name != "reinstall" for value in ("maybe", "2")),
    ("homebrew_user", "root"),
    ("homebrew_user", "1alice"),
    ("homebrew_user", "a" * 32),
    ("colima_profile", "colima"),
    ("colima_profile", "colima-work"),
    ("colima_profile", "a..b"),
    ("colima_profile", "a-"),
    ("colima_profile", "my.yaml"),
    # One directory of ~/.colima, on a disk that takes two spellings for one name.
    *(("colima_profile", name) for name in ("Default", "DEFAULT", "COLIMA", "docker.sock", "Ssh_Config")),
    ("colima_runtime", "containerd"),
    ("colima_vm_type", "vz"),
    ("colima_vm_type", "krunkit"),
    ("label", "com.apple.x"),
    ("label", "x" * 129),
    ("label", ".x"),
    ("log_path", "colima.log"),
    ("log_path", "~/colima.log"),
    ("log_path", "/var/log/"),
    ("log_path", "/"),
    ("log_path", "/var/log/../x"),
    *(
        ("log_path", path)
        for path in (
            "/var/log/colima",
            "/var/log//colima.log",
            "//dev/null.log",
            "/./dev/disk0.log",
            "/var/./colima.log",
            "/dev/disk0.log",
            "/etc/sudoers.log",
            "/ETC/sudoers.log",
            "/private/etc/sudoers.log",
        )
    ),
    ("clean_other_colima_daemons", "maybe"),
    *(("backup_dir_base", value) for value in ("/", "~/x", "../x", "/a/../b", "a\nb", "a\0b", ["a"])),
    ("launch_via", "root"),
    ("backup", "copy"),
    ("backup", True),
    *(("confirm_token", value) for value in ("two words", "a\n", "x" * 65, True)),
    *(("restore", value) for value in ("../x", "/x", ".x", "a b", "$(id)", True)),
    *(("only", value) for value in (True, "web,", ",", "a/b", "../a", "a\nb", " ", [" "])),
    *(("reinstall", value) for value in ("web,,db", "a/b", "a\nb")),
    ("power", "always"),
    ("wait_stable_required", 601),
    ("container_tries", 101),
]


@pytest.mark.parametrize("name", sorted({name for name, _ in BAD}))
def test_bad(name: str) -> None:
    for given in (given for option, given in BAD if option == name):
        found, faults = parse(**{name: given})
        assert (given, list(faults)) == (given, [name.upper()])
        assert repr(given) in faults[name.upper()]
        # What follows is checked against the default, to say everything at once.
        assert getattr(found, name) == DEFAULTS[name]


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_setting_takes_a_control_character(name: str) -> None:
    """A terminal obeys it, and a property list cannot hold it; wherever it stands in a value that is good."""
    good = next(str(given) for option, given, _ in GOOD if option == name and isinstance(given, str | int))
    for char in "\x00\t\n\r\x1b\x7f\x85\x9b\udcff\ufffe":
        for given in (good[:1] + char + good[1:], good + char, [good, good + char]):
            assert list(parse(**{name: given})[1]) == [name.upper()]


def test_empty_is_the_default() -> None:
    found, faults = parse(**dict.fromkeys(DEFAULTS, ""))
    assert vars(found) == DEFAULTS
    assert list(faults) == ["HOMEBREW_USER"]


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
    ],
)
def test_a_fault_says_what_is_allowed(key: str, value: str, allowed: str) -> None:
    assert allowed in parse(**{key: value})[1][key.upper()]


def test_all_faults_at_once() -> None:
    wrong = {"colima_cpus": "0", "colima_memory": "much", "colima_disk": "-20", "label": "a b"}
    _, faults = Settings.parse(wrong)
    assert [fault.key for fault in faults] == [
        "HOMEBREW_USER",
        "COLIMA_CPUS",
        "COLIMA_MEMORY",
        "COLIMA_DISK",
        "LABEL",
    ]
    assert all(repr(value) in " ".join(map(str, faults)) for value in wrong.values())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--cpu 4", "--cpu"),
        ("--cpus=4", "--cpus"),
        ("--memory=4", "--memory"),
        ("--disk=9", "--disk"),
        ("--profile=x", "--profile"),
        ("--runtime=containerd", "--runtime"),
        ("--vm-type=vz", "--vm-type"),
        ("--dns=1.1.1.1 --foreground=false", "--foreground"),
        ("--edit", "--edit"),
        ("-p work", "-p"),
        ("-c4", "-c4"),
        ("--", "--"),
        ("work", "work"),
        ("--dns=1.1.1.1 work", "work"),
        # Kubernetes takes no value, so Colima would start the profile `work`.
        ("--kubernetes work", "work"),
        ("--env 'A=b", "quoted"),
        ("'--dns=a\nb'", "line break"),
        ("--Dns=1", "--Dns"),
        (5, "flags"),
    ],
)
def test_extra_args_refused(flags: object, named: str) -> None:
    found, faults = parse(colima_extra_args=flags)
    assert named in faults["COLIMA_EXTRA_ARGS"]
    assert found.colima_extra_args == ()


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        # The pulse's own log.
        ({"label": "colima", "log_path": "/var/log/colima.log"}, ["LOG_PATH"]),
        ({"label": "colima"}, ["LOG_PATH"]),
        ({"log_path": "/var/log/other.log"}, []),
        ({"full_reset": True, "restore": "default-1"}, ["RESTORE"]),
        ({"only": "web", "remove_unowned": True}, ["REMOVE_UNOWNED"]),
    ],
)
def test_what_does_not_go_together(data: dict[str, Any], wrong: list[str]) -> None:
    assert list(parse(**data)[1]) == wrong


def test_a_yes_or_no_is_not_a_name() -> None:
    """`--data colima_profile=true` arrives as True, and must not become a profile "True"."""
    found, faults = parse(colima_profile=True)
    assert faults or found.colima_profile == "true"


def test_printed() -> None:
    printed = str(parse(colima_memory=4)[0])
    assert all(f"{name.upper()}=" in printed for name in DEFAULTS)
    assert "COLIMA_MEMORY=4.0" in printed


# .env


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("COLIMA_CPUS=4", {"colima_cpus": "4"}),
        ("\ufeffCOLIMA_CPUS=4\r\nLABEL=a.b\r\n", {"colima_cpus": "4", "label": "a.b"}),
        ("export COLIMA_CPUS=4\n", {"colima_cpus": "4"}),
        ("  COLIMA_CPUS = 4  \n", {"colima_cpus": "4"}),
        ("colima_cpus=4", {"colima_cpus": "4"}),
        ("LOG_PATH=\"/a b/c.log\"\nLABEL='x'\n", {"log_path": "/a b/c.log", "label": "x"}),
        ("COLIMA_CPUS=4 # four\nLABEL='x' # y\n", {"colima_cpus": "4", "label": "x"}),
        ("LOG_PATH=/a#b.log\n", {"log_path": "/a#b.log"}),
        ("LOG_PATH='/a # b.log'\n", {"log_path": "/a # b.log"}),
        ("# COLIMA_CPUS=4\n\n   \n", {}),
        ("COLIMA_CPUS=\n", {"colima_cpus": ""}),
        # It is data: nothing in it is executed or expanded.
        ("LOG_PATH=/$(id)/${HOME}/`id`\n", {"log_path": "/$(id)/${HOME}/`id`"}),
    ],
)
def test_env(text: str, values: dict[str, str]) -> None:
    assert parse_env(text) == (values, [])


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        # The last one counts.
        (
            "LABEL=a\n\nCOLIMA_CPUS=4\r\nLABEL=b\n# c\nlabel=c\n",
            {"label": "c", "colima_cpus": "4"},
            ["LABEL", "3 times", "1, 4, 6"],
        ),
        ("\n\n  COLIMA_CPU=4\n", {}, ["COLIMA_CPU ", "line 3", "COLIMA_CPUS"]),
        ("FAVOURITE_COLOUR=blue\n", {}, ["FAVOURITE_COLOUR", "line 1"]),
        ("LABEL=a\nthis is no setting\n", {"label": "a"}, ["line 2"]),
        ("COLIMA_CPUS\n", {}, ["line 1"]),
        ('LABEL="a\nCOLIMA_CPUS=4\n', {"colima_cpus": "4"}, ["line 1"]),
        ("=4\n", {}, ["line 1"]),
        *(
            (f"# x\n{key}=true\n", {}, [key, "line 2", f"--data {key.lower()}=true"])
            for key in [*COMMAND_LINE_ONLY, "RESET_HOME", "reset_all".upper()]
        ),
        ("full_reset=true\n", {}, ["FULL_RESET", "--data full_reset=true"]),
    ],
)
def test_env_warnings(text: str, values: dict[str, str], says: list[str]) -> None:
    found, warnings = parse_env(text)
    assert found == values
    assert len(warnings) == 1
    assert all(each in warnings[0] for each in says)


def test_danger_is_never_read_from_a_file() -> None:
    assert {"FULL_RESET", "FORCE_YES", "NO_CONFIRM", "RESTART"} <= set(COMMAND_LINE_ONLY)
    assert not set(COMMAND_LINE_ONLY) & set(env_options())


def test_danger_is_taken_from_the_command_line_alone() -> None:
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
    assert len(said) == 1  # however many hosts and groups ask
    assert ".env" in said[0]


# What the repository says of its options


def test_env_example() -> None:
    text = (ROOT / ".env.example").read_text()
    named = dict(re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", text))
    assert set(named) == set(env_options())
    assert vars(parse(**{key.lower(): value for key, value in named.items() if value})[0]) == DEFAULTS | {
        "homebrew_user": "alice"
    }
    # Copied as it is, it sets nothing but what has to be filled in.
    assert parse_env(text) == ({"homebrew_user": ""}, [])


def test_readme() -> None:
    table = re.findall(r"(?m)^\| `([A-Z_]+)` \| *(?:`([^`]*)`)?[^|]*\|", (ROOT / "README.md").read_text())
    assert [key for key, _ in table] == list(env_options())
    found, _ = parse(**{key.lower(): value for key, value in table if key != "HOMEBREW_USER"})
    assert vars(found) == DEFAULTS | {"homebrew_user": "alice"}


# Through pyinfra's own command line


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "colima-pulse"
    copy_repository(directory)
    return directory


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


def test_defaults_are_host_data(checkout: Path) -> None:
    data, _ = data_of(checkout, "@local")
    assert (data.pop("_sudo"), data.pop("_shell_executable")) == (True, "/bin/sh")
    assert data == json.loads(json.dumps(settings.defaults()))


def test_precedence(checkout: Path) -> None:
    """Defaults < .env < the inventory's host data < --data."""
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
