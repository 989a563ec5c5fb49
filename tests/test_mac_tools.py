"""The stand-in Mac's commands, run from the checkout on any Linux: no booted Mac, no root.

What they must say and refuse is in the man pages of macOS and in recorded outputs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
OVERLAY = HERE / "mac" / "overlay"
DIRECTORIES = ("usr/bin", "usr/sbin")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the stand-in Mac's commands stand on Linux' own"
)

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


UPDATES = "/Library/Preferences/com.apple.SoftwareUpdate"

# (command, stdout, exit status); the machine: macOS 15.5 on Apple silicon.
SAYS: list[tuple[str, str, int]] = [
    ("dscl . -read /Users/alice NFSHomeDirectory", "NFSHomeDirectory: /Users/alice\n", 0),
    ("dscl . -read /Users/bob NFSHomeDirectory", "NFSHomeDirectory:\n /Users/Bob Smith\n", 0),
    ("dscl . -read /Users/alice RealName UniqueID", "RealName:\n Alice Liddell\nUniqueID: 502\n", 0),
    ("dscl . -read /Users/nobody-here", "", 56),
    ("dscl . -read /Elsewhere/alice", "", 185),
    ("dscl . -read /Users/alice Nonsense", "", 0),
    ("sw_vers -productVersion", "15.5\n", 0),
    ("sw_vers", "ProductName:\t\tmacOS\nProductVersion:\t\t15.5\nBuildVersion:\t\t24F74\n", 0),
    ("uname", "Darwin\n", 0),
    ("uname -m", "arm64\n", 0),
    ("sysctl -n hw.ncpu hw.memsize", "8\n17179869184\n", 0),
    ("sysctl hw.ncpu", "hw.ncpu: 8\n", 0),
    ("sysctl -n kern.boottime", "{ sec = 1722409523, usec = 0 } Wed Jul 31 07:05:23 2024\n", 0),
    ("sysctl -n hw.optional.arm64 kern.ostype", "1\nDarwin\n", 0),
    ("sysctl -n hw.nonsense", "", 1),
    (
        "sysctl machdep.cpu.brand_string kern.hv_support",
        "machdep.cpu.brand_string: Apple M2\nkern.hv_support: 1\n",
        0,
    ),
    (f"defaults read {UPDATES} AutomaticallyInstallMacOSUpdates", "0\n", 0),
    (f"defaults read {UPDATES} Nonsense", "", 1),
    ("defaults read /Library/Preferences/nonsense", "", 1),
    ("codesign -d --entitlements - --xml /nowhere", "", 1),
    ("fdesetup status", "FileVault is Off.\n", 0),
    ("id -u nobody-here", "", 1),
    ("stat -f %Su /dev/console", "root\n", 0),
    ("stat -f %HT%T /", "Directory/\n", 0),
    ("stat -f %Lp /nowhere", "", 1),
    ("date -u -r 0 +%F", "1970-01-01\n", 0),
    ("date -r 0 +%s%N", "0N\n", 0),
    ("readlink -f /nowhere/at/all", "", 1),
    ("readlink -f /", "/\n", 0),
    ("ps -p 99999999 -o pid=", "", 1),
    ("ps -o pid= -p 1", "    1\n", 0),
    ("ps -o pid,ppid -p 1", "  PID  PPID\n    1     0\n", 0),
    ("md5 -q /dev/null", "", 1),
    ("ifconfig en9", "", 1),
]


@pytest.mark.parametrize(("command", "stdout", "status"), SAYS, ids=[row[0] for row in SAYS])
def test_says_what_macos_says(run: Run, command: str, stdout: str, status: int) -> None:
    name, *arguments = command.split()
    done = run(name, *arguments)
    assert (done.stdout, done.returncode) == (stdout, status), done.stderr


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
    (["xargs", "--no-run-if-empty", "echo"], 1, "xargs: illegal option -- -"),
    (["find", "-name", "x"], 1, "find: illegal option -- n"),
    (["find"], 1, "usage: find"),
    (["find", ".", "-printf", "%p"], 1, "find: -printf: unknown primary or operator"),
    (["mktemp", "--suffix=.x"], 1, "mktemp: illegal option -- -"),
    (["readlink", "-m", "/"], 1, "readlink: illegal option -- m"),
    (["ps", "--ppid", "1"], 1, "ps: illegal option -- -"),
    (["ps", "-ax", "--no-headers"], 1, "ps: illegal option -- -"),
    (["ps", "-o", "cmd="], 1, "ps: no valid keywords"),
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
    (["sleep", "infinity"], 1, "usage: sleep"),
    (["sleep", "1s"], 1, "usage: sleep"),
    (["touch", "-d", "yesterday", "x"], 1, "touch: out of range"),
    (["cut", "--complement", "-f1"], 1, "cut: illegal option -- -"),
    (["hostname", "-I"], 1, "hostname: illegal option -- I"),
    (["uname", "-i"], 1, "uname: illegal option -- i"),
    (["id", "--user"], 1, "id: illegal option -- -"),
    (["install", "-D", "a", "b"], 64, "install: illegal option -- D"),
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
    (["cut", "-d:", "-f2"], "a:b\n", "b\n"),
    (["md5", "-q"], "abc", "900150983cd24fb0d6963f7d28e17f72\n"),
]


@pytest.mark.parametrize(("argv", "stdin", "stdout"), FILTERS, ids=[" ".join(row[0]) for row in FILTERS])
def test_filters(run: Run, argv: list[str], stdin: str, stdout: str) -> None:
    done = run(*argv, stdin=stdin)
    assert (done.stdout, done.returncode, done.stderr) == (stdout, 0, "")


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


def test_stat_tells_when_a_file_was_made(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    made = run("stat", "-f", "%B", str(path)).stdout
    assert 0 <= time.time() - int(made) < 60
    path.chmod(0o600)
    os.utime(path, (0, 0))
    assert run("stat", "-f", "%m %B", str(path)).stdout == f"0 {made}"


def test_shell_is_clean() -> None:
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not checker:
        pytest.skip("no shellcheck here")
    files = [path for path in OVERLAY.rglob("*") if path.is_file() and not path.is_symlink()]
    scripts = [path for path in files if path.read_bytes().startswith(b"#!/bin/sh")]
    library = OVERLAY / "usr/libexec/standin/lib.sh"
    argv = [checker, "-x", "-s", "sh", "-P", str(HERE.parent), *map(str, scripts), str(library)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
