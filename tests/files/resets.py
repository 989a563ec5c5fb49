"""A home with two Colima profiles and a launchd, and tools in which a reset can be killed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac, until

ONE = "colima-pulse-backups/a unit"
TWO = '../../Volumes/Big Disk\'s "x"/backups/a unit'

# rm, mkdir and so on are counted; at the call that CALL names, everything of this Mac is killed.
COUNTED = """#!/bin/sh
PATH=/usr/bin:/bin:/usr/sbin:/sbin
count=1
while read -r each; do count=$((count + 1)); done <'{root}/names'
echo "{name} $1" >>'{root}/names'
die() {{
    exec perl -e 'for (`ps -axww -o pid= -o command=`) {{
            push @all, $1 if index($_, q({root})) >= 0 and /(\\d+)/ and $1 != $$;
        }}
        kill KILL => @all'
}}
case $CALL in "before $count") die ;; "during $count") {during}; die ;; esac
{body}
status=$?
case $CALL in "after $count") die ;; esac
exit $status
"""

# Whatever is under Volumes lies on a volume of its own.
VOLUMES = "volume() { case $1 in */Volumes/*) echo 2 ;; *) echo 1 ;; esac; }\n"

# mv of macOS copies and deletes from volume to volume; nothing that relies on it is safe.
MV = (
    VOLUMES
    + """for to; do :; done
[ "$(volume "$2")" = "$(volume "$to")" ] || { echo "mv: Cross-device link" >&2; exit 1; }
command mv "$@" """
)

# cp of macOS: -c clones; a socket is not copied. Half a copy is a file too few and another too short.
CP = """flags=$1; shift
for to; do :; done
find "$1" -type s 2>/dev/null | grep -q . && { echo "cp: $1 is a socket (not copied)." >&2; exit 1; }
command cp "-$(echo "$flags" | tr -d c-)" "$@" """
HALF_A_COPY = """shift; for to; do :; done; command cp -R "$@"
find "$to" -type f | sort | tail -n 1 | while read -r file; do perl -e 'truncate $ARGV[0], 1' "$file"; done
find "$to" -type f | sort | tail -n +2 | head -n 1 | while read -r file; do rm -f "$file"; done"""
HALF_A_REMOVAL = (
    """for to; do :; done; find "$to" -type f | head -n 1 | while read -r file; do rm -f "$file"; done"""
)

# launchctl, with a file for each job that is loaded, and for each label that is disabled.
LAUNCHCTL = """directory='{root}/launchd'; name=${{2#system/}}
case $1 in
    print) [ -e "$directory/loaded $name" ] || exit 113
        printf '%s = {{\\n\\tstate = running\\n\\truns = 1\\n\\tpid = 4711\\n' "$2"
        printf '\\tpath = {daemons}/%s.plist\\n}}\\n' "$name" ;;
    print-disabled) echo 'disabled services = {{'
        for path in "$directory/disabled "*; do
            printf '\\t"%s" => disabled\\n' "${{path#*/disabled }}"
        done
        echo '}}' ;;
    disable) : >"$directory/disabled $name" ;;
    enable) rm -f "$directory/disabled $name" ;;
    bootout) [ -e "$directory/loaded $name" ] || exit 3; rm "$directory/loaded $name" ;;
    bootstrap) name=${{3##*/}}; : >"$directory/loaded ${{name%.plist}}" ;;
    *) exit 64 ;;
esac"""

BIG = 2 << 20

Done = subprocess.CompletedProcess[str]
# as_user hands on no environment, and takes most of the time.
THROUGH = {"/usr/bin/env -i \\\n": '/usr/bin/env -i "CALL=$CALL" \\\n'}
DIRECT = {'as_user "$user" "$home" "$mine_seconds" /bin/sh': "/bin/sh"}
IMPATIENT = {"gone 20 ours": "gone 0 ours", "gone 10 ours": "gone 0 ours", "gone 10 busy": "gone 0 busy"}
# Without stopping anything first: where a run is killed again and again.
STOPPING = {"stop_job && refuse_what_runs && ": ""}
FINISHING = {"! stop_job": "false", "\nrefuse_what_runs\n": "\n"}


class Launchd:
    """What launchd has: Colima's job is loaded at first."""

    def __init__(self, mac: Mac) -> None:
        self.directory = mac.root / "launchd"
        self.directory.mkdir()
        daemons = mac.root / "Library/LaunchDaemons"
        daemons.mkdir(exist_ok=True)
        mac.tool("/bin/launchctl", LAUNCHCTL.format(root=mac.root, daemons=daemons))
        self.load()

    def load(self, label: str = LABEL) -> None:
        (self.directory / f"loaded {label}").touch()

    def disable(self, label: str = LABEL) -> None:
        (self.directory / f"disabled {label}").touch()

    @property
    def has(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


RUNS, STOPPED = [f"loaded {LABEL}"], [f"disabled {LABEL}"]


class Home:
    """The home of a Mac's user: what Colima has there, before and after."""

    def __init__(self, mac: Mac, profile: str = "default", unit: str = ONE, *, sudo: bool = False) -> None:
        self.mac, self.profile, self.sudo = mac, profile, sudo
        self.is_quick = False
        self.journal_was = False
        self.id = "colima" if profile == "default" else f"colima-{profile}"
        self.base, self.other = mac.home / ".colima", mac.home / ".config/colima"
        self.unit = mac.home / unit
        self.aside = self.unit.with_name("aside")
        self.journal = mac.root / "Library/ColimaPulse/reset/alice" / profile
        self.places = {
            "profile": self.base / profile,
            "instance": self.base / "_lima" / self.id,
            "disk": self.base / "_lima/_disks" / self.id,
            "store.json": self.base / "_store" / f"{self.id}.json",
            "other": self.other,
        }
        mac.become("root")
        self.launchd = Launchd(mac)
        log = mac.root / "var/log/colima.log"
        log.parent.mkdir(parents=True)
        log.touch()
        mac.configure(profile=profile)
        self.plist = mac.root / f"Library/LaunchDaemons/{LABEL}.plist"
        self.plist.write_text("<plist/>")
        self._tools()
        self.furnish()

    def _tools(self) -> None:
        mac = self.mac
        for name in ("find", "du", "sort", "sync", "hostname"):
            mac.link(name)
        mac.remove("mv", "rm", "mkdir", "kill")
        mac.tool("/bin/kill", ":")
        during = {"cp": HALF_A_COPY, "rm": HALF_A_REMOVAL}
        for name, body in {"mv": MV, "cp": CP, "rm": "", "mkdir": "", "rmdir": ""}.items():
            file = mac.root / "tools" / name
            body, then = body or f'command {name} "$@"', during.get(name, ":")
            file.write_text(COUNTED.format(root=mac.root, name=name, body=body, during=then))
            file.chmod(0o755)
        mac.tool(
            "/usr/bin/stat",
            VOLUMES
            + """[ "$1" != -L ] || shift
            case $2 in
                %HT:%u:%Su:%Lp) echo Directory:0:root:755 ;;
                "%HT %l %Su") echo Regular File 1 alice ;;
                %z) echo 0 ;;
                %d) [ -e "$3" ] || [ -L "$3" ] || exit 1; volume "$3" ;;
            esac""",
        )
        self.room(10 << 20)
        self.runs()
        # Without a session of its own for each: these tests run hundreds of them.
        mac.tool(
            "/usr/bin/sudo", 'while [ "${1#-}" != "$1" ]; do [ "$1" = -u ] && shift; shift; done; exec "$@"'
        )

    def room(self, kib: int) -> None:
        """Let df(1) say that so much is free."""
        self.mac.tool(
            "/bin/df",
            f"""echo 'Filesystem 1024-blocks Used Available Capacity iused ifree %iused Mounted on'
            echo '//al@a server/the share 99999999 5 {kib} 27% 1000000 3400000 0% /Volumes/Big Disk 5%'""",
        )

    def runs(self, *rows: tuple[int, int, str]) -> None:
        """Let ps(1) show these processes, each PID, UID and COMMAND, and no real ones."""
        shown = "".join(f"{pid} 1 {uid} {self.mac.path(command)}\n" for pid, uid, command in rows)
        (self.mac.root / "ps").write_text(shown)
        self.mac.tool("/bin/ps", f"cat '{self.mac.root}/ps'")

    def furnish(self) -> None:
        """Make two profiles, what they share, and a second state directory."""
        for each in (self.base, self.other, self.unit.parent, self.journal.parent):
            shutil.rmtree(each, ignore_errors=True)
        self.unit.parent.parent.mkdir(parents=True, exist_ok=True)
        for profile, instance in ((self.profile, self.id), ("foo", "colima-foo"), ("default", "colima")):
            self.make_profile(self.base, profile, instance)
        for shared in ("_lima/_config/user", "_lima/_networks/user-v2/net", "_templates/default.yaml", "ssh"):
            self._file(self.base / shared, f"shared {shared}")
        self._socket(self.base / "docker.sock")
        self.make_profile(self.other, "default", "colima")
        # A run that makes these as well has more steps than the next one.
        for each in (self.journal.parent, self.mac.root / f"var/run/colima-pulse/{LABEL}"):
            each.mkdir(parents=True, exist_ok=True)

    def make_profile(self, base: Path, profile: str, instance: str) -> None:
        if (base / profile).exists():
            return
        self._file(base / profile / "colima.yaml", "runtime: docker\n")
        self._file(base / profile / 'daemon/it\'s "q" $(x)\n', "odd")
        self._socket(base / profile / "docker.sock")
        lima = base / "_lima" / instance
        self._file(lima / "lima.yaml", "vmType: qemu\n")
        self._file(lima / "colima.yaml", "disk: 10\nruntime: docker\n")
        self._file(lima / "ha.pid", "99999999\n", 0o600)
        self._socket(lima / "ha.sock")
        (lima / "link").symlink_to("nowhere")
        disk = base / "_lima/_disks" / instance / "datadisk"
        self._file(disk, f"disk of {instance}")
        with disk.open("r+b") as file:
            file.truncate(BIG)
            file.seek(BIG - 1)
            file.write(b"e")
        os.utime(disk, (1e9, 1e9))
        (disk.parent / "in_use_by").symlink_to(f"../../{instance}")
        self._file(base / "_store" / f"{instance}.json", '{"disk_formatted":true}')

    def put_aside(self) -> None:
        """Make the unit that a run of set-aside makes."""
        self.unit.mkdir(parents=True)
        for part, path in self.places.items():
            shutil.move(path, self.unit / part)
        for path in self.unit.rglob("*"):
            if path.is_socket() or path.name == "in_use_by":
                path.unlink()
        (self.base / "docker.sock").unlink()
        (self.unit / "daemon.plist").write_text("<plist/>")
        lines = ["version=1", "user=alice", f"profile={self.profile}", f"instance={self.id}"]
        lines += ["made=2026-11-22T10:15:30Z", "host=mini", *(f"part={part}" for part in self.places)]
        (self.unit / "manifest").write_text("".join(f"{line}\n" for line in lines))

    def clear(self) -> None:
        """Take the profile out of its place, and leave no trace of it."""
        for path in self.places.values():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.aside, ignore_errors=True)

    @staticmethod
    def _file(path: Path, text: str, mode: int = 0o644) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.utime(path, (1e9, 1e9))

    def _socket(self, path: Path) -> None:
        self.mac.bind(path).close()

    # --- what there is

    def parts(self) -> dict[str, dict[str, object]]:
        """The parts in place, each with all that is in it."""
        return {part: tree(path) for part, path in self.places.items() if present(path)}

    def in_unit(self, unit: Path | None = None) -> dict[str, dict[str, object]]:
        """The parts in a unit."""
        return {part: tree(path) for part in self.places if present(path := (unit or self.unit) / part)}

    def around(self) -> dict[str, object]:
        """Everything of the state directory that is no part of the profile."""
        dead = [
            place.with_name(f".{place.name}.{end}")
            for place in self.places.values()
            for end in ("going", "coming")
        ]
        mine = {*self.places.values(), *dead}
        return {
            name: what
            for name, what in tree(self.base).items()
            if not mine & {self.base / name, *(self.base / name).parents}
            and name not in ("_lima", "_store", "_lima/_disks", ".")
        }

    def litter(self) -> list[str]:
        """What an interrupted run leaves and the next one must not."""
        everywhere = [*self.mac.home.rglob("*"), *self.unit.parent.rglob("*")]
        found = [path for path in everywhere if path.name.endswith((".part", ".going", ".coming", ".new"))]
        if self.journal.parent.is_dir():
            found += [path for path in self.journal.parent.iterdir() if not path.name.startswith(".")]
        return [str(path) for path in found]

    def disk_has_its_record(self) -> bool:
        return self.places["store.json"].exists() or not self.places["disk"].exists()

    # --- what is run

    def set_aside(
        self, mode: str = "move", call: str = "", unit: Path | str | None = None, *, other: bool = True
    ) -> Done:
        arguments = [mode, str(unit or self.unit), *([str(self.other)] if other else [])]
        return self.run("set-aside", *arguments, call=call)

    def finish(self) -> Done:
        return self.run("finish-reset")

    def restore(self, call: str = "", unit: Path | None = None) -> Done:
        return self.run("restore-backup", str(unit or self.unit), str(self.aside), call=call)

    def quickly(self) -> None:
        """From now on nothing is stopped."""
        self.is_quick = True

    def run(self, name: str, *arguments: str, call: str = "") -> Done:
        (self.mac.root / "names").write_text("")
        edits = (THROUGH if self.sudo else DIRECT) | IMPATIENT
        if self.is_quick:
            edits |= FINISHING if name == "finish-reset" else STOPPING
        done = self.mac.run(f"bin/{name}", LABEL, *arguments, env={"CALL": call}, edits=edits)
        if call:
            until(lambda: not self.mac.left())
        self.journal_was = self.journal.exists()
        return done

    def steps(self) -> list[str]:
        """Where a run like the last can be killed: at each call, and within those that take long."""
        names = (self.mac.root / "names").read_text().splitlines()
        steps = [f"before {number}" for number in range(1, len(names) + 1)]
        steps += [f"during {number}" for number, name in enumerate(names, 1) if name[:3] in ("cp ", "rm ")]
        return [*steps, f"after {len(names)}"]


def corners(home: Home) -> list[str]:
    """Two of these steps: in the middle of the calls, and within what takes long."""
    steps = home.steps()
    return [steps[len(steps) * eighth // 8] for eighth in (3, 7)]


Steps = Callable[[Home], list[str]]
# All of them are exhaustive, and slow.
STEPS = pytest.mark.parametrize("steps", [pytest.param(Home.steps, marks=pytest.mark.weekly), corners])


def present(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def tree(root: Path) -> dict[str, object]:
    """All that is under a path, with content and mode; without sockets and the lock of a disk."""
    found: dict[str, object] = {}
    for path in (root, *(root.rglob("*") if root.is_dir() and not root.is_symlink() else ())):
        info, name = path.lstat(), str(path.relative_to(root))
        if stat.S_ISSOCK(info.st_mode) or path.name == "in_use_by":
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), stat.S_IMODE(info.st_mode), int(info.st_mtime))
    return found


def said(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(done: Done) -> str:
    assert done.returncode == 1, done
    return done.stderr


def untouched(home: Home, done: Done, before: dict[str, object]) -> str:
    """Why it was refused: nothing of the home is other than before, no journal is left, and Colima runs."""
    why = refused(done)
    assert tree(home.mac.home) == before
    assert not home.journal.exists()
    assert home.launchd.has == RUNS
    return why
