"""A Mac whose launchd, Lima, guest, Docker and clock are files that a test writes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.files.conftest import FIELDS, LABEL, Mac
from tests.files.test_docker import VERSION, container, go

RECORDINGS = Path(__file__).parents[1] / "recordings"
STARTED = (RECORDINGS / "colima/foreground.log").read_text().partition('level=info msg="interrupted')[0]
STARTING = STARTED.partition("keeping Colima")[0]
FATAL = (RECORDINGS / "colima/docker-fails.log").read_text()
BOOT = 1_750_000_000
RUNNING = '{"name":"colima-foo","status":"Stopped"}\n{"name":"colima","status":"Running","vmType":"qemu"}'
TRIO = (container(1, "a"), container(2, "b"), container(3, "c", Status="exited", ExitCode=1))
SILENT = "Docker is not working: curl: (7) Failed to connect"
TERM, KILL, KICK = (
    f"kill TERM system/{LABEL}",
    f"kill KILL system/{LABEL}",
    f"kickstart system/{LABEL}",
)


class World:
    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        self.world = mac.root / "world"
        self.log = mac.root / "log/colima.log"
        self.directory = mac.root / "var/run/colima-pulse" / LABEL
        self.kept = mac.root / "Library/ColimaPulse/diagnostics"
        self.provisioned = mac.home / ".colima/_lima/colima/colima.yaml"
        for directory in (self.world, self.log.parent, self.directory.parent.parent, self.provisioned.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self.provisioned.write_text("")
        self.log.write_text(STARTED)
        mac.bind(mac.home / ".colima/default/docker.sock").close()
        mac.configure(log=self.log, start_seconds=10, api_seconds=10)
        mac.become("root")
        mac.tool("/usr/sbin/chown", "")
        world = f"'{self.world}'"
        # The clock of the test: a sleep of a second is ten of it, a shorter one five; neither takes time.
        mac.tool("/bin/date", f'[ "$1" = +%s ] || exec date "$@"; read -r now <{world}/now; echo "$now"')
        mac.tool(
            "/bin/sleep",
            f"""read -r now <{world}/now
            case $1 in 1) now=$((now + 10)) ;; *) now=$((now + 5)) ;; esac
            echo "$now" >{world}/now""",
        )
        mac.tool(
            "/usr/sbin/sysctl",
            f"""case $2 in
            hw.optional.arm64) echo 1 ;;
            kern.boottime) cat {world}/boottime ;;
            esac""",
        )
        mac.tool(
            "/usr/bin/stat",
            f"""{FIELDS}
            format=$2; shift 2
            for path; do
                case $format in
                '%HT %z')
                    type='Regular File'
                    [ -d "$path" ] && type=Directory
                    [ -L "$path" ] && type='Symbolic Link'
                    size=$(fields size "$path") || exit 1
                    echo "$type $size" ;;
                '%z %B') echo "$(fields size "$path") $(cat {world}/born)" ;;
                '%b') [ -f "$path" ] && cat "$path" ;;
                '%Su') cat {world}/console ;;
                '%HT %l %Su') [ -f "$path" ] && echo "Regular File $(fields nlink "$path") alice" ;;
                '%HT:%u:%Su:%Lp')
                    case $path in '{mac.home}') echo Directory:501:alice:700 ;; *) cat {world}/mode ;; esac ;;
                esac
            done""",
        )
        mac.tool(
            "/usr/bin/curl",
            f"""case "$*" in
            *_ping*/version*)
                said=$(. {world}/ping)
                case $said in *200) cat {world}/listed ;; *) printf '%s\\n' "$said"; exit 7 ;; esac ;;
            *_ping*) . {world}/ping ;;
            */containers/*) cat {world}/inspected ;;
            esac""",
        )
        mac.tool(
            "/bin/launchctl",
            f"""case $1 in
            print | print-disabled) cat {world}/$1; read -r status <{world}/$1-status; exit "$status" ;;
            kill) . {world}/kill ;;
            kickstart) . {world}/kickstart ;;
            esac""",
        )
        (mac.root / "tools/ps").rename(mac.root / "tools/real-ps")
        mac.tool(
            "/bin/ps",
            f"""case "$*" in *etime*) cat {world}/process; exit ;; esac
            exec '{mac.root}/tools/real-ps' "$@" """,
        )
        mac.brewed("limactl", f". {world}/limactl-$1")
        self.uptime = 5000
        self.put(
            boottime=f"{{ sec = {BOOT}, usec = 42 }} Sun Jun 15 15:06:40 2025",
            mode="Directory:0:root:755",
            console="root",
            born=str(BOOT),
            process="03:00:00 /opt/homebrew/bin/colima start --foreground",
            **{"print-disabled": (RECORDINGS / "launchctl/print-disabled-macos13.txt").read_text()},
            kill="",
            kickstart="",
        )
        self.put(**{"print-disabled-status": "0"})
        self.silent()
        self.docker(*TRIO)
        self.job(pid=312)
        self.lima(RUNNING)
        self.guest()

    def put(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.world / name).write_text(f"{text}\n")

    @property
    def uptime(self) -> int:
        return int((self.world / "now").read_text()) - BOOT

    @uptime.setter
    def uptime(self, seconds: int) -> None:
        (self.world / "now").write_text(f"{BOOT + seconds}\n")

    def docker(self, *containers: dict[str, Any]) -> None:
        """What Docker's API says of these containers."""
        listed = [{"Id": each["Id"], "Names": [each["Name"]]} for each in containers]
        asked = ("OK", go(VERSION), go(listed))
        self.put(
            listed="".join(f"{each}\n200\n" for each in asked),
            inspected="".join(f"{go(each)}\n200\n" for each in containers),
        )

    def answers(self) -> None:
        self.put(ping="printf 200")

    def silent(self, body: str = "printf 'curl: (7) Failed to connect\\n000'; exit 7") -> None:
        # A file of its own: what is sourced may not end its caller.
        self.put(ping=f"( {body} )")

    def answers_after(self, what: str, also: str = "") -> None:
        """Let Docker answer once launchd is told to do `what`, such as "kill"."""
        self.put(**{what: f"{also}\necho 'printf 200' >'{self.world}/ping'"})

    def job(self, pid: int | None, *, state: str = "running", runs: int = 1, status: int = 0) -> None:
        """What launchctl prints of the job, in the words of macOS 14."""
        text = (RECORDINGS / "launchctl/running-macos14.txt").read_text()
        if pid is None:
            text = (RECORDINGS / "launchctl/spawn-scheduled-macos26.txt").read_text()
            text = text.replace("sh.billet.capture", LABEL)
        text = text.replace("otelcol-sumo", LABEL).replace("pid = 54109", f"pid = {pid}")
        text = text.replace("state = running", f"state = {state}").replace("runs = 1", f"runs = {runs}")
        if status == 113:
            text = f'Bad request.\nCould not find service "{LABEL}" in domain for system'
        self.put(print=text.rstrip("\n"))
        self.put(**{"print-status": str(status)})

    @property
    def respawns(self) -> str:
        """launchd starts the job again when it has ended: for launchctl to do."""
        return f"perl -pi -e 's/pid = 312/pid = 400/' '{self.world}/print'"

    def disable(self, word: str = "disabled", macos: int = 13) -> None:
        text = (RECORDINGS / f"launchctl/print-disabled-macos{macos}.txt").read_text()
        mark = f'"com.apple.ftpd" => {word}'
        assert mark in text
        self.put(**{"print-disabled": text.replace(mark, f'"{LABEL}" => {word}')})

    def lima(self, said: str = "", body: str = "") -> None:
        self.put(**{"limactl-list": body or f"printf '%s\\n' '{said}'"})

    def guest(
        self, docker: str = "active", containerd: str = "active", body: str = "", *, heals: bool = False
    ) -> None:
        """What the guest's systemd says; and a restart of Docker there is noted, and `heals` it."""
        said = f"echo Welcome; printf 'answers=yes\\ndocker={docker}\\ncontainerd={containerd}\\n'"
        restart = f"echo restart >>'{self.world}/restarts'"
        if heals:
            restart += f"; echo 'printf 200' >'{self.world}/ping'"
        restarts = f"case $* in *'restart docker'*) {restart} ;; *) {said} ;; esac"
        self.put(**{"limactl-shell": body or restarts})

    def steps(self) -> list[str]:
        """What was done, in order: launchctl's verbs that change something."""
        return [" ".join(call) for call in self.mac.calls("launchctl") if not call[0].startswith("print")]

    @property
    def restarts(self) -> int:
        path = self.world / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def forget_calls(self) -> None:
        for path in (self.mac.root / "calls").iterdir():
            path.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process, such as a deploy's, holds the label's lock."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            lock.write("start (pid 77)\n")
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
