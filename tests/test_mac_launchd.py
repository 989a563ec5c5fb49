"""The stand-in's launchd, launchctl, su, sudo and sshd behave as macOS's do."""

from __future__ import annotations

import plistlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mac.machine import Mac, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no stand-in Mac: {'; '.join(missing())}")

IDLE = "while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def mac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mac]:
    machine = Mac("mini", tmp_path_factory.mktemp("mac") / "mini")
    machine.boot()
    yield machine
    machine.destroy()


def launchctl(mac: Mac, *words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    return mac.run(["/bin/launchctl", *words], user=user, check=False)


def daemon_file(label: str) -> str:
    return f"/Library/LaunchDaemons/{label}.plist"


def write_plist(mac: Mac, label: str, script: str, **keys: Any) -> str:
    plist = {"Label": label, "ProgramArguments": ["/bin/sh", "-c", script], **keys}
    path = mac.path(daemon_file(label))
    path.write_bytes(plistlib.dumps(plist))
    path.chmod(0o644)
    return daemon_file(label)


def bootstrap(mac: Mac, label: str, script: str, **keys: Any) -> str:
    path = write_plist(mac, label, script, **keys)
    done = launchctl(mac, "bootstrap", "system", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return path


def shown(mac: Mac, label: str) -> dict[str, str]:
    """The lines `key = value` of one level that `print` shows; empty when the job is not loaded."""
    done = launchctl(mac, "print", f"system/{label}")
    if done.returncode:
        assert done.returncode == 113
        return {}
    assert done.stdout.startswith(f"system/{label} = {{\n")
    assert done.stdout.endswith("\n}\n")
    found: dict[str, str] = {}
    for key, value in re.findall(r"^\t([a-z][a-z ]*) = (.*[^{\n])$", done.stdout, re.M):
        found.setdefault(key, value)
    return found


def until(what: Callable[[], Any], seconds: float = 8) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.03)
    return value


def alive(mac: Mac, words: str) -> list[int]:
    return [process.pid for process in mac.processes() if process.command.startswith(words)]


def test_a_running_job(mac: Mac) -> None:
    bootstrap(
        mac,
        "t.running",
        "exec sleep 600",
        UserName="alice",
        KeepAlive=True,
        ExitTimeOut=300,
        ThrottleInterval=60,
        ProcessType="Interactive",
        StandardOutPath="/Users/alice/running.log",
        EnvironmentVariables={"COLOUR": "blue", "NUMBER": 5},
    )
    text = launchctl(mac, "print", "system/t.running").stdout
    job = shown(mac, "t.running")
    pid = int(job["pid"])
    assert [process.uid for process in mac.processes() if process.pid == pid] == [502]
    assert {key: job[key] for key in ("state", "runs", "exit timeout", "minimum runtime")} == {
        "state": "running",
        "runs": "1",
        "exit timeout": "300",
        "minimum runtime": "60",
    }
    assert (job["username"], job["group"]) == ("alice", "staff")
    assert (job["last exit code"], job["spawn type"]) == ("(never exited)", "interactive (4)")
    assert job["properties"] == "keepalive | runatload | inferred program"
    assert (
        "\tstate = running\n\n\tprogram = /bin/sh\n"
        "\targuments = {\n\t\t/bin/sh\n\t\t-c\n\t\texec sleep 600\n\t}\n\n"
        "\tstdout path = /Users/alice/running.log\n"
        "\tdefault environment = {\n\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin\n\t}\n\n"
        "\tenvironment = {\n\t\tCOLOUR => blue\n\t\tXPC_SERVICE_NAME => t.running\n\t}\n\n"
        "\tdomain = system\n\tusername = alice\n\tgroup = staff\n\n"
        "\tminimum runtime = 60\n\texit timeout = 300\n\truns = 1\n"
    ) in text
    assert "state = active" not in text
    assert f"\t\t{pid:>8}      - \tt.running\n" in launchctl(mac, "print", "system").stdout


def test_what_is_not_there(mac: Mac) -> None:
    where = 'Could not find service "nope" in domain for system\n'
    for words, code, text in (
        (("print", "system/nope"), 113, f"Bad request.\n{where}"),
        (("bootout", "system/nope"), 3, "Boot-out failed: 3: No such process\n"),
        (("kickstart", "-k", "system/nope"), 113, where),
        (("print", "gui/501"), 112, "Bad request.\nCould not find domain for user gui: 501\n"),
        (
            ("bootout", "gui/501/homebrew.mxcl.colima"),
            125,
            "Boot-out failed: 125: Domain does not support specified action\n",
        ),
        (
            ("bootstrap", "system", "/nope.plist"),
            2,
            "/nope.plist: No such file or directory\nBootstrap failed: 2: No such file or directory\n",
        ),
        (
            ("bootout", "system", "/nope.plist"),
            2,
            "/nope.plist: No such file or directory\nBoot-out failed: 2: No such file or directory\n",
        ),
        (("bootout", "--wait", "system/nope"), 64, None),
        (("print", "nope"), 64, None),
        (("bootstrap", "system"), 64, None),
        (("frobnicate",), 1, None),
    ):
        done = launchctl(mac, *words)
        assert (words, done.returncode, done.stdout) == (words, code, "")
        assert done.stderr == (text or done.stderr) != ""


def test_what_bootstrap_refuses(mac: Mac) -> None:
    path = write_plist(mac, "t.refused", "exec sleep 600")
    bad = f"{path}: Path had bad ownership/permissions\n"
    bad += "Bootstrap failed: 122: Path had bad ownership/permissions\n"
    mac.run(["/bin/chmod", "664", path])
    assert launchctl(mac, "bootstrap", "system", path).stderr == bad
    mac.run(["/bin/chmod", "644", path])
    mac.run(["/usr/sbin/chown", "alice", path])
    assert launchctl(mac, "bootstrap", "system", path).returncode == 122
    mac.run(["/usr/sbin/chown", "root", path])
    assert launchctl(mac, "bootout", "system", path).returncode == 5
    mac.path(path).write_text("<plist>")
    assert launchctl(mac, "bootstrap", "system", path).returncode == 5
    bootstrap(mac, "t.refused", "exec sleep 600", RunAtLoad=True)
    again = launchctl(mac, "bootstrap", "system", path)
    assert (again.returncode, again.stderr) == (5, "Bootstrap failed: 5: Input/output error\n")


def test_what_cannot_be_started(mac: Mac) -> None:
    bootstrap(mac, "t.log", "exec sleep 600", UserName="alice", RunAtLoad=True, StandardOutPath="/var/log/a")
    program = "/usr/local/bin/absent"
    bootstrap(mac, "t.missing", "", ProgramArguments=[program], RunAtLoad=True, ThrottleInterval=1)
    job = until(lambda: (job := shown(mac, "t.missing"))["last exit code"] != "(never exited)" and job)
    assert (job["state"], job["last exit code"]) == ("spawn scheduled", "78: EX_CONFIG")
    assert job["properties"] == "runatload | penalty box | inferred program"
    job = until(lambda: (job := shown(mac, "t.log"))["last exit code"] == "78: EX_CONFIG" and job)
    assert job["state"] == "not running"
    # It is started when its program appears.
    mac.run(["/bin/sh", "-c", f"mkdir -p /usr/local/bin; ln -s /bin/pwd {program}"])
    until(lambda: shown(mac, "t.missing")["last exit code"] == "0")


def test_bootstrap_may_answer_5_long_after_print_answers_113(mac: Mac) -> None:
    path = bootstrap(mac, "t.linger", "exec sleep 600", RunAtLoad=True)
    mac.fault("bootout-lingers", "1")
    try:
        assert launchctl(mac, "bootout", "system/t.linger").returncode == 0
        until(lambda: not shown(mac, "t.linger"))
        assert launchctl(mac, "bootstrap", "system", path).returncode == 5
        until(lambda: launchctl(mac, "bootstrap", "system", path).returncode == 0)
    finally:
        mac.heal("bootout-lingers")


def test_only_the_job_gets_term_then_its_group(mac: Mac) -> None:
    child = f"(trap 'echo child >>/var/log/t.group; exit' TERM; {IDLE}) & "
    own = "perl -e 'setpgrp; exec qw(sleep 5077)' & "
    bootstrap(mac, "t.group", f"{child}{own}trap 'sleep 0.5; exit 0' TERM; wait; wait", RunAtLoad=True)
    until(lambda: alive(mac, "sleep 5077"))
    time.sleep(0.2)
    launchctl(mac, "bootout", "system/t.group")
    time.sleep(0.2)
    assert not mac.path("/var/log/t.group").exists()
    until(lambda: not shown(mac, "t.group"))
    until(lambda: mac.path("/var/log/t.group").exists())
    (orphan,) = alive(mac, "sleep 5077")
    assert [process.ppid for process in mac.processes() if process.pid == orphan] == [1]
    mac.run(["/bin/kill", str(orphan)])
    until(lambda: not alive(mac, "sleep 5077"))


# SSH and sudo
