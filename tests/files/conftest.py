"""Run the scripts of files/ for real, on Linux and on a Mac: its paths become paths in the test's directory.

`/usr/bin/X`, `/bin/X` and their sbin become ROOT/tools/X, which holds links to the few tools that are the
same everywhere, and stand-ins that the test writes; what it does not write is not there. PATH leads nowhere.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import files

# A Mac's is the one true awk, which refuses what mawk and gawk take; elsewhere it has a name of its own.
AWK = "awk" if sys.platform == "darwin" else "original-awk"
# The same on a Mac, as far as the scripts use them; test_lint.py looks after the options.
SAME = "cat chmod cmp date env head iconv kill ln mkdir mktemp mv perl readlink rm sed sleep tail tr".split()
PLACES = re.compile(
    r"(?<![\w/)}])(?:(?:/usr)?/s?bin/(?P<tool>[a-z][\w-]*)|(?P<place>/opt/homebrew|/usr/local|/Library/(?:ColimaPulse|Launch(?:Daemons|Agents))|/var/run/colima-pulse))"
)
SHELLS = {"dash": ("dash", "ash"), "bash": ("bash",)}

# A stand-in: notes its arguments and, of Homebrew's, its environment, then does what the test says.
STAND_IN = r"""#!/bin/sh
{{ printf '%s\037' "$@"; printf '\036'; }} >>{calls}
{note}
PATH=/usr/bin:/bin:/usr/sbin:/sbin
{body}
"""

# Shell for a stand-in of stat(1), which has other options on each system: fields [-L] NAME... PATH
FIELDS = r"""fields() {
    perl -e '
        my $follow = $ARGV[0] eq "-L" && shift;
        my $path = pop;
        my %at = (dev => 0, ino => 1, mode => 2, nlink => 3, size => 7);
        my @of = $follow ? stat $path : lstat $path or exit 1;
        $of[2] = sprintf "%o", $of[2] & 07777;
        print join(":", @of[@at{@ARGV}]), "\n"' -- "$@"
}
"""

# ps(1) of macOS: the test's table and the real processes that name its directory; this test's user is 501.
# Without -ww a line ends after 79 columns; what cannot be shown is in octal.
PS = r"""#!{perl}
use strict;
my ($root, %given, @columns, @rows) = q({root});
while (@ARGV and $ARGV[0] =~ /\A-([axw]+|[op])\z/) {{
    shift;
    if ($1 eq "o") {{ push @columns, shift =~ /\A([a-z]+)=\z/ ? $1 : die "ps: a header" }}
    elsif ($1 eq "p") {{ $given{{p}} = shift }}
    else {{ $given{{$_}}++ for split //, $1 }}
}}
die "ps: an argument that ps does not know" if @ARGV;
open my $table, "<", "$root/table" or die;
while (<$table>) {{
    chomp;
    my ($pid, $uid, $command) = split / /, $_, 3;
    push @rows, {{ pid => $pid, uid => $uid, ppid => 1, command => $command }};
}}
open my $real, "-|", qw({ps} -axww -o pid= -o ppid= -o uid= -o command=) or die;
while (<$real>) {{
    my ($pid, $ppid, $uid, $command) = /\A *(\d+) +(\d+) +(\d+) (.*)\n\z/ or next;
    next if $pid == $$ or index($command, $root) < 0;
    push @rows, {{ pid => $pid, uid => $uid == $> ? 501 : $uid, ppid => $ppid, command => $command }};
}}
for my $row (@rows) {{
    next if defined $given{{p}} and $given{{p}} != $$row{{pid}};
    $$row{{command}} =~ s/([\n\t])/sprintf "\\%03o", ord $1/ge;
    my $line = join " ", map {{ $_ eq "command" ? $$row{{$_}} : sprintf "%5s", $$row{{$_}} }} @columns;
    print +(($given{{w}} // 0) > 1 ? $line : substr $line, 0, 79), "\n";
}}
"""

# A deadline that is a part of a second.
LIMIT = """BEGIN { if ("$ARGV[0]" =~ /[.]/) { require Time::HiRes; Time::HiRes->import("alarm") } }
    my $limit = shift;"""


LABEL = "com.example.colima"


@cache
def which(name: str) -> str | None:
    """A command of this machine: the system's own, where PATH begins with another's."""
    return shutil.which(name, path=f"/usr/bin:/bin:/usr/sbin:/sbin:{os.environ['PATH']}")


@cache
def perl() -> str:
    """perl itself: a Mac's /usr/bin/perl looks for it, and sets variables of its own."""
    done = subprocess.run([which("perl") or "perl", "-e", "print $^X"], stdout=subprocess.PIPE, check=True)
    return os.fsdecode(done.stdout)


def ps(*options: str) -> list[str]:
    """What ps(1) of this machine says, line by line."""
    done = subprocess.run([which("ps") or "ps", *options], stdout=subprocess.PIPE)
    return done.stdout.decode(errors="replace").split("\n")[:-1]


@cache
def moved(text: str) -> str:
    """A text with NUL in the place of the directory that a Mac's places are moved into."""
    return PLACES.sub(lambda at: f"\0/tools/{at['tool']}" if at["tool"] else f"\0{at['place']}", text)


@cache
def libraries() -> str:
    """All of files/lib."""
    return "\n".join(files.sent(f"lib/{path.name}") for path in sorted((files.HERE / "lib").iterdir()))


class Mac:
    """A directory in the place of a Mac: its user alice, uid 501, has a home with a space in its path."""

    def __init__(self, root: Path, shell: str) -> None:
        self.root = root
        self.home = root / "Users" / "al ice"
        self.prefix = root / "opt/homebrew"
        self.started: list[subprocess.Popen[bytes]] = []
        for directory in (
            "tools",
            "calls",
            "opt/homebrew/bin",
            "Library/ColimaPulse",
            "var/run",
            "Users/al ice",
        ):
            (root / directory).mkdir(parents=True)
        for name in SAME:
            self.link(name)
        self.link("awk", AWK)
        (root / "tools/sh").symlink_to(shell)
        self.table()
        stand_in = root / "tools/ps"
        stand_in.write_text(PS.format(perl=perl(), ps=which("ps"), root=root))
        stand_in.chmod(0o755)
        self.become("alice")
        self.tool("/usr/sbin/sysctl", '[ "$2" = hw.optional.arm64 ] && echo 1')
        self.tool(
            "/usr/bin/dscl",
            f"""case "$3 $4" in
            '/Users/alice NFSHomeDirectory') printf 'NFSHomeDirectory:\\n %s\\n' '{self.home}' ;;
            *) echo '<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)' >&2; exit 56 ;;
            esac""",
        )
        # What ends sudo need not end its command, and it keeps more of the environment than one thinks.
        self.tool(
            "/usr/bin/sudo",
            """while [ "${1#-}" != "$1" ]; do [ "$1" = -u ] && shift; shift; done
            exec perl -e '
                @ENV{qw(SUDO_USER LANG DOCKER_HOST HOME)} = qw(admin de_DE.UTF-8 tcp://sudo /var/root);
                if (!fork) { setpgrp; exec { $ARGV[0] } @ARGV; exit 127 }
                wait; exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' -- "$@" """,
        )

    def path(self, text: str) -> str:
        """The text with a Mac's places moved into this directory."""

        return moved(text).replace("\0", str(self.root))

    def configure(self, label: str = LABEL, **values: object) -> None:
        """Write the settings of a label, as a deploy does."""
        settings = {
            "user": "alice",
            "home": self.home,
            "prefix": self.prefix,
            "profile": "default",
            "log": self.root / "var/log/colima.log",
            "first_start_seconds": 5,
            "start_seconds": 5,
            "socket_seconds": 5,
            "api_seconds": 5,
            "good_answers": 2,
            "hide_info": "yes",
            "pulse_misses": 3,
            "log_max_mb": 50,
            "log_keep": 3,
        } | values
        etc = self.root / "Library/ColimaPulse/etc"
        etc.mkdir(exist_ok=True)
        (etc / f"{label}.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def become(self, name: str) -> None:
        """Let id(1) say that this is `name`: root, alice or mallory."""
        uid = {"root": 0, "alice": 501, "mallory": 502}[name]
        self.tool(
            "/usr/bin/id",
            f"""case "$*" in
            -u) echo {uid} ;; -un) echo {name} ;;
            '-u root') echo 0 ;; '-u alice') echo 501 ;; '-u mallory') echo 502 ;;
            '-un 501') echo alice ;; '-gn alice') echo staff ;;
            *) echo "id: no such user" >&2; exit 1 ;;
            esac""",
        )

    def tool(self, path: str, body: str) -> None:
        """Put a stand-in at a Mac's path. Its body is shell, and has the usual PATH."""
        file = Path(self.path(path))
        file.unlink(missing_ok=True)
        calls = f"'{self.root}/calls/{file.name}'"
        note = f"export -p >{calls}.env" if file.is_relative_to(self.prefix) else ""
        file.write_text(STAND_IN.format(calls=calls, note=note, body=body))
        file.chmod(0o755)

    def stat(self, others: Mapping[Any, str] | None = None) -> None:
        """stat(1) of a Mac on which every directory is root's alone, but for `others`, and what they are."""
        cases = "".join(f"'{path}') what='{what}' ;; " for path, what in (others or {}).items())
        self.tool(
            "/usr/bin/stat",
            f"""{FIELDS}
            case "$1 $2 $3" in
            '-L -f %z') fields -L size "$4" ;;
            '-f %HT:%u:%Su:%Lp '*)
                what=Directory:0:root:755
                case $3 in {cases} esac
                [ -n "$what" ] && echo "$what" ;;
            *) exit 64 ;;
            esac""",
        )

    def brewed(self, name: str, body: str) -> None:
        """Put a stand-in where Homebrew installs `name`."""
        self.tool(f"/opt/homebrew/bin/{name}", body)

    def link(self, name: str, real: str = "") -> None:
        found = perl() if name == "perl" else which(real or name)
        assert found is not None, f"these tests need {real or name}: sh tests/mac/prepare"
        (self.root / "tools" / name).symlink_to(found)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.root / "tools" / name).unlink()

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call of a stand-in, in order."""
        log = self.root / "calls" / name
        if not log.exists():
            return []
        return [call.split("\037")[:-1] for call in log.read_text().split("\036")[:-1]]

    def env(self, name: str) -> dict[str, str]:
        """The environment of the last call of one of Homebrew's stand-ins."""
        words = shlex.split((self.root / "calls" / f"{name}.env").read_text())
        return dict(word.split("=", 1) for word in words if "=" in word)

    def table(self, *rows: tuple[int, int, str]) -> None:
        """Let ps show these processes, each PID, UID and COMMAND, besides what really runs here."""
        table = "".join(f"{pid} {uid} {self.path(command)}\n" for pid, uid, command in rows)
        (self.root / "table").write_text(table)

    def start(self, command: str, *, ignores_term: bool = False) -> subprocess.Popen[bytes]:
        """Start a process that ps shows with this command line, and a number at its end."""
        process = subprocess.Popen(
            [self.path(command), "300"],
            executable=which("sleep"),
            start_new_session=True,
            preexec_fn=(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)) if ignores_term else None,
        )
        self.started.append(process)
        return process

    def bind(self, path: Path) -> socket.socket:
        """A socket at a path that may be longer than a socket's address; dead when it is closed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        short = self.root / "s"
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(short))
        short.rename(path)
        return made

    def text(self, name: str, edits: Mapping[str, str] | None = None) -> str:
        """The script as it is sent, moved here; `edits` shorten its waits."""
        return self._edited(files.sent(name), edits)

    def _edited(self, text: str, edits: Mapping[str, str] | None) -> str:
        for old, new in (edits or {}).items():
            assert old in text, f"files says no longer {old!r}: edit this test"
            text = text.replace(old, new)
        # So that a test's deadline may be a part of a second.
        # All of POSIX.pm takes perl longer to read than most commands take.
        text = text.replace("use POSIX ();", 'use XSLoader; BEGIN { XSLoader::load("POSIX") }')
        return self.path(text).replace("my $limit = shift;", LIMIT)

    def popen(self, *command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a shell of the kind under test, in a session of its own, with pipes."""
        return subprocess.Popen(
            [str(self.root / "tools/sh"), *command],
            cwd=self.root,
            env={"PATH": "/nowhere", **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        name: str,
        *arguments: object,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        edits: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, such as "facts/docker", the way pyinfra does: `sh -c TEXT NAME ARGUMENT...`."""
        return self._finish(
            self.popen("-c", self.text(name, edits), name, *map(str, arguments), env=env), stdin
        )

    def call(
        self,
        code: str,
        *arguments: object,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        edits: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run shell code that has the functions of all libraries."""
        text = self._edited(f"set -u\n{libraries()}", edits) + self.path(f"\n{code}")
        return self._finish(self.popen("-c", text, "test", *map(str, arguments), env=env), stdin)

    def installed(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        edits: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start the installed launch script, or `text` in its place, as launchd does."""
        launch = self.root / "Library/ColimaPulse/bin/launch"
        launch.parent.mkdir(exist_ok=True)
        launch.write_text(self.text("daemons/launch", edits) if text is None else self.path(text))
        return self.popen(str(launch), *arguments, env=env)

    @staticmethod
    def _finish(process: subprocess.Popen[str], stdin: str) -> subprocess.CompletedProcess[str]:
        try:
            out, err = process.communicate(stdin, timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("it does not end", pytrace=False)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def left(self) -> dict[int, str]:
        """The real processes whose command line names this directory."""
        rows = (re.match(r" *(\d+) (.*)", line) for line in ps("-axww", "-o", "pid=", "-o", "command="))
        return {int(row[1]): row[2] for row in rows if row and str(self.root) in row[2]}

    def clear(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def hostagent(mac: Mac, name: str = "colima") -> str:
    """The command line of an instance's host agent."""
    return f"/opt/homebrew/bin/limactl hostagent --pidfile {mac.home}/.colima/_lima/{name}/ha.pid --socket x"


def qemu(mac: Mac, name: str = "colima") -> str:
    """The command line of an instance's QEMU."""
    return f"qemu-system-aarch64 -m 2048 -name lima-{name} -pidfile {mac.home}/.colima/_lima/{name}/qemu.pid"


def usernet(mac: Mac) -> str:
    """The command line of the network that all instances share."""
    return f"limactl usernet -p {mac.home}/.colima/_lima/_networks/user-v2/usernet_user-v2.pid"


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    return all(state.startswith("Z") for state in ps("-o", "stat=", "-p", str(pid)))


def lines(process: subprocess.CompletedProcess[str]) -> list[str]:
    """A script's output as pyinfra hands it to a fact."""
    return process.stdout.removesuffix("\n").split("\n")


@contextmanager
def a_mac(shell: str) -> Iterator[Mac]:
    found = next(filter(None, map(which, SHELLS[shell])), None)
    if found is None:
        pytest.skip(f"no {shell} here")
    # In a short one: a socket's path may have some hundred bytes. On a Mac it is a link.
    with tempfile.TemporaryDirectory(prefix="mac-", dir=Path("/tmp").resolve()) as directory:
        mac = Mac(Path(directory), found)
        try:
            yield mac
        finally:
            mac.clear()


@pytest.fixture
def mac() -> Iterator[Mac]:
    """A Mac whose /bin/sh is bash (which, called sh, keeps to POSIX), as on every Mac by default."""
    with a_mac("bash") as mac:
        yield mac


@pytest.fixture
def one_mac() -> Iterator[Mac]:
    """A Mac whose /bin/sh is dash, which runs the pulse."""
    with a_mac("dash") as mac:
        yield mac
