"""The stand-in Mac's commands, run from the checkout on any Linux: no booted Mac, no root.

What they must say and refuse is in the man pages of macOS and in recorded outputs.
"""

from __future__ import annotations

import fnmatch
import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
OVERLAY = HERE / "mac" / "overlay"
DIRECTORIES = ("bin", "usr/bin", "sbin", "usr/sbin")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the commands stand on Linux' own")

PASSWD = """\
root:x:0:0:System Administrator:/var/root:/bin/sh
admin:x:501:20:Admin:/Users/admin:/bin/zsh
alice:x:502:20:Alice Liddell:/Users/alice:/bin/zsh
bob:x:503:20:Bob:/Users/Bob Smith:/bin/bash
"""


def tool(name: str) -> Path:
    return next(path for d in DIRECTORIES if (path := OVERLAY / d / name).is_file())


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> list[str]:
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    return ["bash", "--posix"] if request.param == "bash" else ["dash"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    database = tmp_path / "db"
    database.mkdir()
    (database / "commands.log").touch()
    (database / "passwd").write_text(PASSWD)
    (database / "group").write_text("wheel:x:0:root\nstaff:x:20:root\nadmin:x:80:root,admin\n")
    return database


@pytest.fixture
def run(shell: list[str], database: Path, tmp_path: Path) -> Iterator[Run]:
    """run("dscl", ".", "-list", "/Users"): under both shells, in a directory of its own."""
    work = tmp_path / "work"
    work.mkdir()
    base = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "HOME": str(work),
        "STANDIN_DB": str(database),
        "STANDIN_GNU": "/usr/bin",
        "STANDIN_LIBEXEC": str(OVERLAY / "usr/libexec/standin"),
        "STANDIN_PASSWD": str(database / "passwd"),
        "STANDIN_GROUP": str(database / "group"),
    }

    def call(name: str, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        path = tool(name)
        first = path.read_text().splitlines()[0]
        python = [sys.executable, "-ISE"]
        interpreter = python if "python" in first else ["perl"] if "perl" in first else shell
        argv = [*interpreter, str(path), *arguments]
        return subprocess.run(
            argv, input=stdin, capture_output=True, text=True, env={**base, **env}, cwd=work, timeout=20
        )

    yield call


def machine(database: Path, **facts: object) -> None:
    (database / "machine.sh").write_text("".join(f"{key}='{value}'\n" for key, value in facts.items()))


# (command, stdout, exit status); the machine: macOS 15.5 on Apple silicon.
SAYS: list[tuple[str, str, int]] = [
    ("dscl . -read /Users/alice NFSHomeDirectory", "NFSHomeDirectory: /Users/alice\n", 0),
    ("dscl . -read /Users/bob NFSHomeDirectory", "NFSHomeDirectory:\n /Users/Bob Smith\n", 0),
    ("dscl . -read /Users/alice RealName UniqueID", "RealName:\n Alice Liddell\nUniqueID: 502\n", 0),
    ("dscl . read /Users/alice UserShell PrimaryGroupID", "UserShell: /bin/zsh\nPrimaryGroupID: 20\n", 0),
    ("dscl . -read /Users/nobody-here", "", 56),
    ("dscl . -read /Elsewhere/alice", "", 185),
    ("dscl /Other -read /Users/alice", "", 185),
    ("dscl . -create /Users/eve", "", 40),
    ("dscl . -read /Users/alice Nonsense", "", 0),
    ("dscl . -list /Users", "root\nadmin\nalice\nbob\n", 0),
    ("dscl . -read /Groups/admin GroupMembership", "GroupMembership: root admin\n", 0),
    ("sw_vers -productVersion", "15.5\n", 0),
    ("sw_vers --productVersion", "15.5\n", 0),
    ("sw_vers", "ProductName:\t\tmacOS\nProductVersion:\t\t15.5\nBuildVersion:\t\t24F74\n", 0),
    ("uname", "Darwin\n", 0),
    ("uname -m", "arm64\n", 0),
    ("uname -s -r", "Darwin 24.5.0\n", 0),
    ("arch", "arm64\n", 0),
    ("sysctl -n hw.ncpu hw.memsize", "8\n17179869184\n", 0),
    ("sysctl hw.ncpu", "hw.ncpu: 8\n", 0),
    ("sysctl -n kern.boottime", "{ sec = 1722409523, usec = 0 } Wed Jul 31 07:05:23 2024\n", 0),
    ("sysctl -n hw.optional.arm64 sysctl.proc_translated kern.ostype", "1\n0\nDarwin\n", 0),
    ("sysctl -n hw.nonsense", "", 1),
    ("fdesetup status", "FileVault is Off.\n", 0),
    ("fdesetup isactive", "false\n", 1),
    ("id -P alice", "alice:********:502:20::0:0:Alice Liddell:/Users/alice:/bin/zsh\n", 0),
    ("id -F bob", "Bob\n", 0),
    ("id -u nobody-here", "", 1),
    ("stat -f %Su /dev/console", "root\n", 0),
    ("stat -f %HT%T /", "Directory/\n", 0),
    ("stat -f %Lp /nowhere", "", 1),
    ("date -u -r 0 +%F", "1970-01-01\n", 0),
    ("date -j -u -f %Y-%m-%d 2024-02-29 +%j", "060\n", 0),
    ("date -u -r 86400 -v+1d +%F", "1970-01-03\n", 0),
    ("date -r 0 +%s%N", "0N\n", 0),
    ("seq 1 0", "1\n0\n", 0),
    ("seq 3", "1\n2\n3\n", 0),
    ("readlink -f /nowhere/at/all", "", 1),
    ("readlink -f /", "/\n", 0),
    ("pgrep -x no-such-program", "", 1),
    ("ps -p 99999999 -o pid=", "", 1),
    ("ps -o pid= -p 1", "    1\n", 0),
    ("ps -o pid,ppid -p 1", "  PID  PPID\n    1     0\n", 0),
    ("md5 -q /dev/null", "", 1),
    ("xargs echo never", "", 0),
]


@pytest.mark.parametrize(("command", "stdout", "status"), SAYS, ids=[row[0] for row in SAYS])
def test_says_what_macos_says(run: Run, command: str, stdout: str, status: int) -> None:
    name, *arguments = command.split()
    done = run(name, *arguments)
    assert (done.stdout, done.returncode) == (stdout, status), done.stderr


ERRORS = [
    ("dscl . -read /Users/nobody-here", "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)\n"),
    ("dscl . -read /Elsewhere/x", "<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)\n"),
    ("dscl . -read /Users/alice X", "No such key: X\n"),
    ("sysctl -n hw.nonsense", "sysctl: unknown oid 'hw.nonsense'\n"),
    ("id -u nobody-here", "id: nobody-here: no such user\n"),
    ("ps -o pid,cmd -p 1", "ps: cmd: keyword not found\n"),
    ("stat -f %z /nowhere", "stat: /nowhere: lstat: No such file or directory\n"),
]


@pytest.mark.parametrize(("command", "stderr"), ERRORS, ids=[row[0] for row in ERRORS])
def test_complains_as_macos_does(run: Run, command: str, stderr: str) -> None:
    name, *arguments = command.split()
    assert run(name, *arguments).stderr == stderr


# What works with GNU's and fails on a Mac: (argv, exit status, a part of stderr).
GNUISMS: list[tuple[list[str], int, str]] = [
    (["stat", "-c", "%U", "/"], 1, "stat: illegal option -- c"),
    (["stat", "--format=%U", "/"], 1, "stat: illegal option -- -"),
    (["date", "-d", "yesterday"], 1, "date: illegal option -- d"),
    (["date", "--date=yesterday"], 1, "date: illegal option -- -"),
    (["sed", "-r", "s/a/b/"], 1, "sed: illegal option -- r"),
    (["sed", "--expression", "s/a/b/"], 1, "sed: illegal option -- -"),
    (["sed", "-i", "s/a/b/", "file"], 1, ""),
    (["sed", "-n", "/x/{p}"], 1, "extra characters at the end of p command"),
    (["sed", "a text"], 1, "expected \\"),
    (["sed", "/x/,+1d"], 1, "expected context address"),
    (["grep", "-P", "x"], 2, "grep: invalid option -- P"),
    (["grep", "-oP", "x"], 2, "grep: invalid option -- P"),
    (["xargs", "-d", ",", "echo"], 1, "xargs: illegal option -- d"),
    (["xargs", "--no-run-if-empty", "echo"], 1, "xargs: illegal option -- -"),
    (["find", "-name", "x"], 1, "find: illegal option -- n"),
    (["find"], 1, "usage: find"),
    (["find", ".", "-printf", "%p"], 1, "find: -printf: unknown primary or operator"),
    (["mktemp", "--suffix=.x"], 1, "mktemp: illegal option -- -"),
    (["readlink", "-m", "/"], 1, "readlink: illegal option -- m"),
    (["ps", "--ppid", "1"], 1, "ps: illegal option -- -"),
    (["ps", "-ax", "--no-headers"], 1, "ps: illegal option -- -"),
    (["ps", "-o", "cmd="], 1, "ps: no valid keywords"),
    (["pgrep", "-c", "x"], 2, "pgrep: illegal option -- c"),
    (["pgrep", "--full", "x"], 2, "pgrep: illegal option -- -"),
    (["cp", "-t", "a", "b"], 64, "cp: illegal option -- t"),
    (["mv", "-T", "a", "b"], 64, "mv: illegal option -- T"),
    (["ln", "-T", "a", "b"], 1, "ln: illegal option -- T"),
    (["ln", "-r", "a", "b"], 1, "ln: illegal option -- r"),
    (["ls", "--color"], 1, "ls: illegal option -- -"),
    (["rm", "--force", "a"], 64, "rm: illegal option -- -"),
    (["mkdir", "--parents", "a"], 64, "mkdir: illegal option -- -"),
    (["chmod", "--reference=/", "a"], 1, "chmod: illegal option -- -"),
    (["chown", "--from=root", "root", "a"], 1, "chown: illegal option -- -"),
    (["head", "-n", "-1"], 1, "head: illegal line count -- -1"),
    (["tail", "--pid=1", "-f", "x"], 1, "tail: illegal option -- -"),
    (["wc", "-L"], 1, "wc: illegal option -- L"),
    (["df", "--output=avail", "/"], 64, "df: illegal option -- -"),
    (["du", "--max-depth=1"], 64, "du: illegal option -- -"),
    (["base64", "-w0"], 64, "base64: illegal option -- w"),
    (["sleep", "infinity"], 1, "usage: sleep"),
    (["sleep", "1s"], 1, "usage: sleep"),
    (["touch", "-d", "yesterday", "x"], 1, "touch: out of range"),
    (["cut", "--complement", "-f1"], 1, "cut: illegal option -- -"),
    (["hostname", "-I"], 1, "hostname: illegal option -- I"),
    (["uname", "-i"], 1, "uname: illegal option -- i"),
    (["id", "--user"], 1, "id: illegal option -- -"),
    (["install", "-D", "a", "b"], 64, "install: illegal option -- D"),
    (["script", "-c", "true"], 1, "script: illegal option -- c"),
    (["awk", "BEGIN { print strftime() }"], 2, "awk: calling undefined function strftime"),
    (["awk", 'BEGIN { print gensub("a", "b", 1) }'], 2, "awk: calling undefined function gensub"),
    (["awk", "{ print a == b ? 1 : 2 }"], 2, "awk: syntax error"),
]


@pytest.mark.parametrize(("argv", "status", "stderr"), GNUISMS, ids=[" ".join(row[0]) for row in GNUISMS])
def test_refuses_gnuisms(run: Run, argv: list[str], status: int, stderr: str) -> None:
    done = run(*argv)
    assert (done.returncode, done.stdout) == (status, "")
    assert stderr in done.stderr and done.stderr


# (argv, stdin, stdout): portable uses, which must go on working, and the differences that are silent.
FILTERS: list[tuple[list[str], str, str]] = [
    (["sed", "-n", "s/^NFSHomeDirectory: *//p; s/^ //p"], "NFSHomeDirectory: /Users/x\n", "/Users/x\n"),
    (["sed", "-E", "s/(a+)b/<\\1>/"], "aab\n", "<aa>\n"),
    (["sed", "-e", "s/'/Q/", "-e", "$!d"], "a\nit's\n", "itQs\n"),
    (["sed", "s/x/\\n/"], "axb\n", "anb\n"),
    (["sed", "s/a\\+/X/"], "aa+\n", "aX\n"),
    (["sed", "-n", "/p/{p;}"], "p\n", "p\n"),
    (["grep", "-oE", "P[0-9]+"], "P12\n", "P12\n"),
    (["grep", "-e", "-P"], "-P\n", "-P\n"),
    (["awk", "-F:", "{print $2}"], "a:b\n", "b\n"),
    (["awk", "--version"], "", "awk version 20200816\n"),
    (["xargs", "-n", "1", "echo", "-"], "a b\n", "- a\n- b\n"),
    (["xargs", "-I{}", "echo", "<{}>"], "a\n", "<a>\n"),
    (["wc", "-l"], "a\nb\n", "       2\n"),
    (["head", "-1"], "a\nb\n", "a\n"),
    (["head", "-n", "1"], "a\nb\n", "a\n"),
    (["tail", "-1"], "a\nb\n", "b\n"),
    (["tail", "-n", "+2"], "a\nb\nc\n", "b\nc\n"),
    (["tail", "-r"], "a\nb\n", "b\na\n"),
    (["tr", "-d", "b"], "abc\n", "ac\n"),
    (["base64"], "x" * 60, "eHh4" * 20 + "\n"),
    (["base64", "-D"], "eHh4\n", "xxx"),
    (["cut", "-d:", "-f2"], "a:b\n", "b\n"),
    (["md5", "-q"], "abc", "900150983cd24fb0d6963f7d28e17f72\n"),
    (
        ["scutil"],
        "show State:/Users/ConsoleUser\n",
        "<dictionary> {\n  GID : 20\n  Name : loginwindow\n  UID : 0\n}\n",
    ),
]


@pytest.mark.parametrize(("argv", "stdin", "stdout"), FILTERS, ids=[" ".join(row[0]) for row in FILTERS])
def test_filters(run: Run, argv: list[str], stdin: str, stdout: str) -> None:
    done = run(*argv, stdin=stdin)
    assert (done.stdout, done.returncode, done.stderr) == (stdout, 0, "")


def test_intel_and_rosetta(run: Run, database: Path) -> None:
    machine(database, arch="x86_64", macos="12.2")
    assert run("uname", "-mr").stdout == "21.2.0 x86_64\n"
    assert run("sysctl", "-n", "hw.optional.arm64").returncode == 1
    assert run("sysctl", "-n", "sysctl.proc_translated").stderr == (
        "sysctl: unknown oid 'sysctl.proc_translated'\n"
    )
    assert run("arch").stdout == "i386\n"
    assert run("arch", "-arm64", "true").returncode == 1
    assert run("readlink", "-f", "/").returncode == 1
    assert run("sw_vers", "--productVersion").returncode == 1
    machine(database, arch="arm64", rosetta=1)
    assert run("uname", "-m").stdout == "x86_64\n"
    assert run("sysctl", "-n", "hw.optional.arm64", "sysctl.proc_translated").stdout == "1\n1\n"


def test_filevault(run: Run, database: Path) -> None:
    machine(database, filevault="on")
    assert run("fdesetup", "status").stdout == "FileVault is On.\n"
    assert (run("fdesetup", "isactive").stdout, run("fdesetup", "isactive").returncode) == ("true\n", 0)


def test_console_user(run: Run, database: Path) -> None:
    machine(database, console_user="daemon")
    assert run("stat", "-f", "%Su", "/dev/console").stdout == "daemon\n"
    machine(database, console_user="alice")
    assert "Name : alice\n  UID : 502\n" in run("scutil", stdin="show State:/Users/ConsoleUser\n").stdout


def test_power_settings_are_kept(run: Run) -> None:
    first = run("pmset", "-g")
    assert first.stdout.startswith("System-wide power settings:\n SleepDisabled\t\t0\nCurrently in use:\n")
    rows = dict(re.findall(r"^ (.+?)\s+(\d+)(?: \(.*\))?$", first.stdout, re.M))
    assert rows["sleep"] == "1" and rows["autorestart"] == "0" and rows["Sleep On Power Button"] == "1"
    done = run("pmset", "-a", "sleep", "0", "autorestart", "1")
    if os.geteuid():
        assert (done.returncode, done.stdout) == (77, "'pmset' must be run as root...\n")
        return
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = dict(re.findall(r"^ (.+?)\s+(\d+)$", run("pmset", "-g", "custom").stdout, re.M))
    assert (rows["sleep"], rows["autorestart"]) == ("0", "1")
    assert run("systemsetup", "-getrestartpowerfailure").stdout == "Restart After Power Failure: On\n"
    assert run("systemsetup", "-setrestartpowerfailure", "off").stdout == "setrestartpowerfailure: Off\n"
    assert run("systemsetup", "-getrestartpowerfailure").stdout == "Restart After Power Failure: Off\n"


def test_power_settings_of_a_portable(run: Run, database: Path) -> None:
    machine(database, portable="yes")
    custom = run("pmset", "-g", "custom").stdout
    assert re.findall(r"^\S.*:$", custom, re.M) == ["Battery Power:", "AC Power:"]
    assert run("pmset", "-g", "cap").stdout.startswith("Capabilities for AC Power:\n standby\n")
    assert "autorestart" not in custom + run("pmset", "-g").stdout + run("pmset", "-g", "cap").stdout
    if os.geteuid():
        return
    done = run("pmset", "-b", "disksleep", "0")
    assert done.stderr.splitlines()[:3] == [
        'Warning: Idle sleep timings for "Battery Power" may not behave as expected.',
        "- Display sleep should have a lower timeout than system sleep.",
        "- Disk sleep should be non-zero whenever system sleep is non-zero.",
    ]
    found = re.findall(r"^ disksleep\s+(\d+)$", run("pmset", "-g", "custom").stdout, re.M)
    assert found == ["0", "10"]


def test_stat_as_pyinfra_asks(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("12345")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    form = "user=%Su group=%Sg mode=%Sp atime=%a mtime=%m ctime=%c size=%z %N%SY"
    text = run("stat", "-f", form, str(file)).stdout
    assert re.fullmatch(
        rf"user=\S+ group=\S+ mode=-rw-r----- atime=\d+ mtime=\d+ ctime=\d+ size=5 {re.escape(str(file))}\n",
        text,
    )
    assert run("stat", "-f", form, str(link)).stdout.endswith(f"{link} -> {file}\n")
    assert (
        run("stat", "-f", "%Lp %OLp %Mp%Lp %p %HT", str(file)).stdout == "640 640 0640 100640 Regular File\n"
    )
    assert run("stat", "-L", "-f", "%z", str(link)).stdout == "5\n"


def test_sed_in_place(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    assert run("sed", "-i.bak", "s/a/b/", str(file)).returncode == 0
    assert (file.read_text(), (tmp_path / "f.bak").read_text()) == ("b\n", "a\n")
    assert run("sed", "-i", "", "-e", "s/b/c/", str(file)).returncode == 0
    assert file.read_text() == "c\n"
    assert run("sed", "-i", "s/c/d/", str(file)).returncode != 0
    assert file.read_text() == "c\n"


def test_mktemp(run: Run, tmp_path: Path) -> None:
    made = run("mktemp", f"{tmp_path}/x.XXXXXX").stdout.strip()
    assert Path(made).stat().st_mode & 0o777 == 0o600 and not made.endswith("XXXXXX")
    made = run("mktemp", "-d", "-t", "pyinfra.XXXXXX", TMPDIR=str(tmp_path)).stdout.strip()
    assert re.search(r"/pyinfra\.XXXXXX\.\w{8}$", made) and Path(made).is_dir()
    literal = f"{tmp_path}/x.XXXXXX.plist"
    assert run("mktemp", literal).stdout == literal + "\n"
    again = run("mktemp", literal)
    assert (again.returncode, again.stderr) == (1, f"mktemp: mkstemp failed on {literal}: File exists\n")


def test_cp_of_a_directory_with_a_slash_copies_its_contents(run: Run, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "f").touch()
    (tmp_path / "to").mkdir()
    assert run("cp", "-R", f"{tmp_path}/from/", f"{tmp_path}/to").returncode == 0
    assert (tmp_path / "to" / "f").exists()
    assert run("cp", "-R", f"{tmp_path}/from", f"{tmp_path}/to").returncode == 0
    assert (tmp_path / "to" / "from" / "f").exists()


def test_df_columns(run: Run) -> None:
    head, row = run("df", "-k", "/").stdout.splitlines()
    assert head.split()[:5] == ["Filesystem", "1024-blocks", "Used", "Available", "Capacity"]
    assert "%iused" in head and row.endswith(" /") and row.split()[3].isdigit()
    assert "iused" not in run("df", "-P", "-k", "/").stdout
    assert "512-blocks" in run("df", "/").stdout


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    argv = ["perl", "-e", "sleep 60", "stand-in-sleeper", "x" * 100]
    with subprocess.Popen(argv) as process:
        time.sleep(0.05)
        yield process
        process.kill()


def test_ps(run: Run, sleeper: subprocess.Popen[bytes]) -> None:
    pid = str(sleeper.pid)
    wide = run(
        "ps", "-axww", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "uid=", "-o", "command="
    ).stdout
    (line,) = (line for line in wide.splitlines() if line.split()[0] == pid)
    assert line.endswith("perl -e sleep 60 stand-in-sleeper " + "x" * 100)
    assert line.split()[1:4] == [str(os.getpid()), str(os.getpgid(sleeper.pid)), str(os.geteuid())]
    narrow = run("ps", "-ax", "-o", "pid=", "-o", "command=").stdout
    assert max(map(len, narrow.splitlines())) == 79
    assert len(run("ps", "-w", "-o", "command=", "-p", pid).stdout.rstrip("\n")) == 131
    assert run("ps", "-ww", "-o", "command=", "-o", "pid=", "-p", pid).stdout.startswith("perl -e sleep 60 ")
    assert re.fullmatch(r"00:0\d\n", run("ps", "-o", "etime=", "-p", pid).stdout)
    assert len(run("ps", "-o", "lstart=", "-p", pid).stdout.rstrip()) == 24
    assert str(tool("ps")) not in run("ps", "-axww").stdout.replace(f"perl {tool('ps')}", "")


def test_pgrep_spares_itself_and_its_ancestors(run: Run, sleeper: subprocess.Popen[bytes]) -> None:
    pid = str(sleeper.pid)
    found = run("pgrep", "-f", "stand-in-sleeper")
    assert (found.stdout, found.returncode) == (pid + "\n", 0)
    assert run("pgrep", "-fl", "stand-in-sleeper").stdout.startswith(f"{pid} perl -e sleep 60 stand-in")
    assert run("pgrep", "-x", "perl", "-P", str(os.getpid())).returncode in (0, 1)
    assert pid in run("pgrep", "-P", str(os.getpid())).stdout.split()
    assert str(os.getpid()) not in run("pgrep", "-f", ".").stdout.split()
    assert str(os.getpid()) in run("pgrep", "-a", "-f", ".").stdout.split()
    assert run("pgrep").returncode == 2
    assert run("pkill", "-TERM", "-f", "stand-in-sleeper").returncode == 0
    assert sleeper.wait(5) == -15


def test_plutil(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.plist"
    value: dict[str, Any] = {"Label": "x", "KeepAlive": True, "ProgramArguments": ["/a", "b c"], "N": 3}
    file.write_bytes(plistlib.dumps(value, fmt=plistlib.FMT_BINARY))
    assert run("plutil", "-lint", str(file)).stdout == f"{file}: OK\n"
    assert run("plutil", str(file)).stdout == f"{file}: OK\n"
    assert json.loads(run("plutil", "-convert", "json", "-o", "-", str(file)).stdout) == value
    assert plistlib.loads(run("plutil", "-convert", "xml1", "-o", "-", str(file)).stdout.encode()) == value
    for path, text in (
        ("Label", "x"),
        ("ProgramArguments", "2"),
        ("ProgramArguments.1", "b c"),
        ("KeepAlive", "true"),
    ):
        assert run("plutil", "-extract", path, "raw", "-o", "-", str(file)).stdout == text + "\n"
    missing = run("plutil", "-extract", "Nope", "raw", str(file))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert '"Label" => "x"' in run("plutil", "-p", str(file)).stdout
    bad = tmp_path / "bad.plist"
    bad.write_text("<plist><dict>")
    done = run("plutil", "-lint", str(bad))
    assert done.returncode == 1 and done.stdout.startswith(f"{bad}: ")
    assert run("plutil", "-lint", str(tmp_path / "none")).returncode == 1


def test_defaults(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "com.apple.loginwindow.plist"
    file.write_bytes(plistlib.dumps({"autoLoginUser": "alice", "GuestEnabled": False}))
    domain = str(file.with_suffix(""))
    assert run("defaults", "read", domain, "autoLoginUser").stdout == "alice\n"
    assert run("defaults", "read", domain, "GuestEnabled").stdout == "0\n"
    done = run("defaults", "read", domain, "Nope")
    assert done.returncode == 1
    assert f"The domain/default pair of ({domain}, Nope) does not exist" in done.stderr


def test_dscl_plist(run: Run) -> None:
    text = run("dscl", "-plist", ".", "-read", "/Users/bob", "NFSHomeDirectory").stdout
    assert plistlib.loads(text.encode()) == {"dsAttrTypeStandard:NFSHomeDirectory": ["/Users/Bob Smith"]}


def test_commands_are_recorded(run: Run, database: Path) -> None:
    log = database / "commands.log"
    for argv in (["dscl", ".", "-list", "/Users"], ["ps", "-p", "1"], ["plutil", "-lint", "a\tb\nc"]):
        run(*argv)
        words = log.read_text().splitlines()[-1].split("\t")
        assert abs(int(words[0]) - time.time()) < 30
        assert words[1] == str(os.geteuid()) and words[2].isdigit()
        assert words[3:] == [word.replace("\t", "\\t").replace("\n", "\\n") for word in argv]
    log.unlink()
    assert run("sw_vers", "-productVersion").stdout == "15.5\n"
    assert run("pgrep", "no-such-program").stderr == ""
    assert not log.exists()


def test_absent_commands_are_plain_paths_and_not_in_the_overlay() -> None:
    lines = [line for line in (HERE / "mac/absent.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == len(set(lines))
    assert all(re.fullmatch(r"/usr/s?bin/[^/ ]+", line) for line in lines)
    names = {line.rpartition("/")[2] for line in lines}
    assert {
        "timeout",
        "setsid",
        "flock",
        "nproc",
        "getent",
        "systemctl",
        "ip",
        "ss",
        "python3",
        "docker",
    } <= names
    ours = {path.name for d in DIRECTORIES for path in (OVERLAY / d).glob("*")}
    assert not {name for name in names for own in ours if fnmatch.fnmatch(own, name)}
    assert not names & {"sh", "dash", "bash", "perl", "curl", "sudo", "env", "shasum", "which", "mawk"}


def test_shell_is_clean() -> None:
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not checker:
        pytest.skip("no shellcheck here")
    scripts = [p for p in OVERLAY.rglob("*") if p.is_file() and p.read_bytes().startswith(b"#!/bin/sh")]
    library = OVERLAY / "usr/libexec/standin/lib.sh"
    argv = [checker, "-x", "-s", "sh", "-P", str(HERE.parent), *map(str, scripts), str(library)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
