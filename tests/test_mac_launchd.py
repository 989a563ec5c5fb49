"""The stand-in's launchd, launchctl, su, sudo and sshd behave as macOS's do."""

from __future__ import annotations

import plistlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mac.machine import CHECKOUT, Mac, User, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no stand-in Mac: {'; '.join(missing())}")

IDLE = "while :; do sleep 0.05; done"
STUBBORN = f"trap '' TERM; {IDLE}"


@pytest.fixture(scope="module")
def mac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mac]:
    users = [User("quiet", 503, shell="/usr/bin/false")]
    machine = Mac("mini", tmp_path_factory.mktemp("mac") / "mini", users=users)
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


# What print says


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
    listed = launchctl(mac, "list", "t.running").stdout
    assert f'\t"PID" = {pid};\n' in listed
    assert '\t"OnDemand" = false;\n' in listed
    assert f"{pid}\t0\tt.running\n" in launchctl(mac, "list").stdout
    assert f"\t\t{pid:>8}      - \tt.running\n" in launchctl(mac, "print", "system").stdout
    assert launchctl(mac, "blame", "system/t.running").stdout == "speculative\n"


def test_an_argument_with_line_breaks_is_printed_as_it_is(mac: Mac) -> None:
    bootstrap(mac, "t.raw", "[ -x / ] || {\n  pid = 99\n}\nexec sleep 600\n", RunAtLoad=True)
    text = launchctl(mac, "print", "system/t.raw").stdout
    assert (
        "\targuments = {\n\t\t/bin/sh\n\t\t-c\n\t\t[ -x / ] || {\n  pid = 99\n}\nexec sleep 600\n\n\t}\n\n"
        in text
    )


def test_a_user_may_look_but_not_touch(mac: Mac) -> None:
    bootstrap(mac, "t.look", "exec sleep 600", RunAtLoad=True)
    look = launchctl(mac, "print", "system/t.look", user="alice")
    assert (look.returncode, "state = running" in look.stdout) == (0, True)
    path = write_plist(mac, "t.touch", "exec sleep 600")
    for words, code, text in (
        (("bootstrap", "system", path), 5, "Bootstrap failed: 5: Input/output error\nTry re-running"),
        (("bootout", "system/t.look"), 1, "Boot-out failed: 1: Operation not permitted\nTry re-running"),
        (("disable", "system/t.look"), 1, "Could not disable service: 1: Operation not permitted\n"),
        (("kickstart", "system/t.look"), 1, 'Could not kickstart service "t.look": 1: '),
        (("kill", "TERM", "system/t.look"), 1, "Not privileged to signal service.\n"),
        (("procinfo", "1"), 1, "This subcommand requires root privileges: procinfo\n"),
        (("list", "t.look"), 113, 'Could not find service "t.look" in domain for port\n'),
    ):
        done = launchctl(mac, *words, user="alice")
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(text)
    assert shown(mac, "t.look")["state"] == "running"


def test_what_is_not_there(mac: Mac) -> None:
    where = 'Could not find service "nope" in domain for system\n'
    for words, code, text in (
        (("print", "system/nope"), 113, f"Bad request.\n{where}"),
        (("bootout", "system/nope"), 3, "Boot-out failed: 3: No such process\n"),
        (("kickstart", "-k", "system/nope"), 113, where),
        (("list", "nope"), 113, 'Could not find service "nope" in domain for port\n'),
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
    assert launchctl(mac, "error", "119").stdout == "119: Service is disabled\n"
    assert launchctl(mac, "remove", "nope").returncode == 0


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
    load = launchctl(mac, "load", path)
    assert (load.returncode, load.stderr.splitlines()[0]) == (0, "Load failed: 5: Input/output error")


def test_disabled_labels(mac: Mac) -> None:
    path = write_plist(mac, "t.disabled", "exec sleep 600")
    assert launchctl(mac, "disable", "system/t.disabled").returncode == 0
    assert '\t\t"t.disabled" => disabled\n' in launchctl(mac, "print-disabled", "system").stdout
    done = launchctl(mac, "bootstrap", "system", path)
    assert done.returncode == 119
    text = f"{path}: Service is disabled\nBootstrap failed: 119: Service is disabled\n"
    assert done.stderr == text
    assert launchctl(mac, "enable", "system/t.disabled").returncode == 0
    assert '\t\t"t.disabled" => enabled\n' in launchctl(mac, "print-disabled", "system").stdout
    assert launchctl(mac, "bootstrap", "system", path).returncode == 0
    job = shown(mac, "t.disabled")
    assert (job["state"], job["runs"], job["last exit code"]) == ("not running", "0", "(never exited)")


# Starting


def test_the_environment_of_a_job(mac: Mac) -> None:
    bootstrap(
        mac,
        "t.environment",
        "env; pwd; ulimit -n; ps -o pid=,pgid= -p $$",
        UserName="alice",
        RunAtLoad=True,
        WorkingDirectory="/Users/Shared",
        SoftResourceLimits={"NumberOfFiles": 1024},
        StandardOutPath="/Users/alice/env.log",
        EnvironmentVariables={"HOME": "/elsewhere"},
    )
    log = until(lambda: mac.path("/Users/alice/env.log"))
    lines = until(lambda: shown(mac, "t.environment")["state"] == "not running" and log.read_text())
    words = dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)
    assert words.pop("PATH") == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert (words["HOME"], words["USER"], words["LOGNAME"]) == ("/elsewhere", "alice", "alice")
    assert (words["SHELL"], words["TMPDIR"]) == ("/bin/sh", "/var/folders/zz/502/T/")
    assert words["XPC_SERVICE_NAME"] == "t.environment"
    assert "\n/Users/Shared\n1024\n" in lines
    pid, group = lines.splitlines()[-1].split()
    assert pid == group
    assert log.stat().st_uid == 502


def test_a_root_job_has_no_home(mac: Mac) -> None:
    bootstrap(mac, "t.root", "env; ulimit -n", RunAtLoad=True, StandardOutPath="/var/log/t.root")
    log = mac.path("/var/log/t.root")
    text = until(lambda: shown(mac, "t.root")["state"] == "not running" and log.read_text())
    assert "HOME=" not in text
    assert text.endswith("256\n")


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


def test_keep_alive_and_its_throttle(mac: Mac) -> None:
    bootstrap(mac, "t.loop", "exit 3", KeepAlive=True, ThrottleInterval=2)
    failing = {"KeepAlive": {"SuccessfulExit": False}, "ThrottleInterval": 1}
    bootstrap(mac, "t.failing", "kill -9 $$", **failing)
    bootstrap(mac, "t.content", "exit 0", **failing)
    bootstrap(mac, "t.crash", "kill -SEGV $$", KeepAlive={"Crashed": True}, ThrottleInterval=1)
    bootstrap(mac, "t.once", "exit 4", KeepAlive={"Crashed": True}, ThrottleInterval=1)
    bootstrap(mac, "t.interval", "exit 0", StartInterval=1, ThrottleInterval=1)
    job = until(lambda: (job := shown(mac, "t.loop"))["last exit code"] == "3" and job)
    assert (job["state"], job["runs"]) == ("spawn scheduled", "1")
    time.sleep(2.5)
    assert shown(mac, "t.loop")["runs"] == "2"
    killed, crashed = shown(mac, "t.failing"), shown(mac, "t.crash")
    assert int(killed["runs"]) >= 3
    assert killed["last terminating signal"] == "Killed: 9"
    assert crashed["last terminating signal"] == "Segmentation fault: 11"
    assert int(crashed["runs"]) >= 3
    assert shown(mac, "t.content")["runs"] == shown(mac, "t.once")["runs"] == "1"
    assert int(shown(mac, "t.interval")["runs"]) >= 2
    assert "\tsemaphores = {\n\t\tsuccessful exit => 0\n\t}\n" in (
        launchctl(mac, "print", "system/t.failing").stdout
    )
    for label in ("loop", "failing", "crash", "interval"):
        assert launchctl(mac, "bootout", f"system/t.{label}").returncode == 0


def test_an_interval_runs_one_at_a_time(mac: Mac) -> None:
    """launchd.plist(5): "If the job is running during an interval firing, that interval firing will likewise
    be missed." And no turn comes sooner than the throttle, ten seconds without a ThrottleInterval, allows."""
    script = "echo begin >>/var/log/t.turns; sleep 2.5; echo end >>/var/log/t.turns"
    bootstrap(mac, "t.turns", script, StartInterval=1, ThrottleInterval=1)
    bootstrap(mac, "t.default", "exit 0", StartInterval=1)
    assert shown(mac, "t.turns")["run interval"] == "1 seconds"
    assert shown(mac, "t.turns")["runs"] == "0", "without RunAtLoad the first turn comes after the interval"
    until(lambda: shown(mac, "t.turns")["runs"] == "3", seconds=12)
    launchctl(mac, "bootout", "system/t.turns")
    lines = until(lambda: not shown(mac, "t.turns") and mac.path("/var/log/t.turns").read_text()).splitlines()
    assert lines[:4] == ["begin", "end"] * 2
    assert lines.count("begin") == 3
    assert shown(mac, "t.default")["runs"] == "1"
    launchctl(mac, "bootout", "system/t.default")


# Stopping


def test_bootout_returns_before_the_job_is_gone(mac: Mac) -> None:
    path = bootstrap(mac, "t.drain", STUBBORN, RunAtLoad=True, ExitTimeOut=2)
    pid = shown(mac, "t.drain")["pid"]
    time.sleep(0.2)
    begun = time.monotonic()
    assert launchctl(mac, "bootout", "system/t.drain").returncode == 0
    assert time.monotonic() - begun < 1
    job = shown(mac, "t.drain")
    assert (job["state"], job["pid"]) == ("SIGTERMed", pid)
    early = launchctl(mac, "bootstrap", "system", path)
    assert (early.returncode, early.stderr) == (5, "Bootstrap failed: 5: Input/output error\n")
    until(lambda: not shown(mac, "t.drain"))
    assert 1.8 < time.monotonic() - begun < 4
    assert launchctl(mac, "bootstrap", "system", path).returncode == 0
    assert shown(mac, "t.drain")["runs"] == "1"
    mac.path(path).unlink()


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


def test_kickstart_and_kill(mac: Mac) -> None:
    path = bootstrap(mac, "t.kick", "exec sleep 600", ExitTimeOut=1)
    assert shown(mac, "t.kick")["state"] == "not running"
    first = launchctl(mac, "kickstart", "-p", "system/t.kick").stdout
    assert first == f"{shown(mac, 't.kick')['pid']}\n"
    assert launchctl(mac, "kickstart", "-p", "system/t.kick").stdout == first
    # -k starts what was loaded, not what the file says by now.
    mac.path(path).write_bytes(mac.path(path).read_bytes().replace(b"600", b"700"))
    second = launchctl(mac, "kickstart", "-kp", "system/t.kick").stdout
    assert second not in ("", first)
    job = shown(mac, "t.kick")
    assert (job["runs"], job["last terminating signal"]) == ("2", "Terminated: 15")
    assert len(alive(mac, "sleep 600")) >= 1
    assert not alive(mac, "sleep 700")
    assert launchctl(mac, "kill", "SIGHUP", "system/t.kick").returncode == 0
    until(lambda: shown(mac, "t.kick")["state"] == "not running")
    gone = launchctl(mac, "kill", "TERM", "system/t.kick")
    assert (gone.returncode, gone.stderr) == (3, "No process to signal.\n")
    assert launchctl(mac, "kill", "NOPE", "system/t.kick").returncode == 64
    assert '"LastExitStatus" = 1;' in launchctl(mac, "list", "t.kick").stdout


def test_bootout_of_su_orphans_what_it_started(mac: Mac) -> None:
    words = ["/usr/bin/su", "-", "alice", "-c", "env >/tmp/su.env; exec sleep 5099"]
    bootstrap(mac, "t.su", "", ProgramArguments=words, RunAtLoad=True, EnvironmentVariables={"A": "b"})
    until(lambda: alive(mac, "sleep 5099"))
    job = shown(mac, "t.su")
    assert "username" not in job
    processes = {process.pid: process for process in mac.processes()}
    su = processes[int(job["pid"])]
    (sleep,) = alive(mac, "sleep 5099")
    assert (su.uid, su.command) == (0, " ".join(words))
    assert (processes[sleep].uid, processes[sleep].ppid) == (502, su.pid)
    launchctl(mac, "bootout", "system/t.su")
    until(lambda: not shown(mac, "t.su"), seconds=1)
    assert [process.ppid for process in mac.processes() if process.pid == sleep] == [1]
    mac.run(["/bin/kill", "-9", str(sleep)])
    environment = mac.path("/tmp/su.env").read_text().splitlines()
    given = {line for line in environment if not line.startswith(("PWD=", "_=", "OLDPWD=", "SHLVL="))}
    assert {"HOME=/Users/alice", "USER=alice", "SHELL=/bin/sh"} <= given
    assert not {line for line in given if line.startswith(("A=", "LOGNAME=", "XPC_"))}


def test_su_itself(mac: Mac) -> None:
    assert mac.run(["su", "-", "alice", "-c", "id -un; pwd"]).stdout == "alice\n/Users/alice\n"
    linux = mac.run(["su", "-c", "id", "alice"], check=False)
    assert linux.returncode == 1
    assert "usage: su [-] [-flm] [login [args]]" in linux.stderr
    assert mac.run(["su", "-", "alice", "-c", "exit 7"], check=False).returncode == 7
    assert mac.run(["su", "-", "alice", "-c", "kill -9 $$"], check=False).returncode == 0
    assert (
        mac.run(["dscl", ".", "-read", "/Users/quiet", "UserShell"]).stdout == "UserShell: /usr/bin/false\n"
    )
    nothing = mac.run(["su", "-", "quiet", "-c", "id -un"], check=False)
    assert (nothing.returncode, nothing.stdout) == (1, ""), "its login shell runs nothing"
    unknown = mac.run(["su", "-", "nobody-here"], check=False)
    assert (unknown.returncode, unknown.stderr) == (1, "su: unknown login: nobody-here\n")


# Faults


def test_faults(mac: Mac) -> None:
    path = write_plist(mac, "t.fault", "exec sleep 600", RunAtLoad=True)
    mac.fault("bootstrap-eio", "2")
    mac.fault("never-spawn")
    codes = [launchctl(mac, "bootstrap", "system", path).returncode for _ in range(3)]
    assert codes == [5, 5, 0]
    job = shown(mac, "t.fault")
    assert (job["state"], job["runs"]) == ("not running", "0")
    launchctl(mac, "kickstart", "system/t.fault")
    assert shown(mac, "t.fault")["state"] == "running"
    mac.fault("print-rc", "1")
    assert launchctl(mac, "print", "system/t.fault").returncode == 1
    mac.heal("print-rc")
    mac.fault("bootout-36")
    assert launchctl(mac, "bootout", "system/t.fault").returncode == 36
    until(lambda: not shown(mac, "t.fault"))
    mac.fault("btm-161")
    assert launchctl(mac, "bootstrap", "system", path).returncode == 161
    mac.heal("btm-161")


def test_a_gui_domain_comes_with_a_login(mac: Mac) -> None:
    agent = {"Label": "t.agent", "ProgramArguments": ["/bin/sleep", "600"], "KeepAlive": True}
    file = mac.path("/Users/alice/Library/LaunchAgents/t.agent.plist")
    file.write_bytes(plistlib.dumps(agent))
    mac.log_in("alice")
    text = launchctl(mac, "print", "gui/502/t.agent").stdout
    assert "\tstate = running\n" in text
    assert "\tdomain = gui/502 [100002]\n" in text
    assert launchctl(mac, "list", "t.agent", user="alice").returncode == 0
    assert launchctl(mac, "bootout", "gui/502/t.agent", user="alice").returncode == 0
    mac.log_out()
    assert launchctl(mac, "print", "gui/502").returncode == 112


# SSH and sudo


def test_ssh_and_sudo(mac: Mac) -> None:
    done = subprocess.run(
        mac.ssh_argv("echo $PATH; id -un; sudo -n sh -c 'id -un; echo $PATH $HOME'"),
        capture_output=True,
        text=True,
        timeout=20,
    )
    path = "/usr/bin:/bin:/usr/sbin:/sbin"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}\nadmin\nroot\n{path} /Users/admin\n"
    assert mac.ssh_commands()[-1].startswith("echo $PATH; id -un")
    assert mac.ssh_connections() >= 1
    user = mac.run(["sudo", "-n", "true"], user="alice", check=False)
    assert (user.returncode, user.stderr) == (1, "sudo: a password is required\n")


def test_a_login_reads_what_zsh_reads_for_a_command(mac: Mac) -> None:
    """What comes first in an administrator's PATH is what `sudo` is, there and beyond it."""
    file = mac.path("/Users/admin/.zshenv")
    file.write_text("PATH=/Users/admin/bin:$PATH\n")
    try:
        done = subprocess.run(
            mac.ssh_argv("echo $PATH; sudo -n sh -c 'echo $PATH'"), capture_output=True, text=True, timeout=20
        )
    finally:
        file.unlink()
    assert done.stdout == "/Users/admin/bin:/usr/bin:/bin:/usr/sbin:/sbin\n" * 2


# Power: these come last, for they restart the machine


def test_what_is_loaded_at_boot_and_how_it_ends(mac: Mac) -> None:
    soft = {"RunAtLoad": True, "StandardOutPath": "/var/log/t.end"}
    write_plist(mac, "t.end", f"trap 'echo TERM; sleep 0.3; echo done; exit 0' TERM; {IDLE}", **soft)
    for label in ("t.writable", "t.off", "t.link-target"):
        write_plist(mac, label, "exec sleep 600", RunAtLoad=True)
    mac.run(["/bin/chmod", "g+w", daemon_file("t.writable")])
    mac.run(["/bin/sh", "-c", "cd /Library/LaunchDaemons && mv t.link-target.plist /var/root/x.plist"])
    mac.run(["/bin/ln", "-s", "/var/root/x.plist", daemon_file("t.link-target")])
    launchctl(mac, "disable", "system/t.off")
    first = mac.boot_id
    mac.reboot()
    assert first != mac.boot_id
    assert shown(mac, "t.end")["state"] == "running"
    for label in ("t.writable", "t.off", "t.link-target"):
        assert not shown(mac, label)
    assert '"t.off" => disabled' in launchctl(mac, "print-disabled", "system").stdout
    time.sleep(0.2)
    mac.reboot()
    assert mac.path("/var/log/t.end").read_text() == "TERM\ndone\n"
    time.sleep(0.2)
    state = ["/var/run/t.state", "/private/tmp/t.state", "/var/db/t.state"]
    mac.run(["/usr/bin/touch", *state])
    mac.power_cut()
    assert not mac.pid
    mac.boot()
    left = mac.run(["/bin/ls", *state], check=False).stdout.splitlines()
    assert left == ["/var/db/t.state"], "a boot empties the others"
    assert mac.path("/var/log/t.end").read_text() == "TERM\ndone\n"
    assert shown(mac, "t.end")["state"] == "running"


def test_the_clock_jumps(mac: Mac) -> None:
    """What the clock says moves, kern.boottime too; what was stamped before does not; a timer goes on."""

    def number(*words: str) -> int:
        said = mac.run(words).stdout
        return int(re.findall(r"\d+", said)[0])

    def seconds_of(name: str) -> int:
        return number("stat", "-f", "%m", f"/var/root/{name}")

    bootstrap(mac, "t.timer", "exit 0", StartInterval=1, ThrottleInterval=1)
    old = int(mac.run(["/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).stdout)
    mac.run(["touch", "/var/root/before"])
    before = seconds_of("before")
    booted = number("sysctl", "-n", "kern.boottime")
    started = mac.run(["ps", "-o", "lstart=", "-p", str(old)]).stdout
    for jump, now in ((-3600, -3600), (86400, 82800)):
        mac.set_clock(jump)
        assert abs(number("date", "+%s") - time.time() - now) < 5
        assert number("sysctl", "-n", "kern.boottime") == booted + now
        assert seconds_of("before") == before
        assert mac.run(["ps", "-o", "lstart=", "-p", str(old)]).stdout == started
        mac.run(["touch", "/var/root/after"])
        assert abs(seconds_of("after") - time.time() - now) < 5
        assert abs(number("date", "-r", "/var/root/after", "+%s") - time.time() - now) < 5
    assert mac.run(["ps", "-o", "etime=", "-p", str(old)]).stdout.strip().startswith("23:00:")
    new = mac.run(["/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).stdout.strip()
    assert mac.run(["ps", "-o", "etime=", "-p", new]).stdout.strip().startswith("00:0")
    assert number("date", "-v", "+1H", "+%s") - number("date", "+%s") in (3599, 3600)
    runs = int(shown(mac, "t.timer")["runs"])
    until(lambda: int(shown(mac, "t.timer")["runs"]) > runs + 1, seconds=5)
    mac.run(["/bin/kill", str(old), new])
    mac.reboot()
    assert abs(number("date", "+%s") - time.time() - 82800) < 5, "the clock is the machine's, not the boot's"


def test_a_shutdown_waits_for_the_exit_timeout(mac: Mac) -> None:
    bootstrap(mac, "t.slow", STUBBORN, RunAtLoad=True, ExitTimeOut=1)
    time.sleep(0.2)
    begun = time.monotonic()
    mac.reboot()
    assert 1 <= time.monotonic() - begun < 6


def test_it_goes_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = "import sys, time; from tests.mac.machine import Mac; mac = Mac('x', sys.argv[1]); "
    script += "mac.boot(); print(mac.pid, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script, str(tmp_path / "mac")]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        number = int(owner.stdout.readline())
        mac = Mac.attach(tmp_path / "mac")
        assert mac.pid == number
        owner.kill()
    until(lambda: not mac.pid)
    mac.destroy()


def test_the_command_line(tmp_path: Path) -> None:
    def cli(*words: str) -> str:
        command = [sys.executable, "-m", "tests.mac", "--directory", str(tmp_path / "mac"), *words]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cli("up", "--bare", "--user", "bob")
    try:
        assert cli("run", "--user", "bob", "--", "id", "-un") == "bob\n"
        assert cli("ssh", "id", "-un") == "admin\n"
        assert "print-rc                     = 7" in cli("faults", "print-rc=7")
        cli("reboot")
        cli("reboot", "--hard")
        cli("down", "--keep")
        cli("up")
        assert cli("run", "--", "/bin/sh", "-c", "ls -d /Users/bob /opt/homebrew/bin/*") == (
            "/Users/bob\n/opt/homebrew/bin/brew\n"
        )
    finally:
        cli("down")
    assert not (tmp_path / "mac").exists()


def test_another_mac(tmp_path: Path) -> None:
    """macOS 26 on Intel; its administrator has a password, a user a blank in the home's name."""
    bob = User("bob", 503, home="/Users/Bob Smith", admin=True)
    mac = Mac("tahoe", tmp_path / "mac", arch="x86_64", macos="26.1", users=[bob], sudo_password="s3cret")
    mac.boot()
    try:
        refused = mac.run(["sudo", "-n", "true"], user="admin", check=False)
        assert (refused.returncode, refused.stderr) == (1, "sudo: a password is required\n")
        words = ["sudo", "-S", "-p", "", "id", "-u"]
        assert mac.run(words, user="admin", stdin="wrong\n", check=False).returncode == 1
        assert mac.run(words, user="admin", stdin="s3cret\n").stdout == "0\n"
        assert mac.run(["pwd"], user="bob").stdout == "/Users/Bob Smith\n"
        bootstrap(mac, "t.done", "exit 1", RunAtLoad=True)
        until(lambda: shown(mac, "t.done")["last exit code"] == "1")
        text = launchctl(mac, "print", "system/t.done").stdout
        assert text.count("\t\tstate = active\n") == 2
        assert shown(mac, "t.done")["state"] == "not running"
        assert mac.path("/usr/local/bin").stat().st_uid == 502
    finally:
        mac.destroy()
