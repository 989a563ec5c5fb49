"""The guest: a Linux machine of namespaces with a real Docker Engine, started by the qemu stand-in.

qemu runs ``sudo -n /usr/libexec/standin/guest`` as the user and holds the write end of its stdin.
The first line there is the machine as JSON (see :class:`Machine`), the following ones are its
buttons: ``powerdown`` (ACPI) - and end of file is a power cut: whatever qemu dies of, the guest is
gone with it at once, without a signal to anyone in it.

Three processes: the supervisor (in the Mac, root; it outlives the guest by the time it takes to
write the log and to sweep its cgroups), process 1 of the guest (agent, init and a small registry
in one) and dockerd. The root directory is a tmpfs with busybox and the engine's own programs.
Docker's data is a directory beside the Mac's disk; where the fault ``real-disk`` was on when a data disk
was formatted, it lies in that very file, from its first MiB on (ext4, as Colima's disk.sh makes it), which
grows and shrinks with it.

What Colima does over SSH goes through the agent's socket: one connection a command, the caller's
own stdin, stdout and stderr passed along, the exit code back. The engine's socket lies next to it.

Faults honoured here (files in /private/var/db/standin/faults): ``guest-frozen`` and a stopped
(SIGSTOP) qemu freeze everything in the guest; ``docker-start-fails`` (a count) lets docker.service
fail to start; while ``docker-stays-dead`` exists systemd does not restart it by itself (as after
too many restarts in a minute), but does as it is told; by the seconds in ``guest-clock-off`` the guest's
clock differs from the Mac's; and those of :class:`Registry`.
"""

import base64
import contextlib
import ctypes
import encodings.idna  # noqa: F401  # a codec comes lazily: too late, once the root has changed
import fcntl
import hashlib
import io
import ipaddress
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .common import STANDIN, fault, take_fault
from .mux import relay

CLONE_ALL = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # ns uts ipc pid net
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

ENGINE = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "docker-init")
TOOLS = ("iptables", "ip6tables", "docker")
HOST = f"{STANDIN}/host"  # this machine's /usr, as the Mac keeps it for its stand-ins
PLACES = tuple(f"{HOST}/{directory}" for directory in ("sbin", "bin", "local/bin", "libexec/docker"))
# These engines live for minutes: collecting garbage was a good part of what they computed.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "GOGC": "400"}
CONTAINERD = "/run/containerd/containerd.sock"
VDB = "/dev/vdb"
MIB = 1 << 20
SHARE = "/run/host"  # the guest's name for the directory it shares with the Mac
ALTERNATIVES = {"iptables": "iptables-nft", "ip6tables": "ip6tables-nft"}
MIRROR_PORT = 5000
PRIVATE_PORT = 5001
FORGOTTEN_SECONDS = 600
POWERDOWN_SECONDS = 90  # systemd's DefaultTimeoutStopSec

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise what errno says when a libc call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2), which Python does not offer."""
    arguments = [value.encode() for value in (source, target, kind, data)]
    result = libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3])
    check(result, f"mount {source} {target}")


@dataclass(frozen=True)
class Machine:
    """What qemu tells of the machine to run."""

    id: str
    disk: str  # the data disk's identity: the data lives and dies with it
    format: bool  # provision the data disk anew
    image: str  # the data disk's file
    size: int
    uid: int
    gid: int
    qemu: int  # its process id, watched for SIGSTOP
    mounts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return Path(f"/private/var/db/standin/vm/{self.id}")

    @property
    def data(self) -> Path:
        return self.home / self.disk / "docker"

    @property
    def share(self) -> Path:
        return self.home / self.disk / "run"

    @property
    def real(self) -> bool:
        """Whether the data lies in the disk's file: whether ext4's superblock is there."""
        with contextlib.suppress(FileNotFoundError), Path(self.image).open("rb") as image:
            image.seek(MIB + 1080)
            return image.read(2) == b"\x53\xef"
        return False

    @property
    def cgroup(self) -> str:
        """One name per data directory of this machine: many Macs share these hierarchies."""
        place = self.home.stat()
        return f"standin-{place.st_dev:x}-{place.st_ino:x}-{self.disk[:8]}"

    def log(self, event: str) -> None:
        with (self.home / "events.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.time():.3f} {event}\n")


# ---- the supervisor, in the Mac -------------------------------------------------------------


def cgroups(pattern: str) -> Iterator[Path]:
    """The cgroups of this name and what is in them, leaves first; of version 1 and 2 alike."""
    root = Path("/sys/fs/cgroup")
    for top in (*root.glob(f"*/{pattern}"), *root.glob(pattern)):
        for directory, _, _ in os.walk(top, topdown=False):
            yield Path(directory)


def sweep_cgroups(name: str) -> None:
    """Kill what is left in the guest's cgroups, and remove them (leaves first)."""
    for directory in cgroups(name):
        for _ in range(50):
            try:
                directory.rmdir()
                break
            except OSError:
                time.sleep(0.01)  # the kernel is still reaping the killed


def sweep_forgotten_cgroups() -> None:
    """Remove what guests left whose Mac lost its power: empty, and nothing new."""
    for directory in cgroups("standin-*"):
        with contextlib.suppress(OSError):  # in use
            if directory.stat().st_mtime < time.time() - FORGOTTEN_SECONDS:
                directory.rmdir()


def prepare(machine: Machine) -> None:
    """Make the directories the guest lives on; a disk to be formatted loses its data."""
    machine.home.mkdir(parents=True, exist_ok=True)
    if machine.format:
        shutil.rmtree(machine.data, ignore_errors=True)
        if fault("real-disk") is not None:
            make_filesystem(machine)
        machine.log("provisioned")
    shutil.rmtree(machine.share, ignore_errors=True)
    for directory in (machine.data, machine.share):
        directory.mkdir(parents=True, exist_ok=True)
    os.chown(machine.share, machine.uid, machine.gid)
    machine.share.chmod(0o700)
    sweep_cgroups(machine.cgroup)
    sweep_forgotten_cgroups()


def make_filesystem(machine: Machine) -> None:
    """mkfs.ext4 in the data disk's file, which is sparse."""
    os.truncate(machine.image, MIB)
    os.truncate(machine.image, MIB + machine.size)
    program = str(find_program("mkfs.ext4"))
    subprocess.run(
        [program, "-q", "-F", "-E", f"offset={MIB}", machine.image, f"{machine.size >> 10}k"], check=True
    )


LOOP_SET, LOOP_STATUS, LOOP_FREE, LOOP_AUTOCLEAR = 0x4C0A, 0x4C05, 0x4C82, 4
LOOP_INFO = "=QQQQQIIII64s64s32sQQ"  # struct loop_info64 of linux/loop.h


def loops(name: bytes) -> list[Path]:
    """The loop devices of this name."""
    found = []
    for entry in Path("/sys/block").glob("loop*/loop"):
        device = Path("/dev", entry.parent.name)
        with contextlib.suppress(OSError), device.open("rb") as loop:
            status = fcntl.ioctl(loop, LOOP_STATUS, bytes(struct.calcsize(LOOP_INFO)))
            if struct.unpack(LOOP_INFO, status)[9].rstrip(b"\0") == name:
                found.append(device)
    return found


def attach(machine: Machine) -> int:
    """The data disk's file as a block device, open; it goes when nothing has it open or mounted."""
    name = f"{machine.disk}-{Path(machine.image).stat().st_ino}".encode()
    # What was cut off may still be unmounted by the kernel.
    deadline = time.monotonic() + 20
    while loops(name) and time.monotonic() < deadline:
        time.sleep(0.01)
    with Path(machine.image).open("r+b") as image:
        while True:
            with Path("/dev/loop-control").open("rb") as control:
                number = fcntl.ioctl(control, LOOP_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR)
            info = struct.pack(LOOP_INFO, 0, 0, 0, MIB, 0, 0, 0, 0, LOOP_AUTOCLEAR, name, b"", b"", 0, 0)
            try:
                fcntl.ioctl(device, LOOP_SET, struct.pack("=II", image.fileno(), 0) + info + bytes(64))
                return device
            except OSError:  # another guest was first
                os.close(device)


def stopped(pid: int) -> bool:
    """Whether the process is halted by SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def supervise(machine: Machine) -> int:
    """Run the guest until it powers off, or until its life line breaks."""
    prepare(machine)
    buttons, wire = os.pipe()
    os.setgroups([])
    check(libc.unshare(CLONE_ALL), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    machine.log("start")
    child = os.fork()
    if child == 0:
        os.close(wire)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        status = 1
        try:
            status = Guest(machine, buttons).run()
        except BaseException:
            traceback.print_exc()  # to serial.log
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(buttons)
    ended = os.pidfd_open(child)
    frozen = graceful = False
    while True:
        ready, _, _ = select.select([0, ended], [], [], 0.2)
        if ended in ready:
            break
        if 0 in ready:
            line = os.read(0, 4096)
            if not line:
                os.kill(child, signal.SIGKILL)
                break
            graceful = True
            os.write(wire, line)
        freeze = fault("guest-frozen") is not None or stopped(machine.qemu)
        if freeze != frozen:
            frozen = freeze
            os.write(wire, b"freeze\n" if freeze else b"thaw\n")
    _, status = os.waitpid(child, 0)
    graceful = graceful and status == 0
    machine.log("graceful-stop" if graceful else "killed")
    sweep_cgroups(machine.cgroup)
    return 0 if graceful else 1


# ---- the images, served as a registry mirror ------------------------------------------------

HELLO = """#!/bin/sh
cat <<'TEXT'

Hello from Docker!
This message shows that your installation appears to be working correctly.

To generate this message, Docker took the following steps:
 1. The Docker client contacted the Docker daemon.
 2. The Docker daemon pulled the "hello-world" image from the Docker Hub.
 3. The Docker daemon created a new container from that image which runs the
    executable that produces the output you are currently reading.
 4. The Docker daemon streamed that output to the Docker client, which sent it
    to your terminal.

TEXT
"""
SERVE = ["sh", "-c", "trap exit INT QUIT TERM; httpd -f -p 80 -h /www & wait"]
IMAGES: dict[str, dict[str, Any]] = {
    "hello-world": {"Cmd": ["/hello"]},
    "busybox": {"Cmd": ["sh"]},
    "alpine": {"Cmd": ["/bin/sh"]},
    "nginx": {"Cmd": SERVE, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"},
}


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    """The images of :data:`IMAGES`, made on this machine from one layer: a static busybox.

    The content of the fault ``image-NAME`` is the version of that image; ``registry-down``: it answers 503.
    At :data:`PRIVATE_PORT` they are for who logs in as the fault ``registry-login`` says, NAME:PASSWORD.
    """

    def __init__(self, busybox: Path, applets: list[str]) -> None:
        self.layer_content = self.layer(busybox, applets)
        self.layer_digest = digest(self.layer_content)
        self.blobs = {self.layer_digest: self.layer_content}

    def manifest(self, name: str) -> bytes:
        """The manifest of an image as it is now; its configuration is a blob from then on."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64")
        content = {
            "architecture": machine,
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], **IMAGES[name]},
            "rootfs": {"type": "layers", "diff_ids": [self.layer_digest]},
            "history": [{"created_by": f"stand-in {name} {fault(f'image-{name}') or 1}"}],
        }
        config = json.dumps(content).encode()
        self.blobs[digest(config)] = config
        prefix = "application/vnd.docker."
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": prefix + "distribution.manifest.v2+json",
                "config": {
                    "mediaType": prefix + "container.image.v1+json",
                    "size": len(config),
                    "digest": digest(config),
                },
                "layers": [
                    {
                        "mediaType": prefix + "image.rootfs.diff.tar",
                        "size": len(self.layer_content),
                        "digest": self.layer_digest,
                    }
                ],
            }
        ).encode()

    @staticmethod
    def layer(busybox: Path, applets: list[str]) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:

            def add(name: str, content: bytes = b"", mode: int = 0o755, **more: Any) -> None:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                for key, value in more.items():
                    setattr(entry, key, value)
                archive.addfile(entry, io.BytesIO(content))

            for directory in ("bin", "etc", "root", "tmp", "usr", "usr/bin", "var", "www"):
                mode = 0o1777 if directory == "tmp" else 0o755
                add(directory, mode=mode, type=tarfile.DIRTYPE)
            add("bin/busybox", busybox.read_bytes())
            for applet in applets:
                if applet != "busybox":
                    add(f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
            add("hello", HELLO.encode())
            add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
            add("etc/group", b"root:x:0:\n", 0o644)
            add("www/index.html", b"<h1>Welcome to nginx!</h1>\n", 0o644)
        return target.getvalue()

    def find(self, path: str) -> tuple[int, str, bytes]:
        """The status, media type and content of a registry path (distribution-spec)."""

        def error(status: int, code: str) -> tuple[int, str, bytes]:
            return status, "application/json", json.dumps({"errors": [{"code": code}]}).encode()

        parts = path.strip("/").split("/")
        if fault("registry-down") is not None:
            return error(503, "UNAVAILABLE")
        if parts == ["v2"]:
            return 200, "application/json", b"{}"
        # As Docker Hub's mirror, and under its own address.
        if parts[:2] == ["v2", "library"]:
            del parts[1]
        if len(parts) != 4 or parts[1] not in IMAGES:
            return error(404, "NAME_UNKNOWN")
        _, name, kind, reference = parts
        manifest = self.manifest(name)
        if kind == "manifests" and reference in ("latest", digest(manifest)):
            return 200, json.loads(manifest)["mediaType"], manifest
        if kind == "blobs" and reference in self.blobs:
            return 200, "application/octet-stream", self.blobs[reference]
        return error(404, "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN")

    def private(self, path: str, authorization: str) -> tuple[int, str, bytes]:
        """The same, asked with this Authorization (distribution's registry/auth/htpasswd)."""
        login = base64.b64encode((fault("registry-login") or "").encode()).decode()
        if login and authorization == f"Basic {login}":
            return self.find(path)
        return 401, "application/json", b'{"errors":[{"code":"UNAUTHORIZED"}]}'

    def serve(self) -> None:
        """Answer dockerd on the loopback of the guest, in threads."""

        def answer(connection: socket.socket, port: int) -> None:
            with connection, connection.makefile("rb") as lines:
                method, path, _ = lines.readline().decode().split(" ")
                fields = dict(line.decode().split(": ", 1) for line in iter(lines.readline, b"\r\n"))
                path = path.partition("?")[0]
                if port == PRIVATE_PORT:
                    status, kind, content = self.private(path, fields.get("Authorization", "").strip())
                else:
                    status, kind, content = self.find(path)
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
                if status == 401:
                    head += 'WWW-Authenticate: Basic realm="Registry Realm"\r\n'
                head += f"Docker-Content-Digest: {digest(content)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + (content if method == "GET" else b""))

        def accept(listener: socket.socket, port: int) -> None:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection, port), daemon=True).start()

        for port in (MIRROR_PORT, PRIVATE_PORT):
            listener = socket.create_server(("127.0.0.1", port), backlog=16)
            threading.Thread(target=accept, args=(listener, port), daemon=True).start()


# ---- the guest ------------------------------------------------------------------------------

SUDO = """#!/bin/sh
# passwordless sudo; what must not be done without it looks at SUDO_UID
while :; do case "$1" in -n|-E|-H) shift ;; --) shift; break ;; *) break ;; esac; done
# Of two of a name busybox's own would come first.
if [ -x "/usr/sbin/$1" ]; then name=/usr/sbin/$1; shift; set -- "$name" "$@"; fi
SUDO_UID=1 exec "$@"
"""
FSTRIM = """#!/bin/sh
# fstrim(8) with -a: the guest's own disk, and not this machine's, of which it has parts; for root alone
[ "$*" = -a ] || { echo "fstrim: the stand-in knows -a alone" >&2; exit 1; }
[ -n "$SUDO_UID" ] || { echo "fstrim: /: FITRIM ioctl failed: Operation not permitted" >&2; exit 32; }
[ ! -b /dev/vdb ] || exec /bin/busybox fstrim /mnt/lima-*
"""
SYSTEMCTL = """#!/bin/sh
# systemctl(1), as far as Colima and people need it: process 1 does the work
reply=/run/systemd/reply.$$
mkfifo "$reply" || exit 1
echo "$$ ${SUDO_UID:+root} : $*" > /run/systemd/control
cat "$reply"
read -r rc < "$reply.rc"
rm -f "$reply" "$reply.rc"
exit "$rc"
"""
DATE = """#!/bin/sh
# date(1), of now: the Mac's clock (Mac.set_clock), which Lima sends every 10 s (L:hostagent/timesync.go)
records=/private/var/db/standin jumped=0 off=0
[ ! -r $records/clock ] || jumped=$(tail -n 1 $records/clock | cut -d ' ' -f 2)
[ ! -r $records/faults/guest-clock-off ] || off=$(cat $records/faults/guest-clock-off)
exec busybox date -d "@$(($(busybox date +%s) + jumped + off))" "$@"
"""
JOURNALCTL = """#!/bin/sh
# journalctl(1): the last lines of docker.service, which only root may read
[ -n "$SUDO_UID" ] || { echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1; }
tail -n 40 /var/log/docker.log
"""


def ask_docker(method: str, path: str, timeout: float = 30) -> int:
    """One request to the engine: its status, or 0 when there was none."""
    answer = b""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(timeout)
        engine.connect("/var/run/docker.sock")
        engine.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        while chunk := engine.recv(65536):
            answer += chunk
        return int(answer.split()[1])
    return 0


class Guest:
    """Process 1 of the guest."""

    def __init__(self, machine: Machine, buttons: int) -> None:
        self.machine = machine
        self.buttons = buttons
        self.cgroup = machine.cgroup
        self.thawed = threading.Event()
        self.thawed.set()
        self.statuses: dict[int, int] = {}
        self.reaped = threading.Condition()
        self.service = threading.RLock()  # systemd does one job of a unit at a time
        self.dockerd: int | None = None
        self.containerd: int | None = None
        self.wanted = False  # whether docker.service is to run
        self.docker_entered = 0  # when it last became active, in microseconds since the boot

    # -- the machine

    def run(self) -> int:
        """Boot, then reap until the power button was pressed."""
        registry = self.make_root()
        socket.sethostname(self.machine.id)
        subprocess.run(["/bin/ip", "link", "set", "lo", "up"], check=True)
        self.start_containerd()
        registry.serve()
        for work in (self.watch_buttons, self.watch_units, self.answer, self.keep_docker):
            threading.Thread(target=work, daemon=True).start()
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                time.sleep(0.02)
                continue
            with self.reaped:
                self.statuses[pid] = os.waitstatus_to_exitcode(status)
                self.reaped.notify_all()

    def wait(self, pid: int, timeout: float | None = None) -> int | None:
        """The exit code of a child (negative: a signal), None when it takes longer."""
        with self.reaped:
            self.reaped.wait_for(lambda: pid in self.statuses, timeout)
            return self.statuses.get(pid)

    def call(self, *argv: str, **more: Any) -> int:
        """Run a program, reaped by the main thread."""
        process = subprocess.Popen(argv, **more)
        process.returncode = 0  # reaped elsewhere: keeps Popen from looking for it
        return self.wait(process.pid) or 0

    def make_root(self) -> Registry:
        """Build the root directory and move into it."""
        check(libc.unshare(CLONE_NEWNS), "unshare")
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        root = Path("/run/guest") if Path("/run").is_dir() else Path("/tmp/guest")
        root.mkdir(exist_ok=True)
        mount("guest", str(root), "tmpfs", 0, "mode=755")
        for name in (
            "bin dev etc home lib lib64 mnt old opt private proc root run run/host run/systemd sbin"
            " sys tmp usr usr/bin usr/lib usr/lib64 usr/sbin var var/lib var/lib/docker var/log"
        ).split():
            (root / name).mkdir()
        (root / "var/run").symlink_to("/run")
        (root / "tmp").chmod(0o1777)
        busybox, applets = self.install_programs(root)
        for name, text in {
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
            "etc/group": f"root:x:0:\ndocker:x:{self.machine.gid}:\n",
            "etc/hosts": f"127.0.0.1 localhost {self.machine.id}\n",
            "etc/resolv.conf": "nameserver 192.168.5.3\n",
            "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04 LTS"\nNAME="Ubuntu"\nID=ubuntu\n',
        }.items():
            (root / name).write_text(text)
        for library in ("lib", "lib64"):
            if Path(HOST, library).is_dir():
                mount(f"{HOST}/{library}", f"{root}/usr/{library}", "", MS_BIND)
                (root / library).rmdir()
                (root / library).symlink_to(f"usr/{library}")
        if Path("/etc/ld.so.cache").exists():
            shutil.copy("/etc/ld.so.cache", root / "etc/ld.so.cache")
        mount("proc", f"{root}/proc", "proc")
        mount("sysfs", f"{root}/sys", "sysfs")
        mount("/sys/fs/cgroup", f"{root}/sys/fs/cgroup", "", MS_BIND | MS_REC)
        self.make_devices(root / "dev")
        mount("tmpfs", f"{root}/run", "tmpfs", 0, "mode=755")
        for name in ("host", "systemd"):
            (root / "run" / name).mkdir()
        # Not this machine's, whose tests keep it busy.
        (root / "run/loadavg").write_text("0.21 0.08 0.02 1/143 812\n")
        mount(f"{root}/run/loadavg", f"{root}/proc/loadavg", "", MS_BIND)
        os.mkfifo(root / "run/systemd/control")
        mount(str(self.machine.share), f"{root}/run/host", "", MS_BIND)
        disk = attach(self.machine) if self.machine.real else -1
        if disk >= 0:
            os.mknod(f"{root}{VDB}", 0o600 | stat.S_IFBLK, os.fstat(disk).st_rdev)
        else:
            mount(str(self.machine.data), f"{root}/var/lib/docker", "", MS_BIND)
        records = Path("/private/var/db/standin")
        if records.is_dir():
            (root / records.relative_to("/")).mkdir(parents=True)
            mount(str(records), f"{root}{records}", "", MS_BIND)
        for entry in self.machine.mounts:
            self.share_directory(root, entry)
        registry = Registry(busybox, applets)
        os.chdir(root)
        check(libc.pivot_root(b".", b"old"), "pivot_root")
        os.chdir("/")
        check(libc.umount2(b"/old", MNT_DETACH), "umount")
        if disk >= 0:
            self.mount_disk()
            os.close(disk)
        return registry

    def mount_disk(self) -> None:
        """Docker's data, on the data disk as in Colima's guests; they trim it (colima vm/lima/yaml.go)."""
        place = Path(f"/mnt/lima-{self.machine.id}")
        place.mkdir()
        mount(VDB, str(place), "ext4")
        subprocess.run(["/bin/busybox", "fstrim", str(place)], check=True)
        (place / "docker").mkdir(exist_ok=True)
        mount(str(place / "docker"), "/var/lib/docker", "", MS_BIND)

    @staticmethod
    def share_directory(root: Path, entry: dict[str, Any]) -> None:
        """A directory of the Mac's, at its own place in the guest."""
        source = os.path.realpath(str(entry["location"]))
        target = f"{root}{entry.get('mountPoint') or entry['location']}"
        if not Path(source).is_dir():
            return
        Path(target).mkdir(parents=True, exist_ok=True)
        mount(source, target, "", MS_BIND | MS_REC)
        if not entry.get("writable"):
            mount(source, target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)

    def install_programs(self, root: Path) -> tuple[Path, list[str]]:
        """The engine (bind-mounted, where this machine has it) and busybox with its applets."""
        busybox = find_program("busybox")
        if busybox is None:
            raise FileNotFoundError("busybox")
        listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        applets = listing.stdout.split()
        shutil.copy(busybox, root / "bin/busybox")
        for applet in applets:
            if applet not in ("busybox", "sudo", "systemctl"):
                (root / "bin" / applet).symlink_to("busybox")
        for name in ENGINE + TOOLS:
            program = find_program(name)
            if program is not None:
                target = root / "usr/sbin" / name
                target.touch()
                mount(str(program), str(target), "", MS_BIND)
        for name, text in {
            "bin/sudo": SUDO,
            "bin/systemctl": SYSTEMCTL,
            "bin/journalctl": JOURNALCTL,
            "sbin/fstrim": FSTRIM,
        }.items():
            (root / "usr" / name).write_text(text)
            (root / "usr" / name).chmod(0o755)
        # By its path: busybox's sh has one of its own.
        (root / "bin/date").unlink()
        (root / "bin/date").write_text(DATE)
        (root / "bin/date").chmod(0o755)
        return busybox, applets

    @staticmethod
    def make_devices(dev: Path) -> None:
        mount("dev", str(dev), "tmpfs", MS_NOSUID, "mode=755")
        for name, minor in {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}.items():
            os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            (dev / name).chmod(0o666)
        os.mknod(dev / "tty", 0o666 | stat.S_IFCHR, os.makedev(5, 0))
        for name in ("pts", "shm"):
            (dev / name).mkdir()
        mount("devpts", str(dev / "pts"), "devpts", 0, "newinstance,ptmxmode=0666,mode=620")
        mount("shm", str(dev / "shm"), "tmpfs")
        (dev / "ptmx").symlink_to("pts/ptmx")
        for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
            (dev / name).symlink_to(f"/proc/self/fd{target}")

    # -- the outside: power button, agent

    def watch_buttons(self) -> None:
        """Do what the supervisor tells."""
        with os.fdopen(self.buttons, encoding="utf-8") as lines:
            for line in lines:
                if line == "freeze\n":
                    self.thawed.clear()
                    os.kill(-1, signal.SIGSTOP)
                elif line == "thaw\n":
                    self.thawed.set()
                    os.kill(-1, signal.SIGCONT)
                elif line == "powerdown\n":
                    threading.Thread(target=self.power_off, daemon=True).start()

    def power_off(self) -> None:
        """systemd's poweroff: stop docker, then halt (the kernel kills who is left)."""
        self.thawed.wait()
        with self.service:
            self.wanted = False
            self.stop_docker()
            os._exit(0)

    def answer(self) -> None:
        """The agent: run commands for the Mac."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{SHARE}/agent.new")
        Path(f"{SHARE}/agent.new").chmod(0o666)  # the directory is the user's alone
        listener.listen(64)
        Path(f"{SHARE}/agent.new").rename(f"{SHARE}/agent.sock")
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """One command: JSON and three descriptors in, the exit code out."""
        with connection:
            message, fds, _, _ = socket.recv_fds(connection, 65536, 3)
            try:
                self.thawed.wait()
                if not message:
                    return
                request = json.loads(message)
                if "dial" in request:
                    self.dial(connection, *request["dial"])
                elif "ports" in request:
                    connection.sendall(json.dumps(listening_ports()).encode() + b"\n")
                elif len(fds) == 3:
                    code = self.execute(request, fds)
                    self.thawed.wait()
                    connection.sendall(f"{code}\n".encode())
                else:
                    connection.recv(1)  # the SSH master: lasts as long as the guest
            except (OSError, ValueError):
                pass
            finally:
                for fd in fds:
                    os.close(fd)

    def execute(self, request: dict[str, Any], fds: list[int]) -> int:
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "USER": str(request.get("user", "root")),
            "LANG": "C.UTF-8",
        }
        cwd = str(request.get("cwd") or "/")
        try:
            code = self.call(
                *request["exec"],
                stdin=fds[0],
                stdout=fds[1],
                stderr=fds[2],
                env=environment,
                cwd=cwd if Path(cwd).is_dir() else "/",
                start_new_session=True,
            )
        except OSError as error:
            name = request["exec"][0]
            os.write(fds[2], f"bash: line 1: {name}: {describe(error)}\n".encode())
            return 126 if isinstance(error, PermissionError) else 127
        return code if code >= 0 else 128 - code

    def dial(self, connection: socket.socket, address: str, port: int) -> None:
        """A forwarded TCP port."""
        address = "127.0.0.1" if address in ("0.0.0.0", "::") else address
        with socket.create_connection((address, port), 5) as target:
            target.settimeout(None)
            connection.sendall(b"+")
            relay(connection, target)

    # -- docker.service

    def watch_units(self) -> None:
        """systemctl's requests, from its FIFO."""
        while True:
            with Path("/run/systemd/control").open(encoding="utf-8") as lines:
                for line in lines:
                    threading.Thread(target=self.control, args=(line,), daemon=True).start()

    def control(self, line: str) -> None:
        who, _, words = line.partition(" : ")
        pid, *root = who.split()
        arguments = [word for word in words.split() if not word.startswith("-")]
        code, text = self.systemctl(arguments, bool(root))
        reply = f"/run/systemd/reply.{pid}"
        Path(f"{reply}.rc").write_text(f"{code}\n")
        with Path(reply).open("w", encoding="utf-8") as target:
            target.write(text)

    def systemctl(self, words: list[str], root: bool) -> tuple[int, str]:
        """systemctl(1) for docker and containerd: the exit code and what it prints."""
        verb, *units = words or ["list-units"]
        names = {unit.removesuffix(".service").removesuffix(".socket") for unit in units}
        if verb in ("is-active", "status"):
            known = names <= {"docker", "containerd"}
            states = [
                self.unit_state(unit.removesuffix(".service").removesuffix(".socket")) for unit in units
            ]
            return (0 if "active" in states else 3 if known else 4), "".join(f"{each}\n" for each in states)
        if verb == "show" and names == {"docker"}:
            return 0, f"ActiveEnterTimestampMonotonic={self.docker_entered}\n"
        if verb in ("daemon-reload", "enable", "disable", "is-enabled", "reset-failed"):
            return 0, ""
        if verb not in ("start", "stop", "restart", "kill"):
            return 1, f"Unknown command verb {verb}.\n"
        if not root:
            return 1, f"Failed to {verb} {units[0]}: Interactive authentication required.\n"
        if not names <= {"docker", "containerd"}:
            return 5, f"Failed to {verb} {units[0]}: Unit {units[0]} not found.\n"
        if "containerd" in names and verb in ("start", "restart", "stop"):
            self.control_containerd(verb)
        if "docker" not in names:
            return 0, ""
        with self.service:
            if verb == "kill":
                if self.dockerd:
                    os.kill(self.dockerd, signal.SIGKILL)
                return 0, ""
            self.wanted = verb != "stop"
            if verb in ("stop", "restart"):
                self.stop_docker()
            if verb in ("start", "restart") and not self.start_docker():
                self.wanted = False
                return 1, (
                    "Job for docker.service failed because the control process exited with error"
                    ' code.\nSee "systemctl status docker.service" and'
                    ' "journalctl -xeu docker.service" for details.\n'
                )
        return 0, ""

    def docker_runs(self) -> bool:
        return self.runs(self.dockerd)

    def runs(self, pid: int | None) -> bool:
        return pid is not None and self.wait(pid, 0) is None

    def control_containerd(self, verb: str) -> None:
        """Start, stop or restart containerd.service."""
        if verb != "start" and self.runs(self.containerd):
            assert self.containerd is not None
            os.kill(self.containerd, signal.SIGKILL)
            self.wait(self.containerd)
        if verb != "stop" and not self.runs(self.containerd):
            self.start_containerd()

    def unit_state(self, unit: str) -> str:
        """A unit's state as `systemctl is-active` has it."""
        if unit == "containerd":
            return "active" if self.runs(self.containerd) else "inactive"
        if unit == "docker" and self.docker_runs():
            return "active"
        if unit != "docker" or not self.wanted:
            return "inactive"
        return "activating" if fault("docker-stays-dead") is None else "failed"

    def start_containerd(self) -> None:
        """containerd.service, which restarts of docker leave alone."""
        log = os.open("/var/log/containerd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        Path("/etc/containerd.toml").write_text('disabled_plugins = ["cri"]\n')
        process = subprocess.Popen(
            ["/usr/sbin/containerd", "--config=/etc/containerd.toml", f"--address={CONTAINERD}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        os.close(log)
        process.returncode = 0  # reaped by the main thread
        self.containerd = process.pid

    def start_docker(self) -> bool:
        """Start dockerd and wait until it answers (it notifies systemd then)."""
        if self.docker_runs():
            return True
        if take_fault("docker-start-fails"):
            return False
        Path("/run/docker.pid").unlink(missing_ok=True)
        log = os.open("/var/log/docker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        process = subprocess.Popen(
            [
                "/usr/sbin/dockerd",
                "--host=unix:///var/run/docker.sock",
                f"--host=unix://{SHARE}/docker.sock",
                f"--containerd={CONTAINERD}",
                f"--cgroup-parent=/{self.cgroup}",
                f"--registry-mirror=http://127.0.0.1:{MIRROR_PORT}",
                "--exec-opt=native.cgroupdriver=cgroupfs",
                # Published ports go through docker-proxy, which is all that is seen of them from the Mac.
                "--iptables=false",
                "--ip6tables=false",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        os.close(log)
        process.returncode = 0  # reaped by the main thread
        self.dockerd = process.pid
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.docker_runs():
            if ask_docker("GET", "/_ping", 5) == 200:
                for path in ("/var/run/docker.sock", f"{SHARE}/docker.sock"):
                    Path(path).chmod(0o666)
                self.docker_entered = time.monotonic_ns() // 1000
                self.provide_images()
                return True
            time.sleep(0.02)
        return False

    def provide_images(self) -> None:
        """What a user of this guest has pulled before: once per data disk."""
        marker = Path("/var/lib/docker/.provided")
        if marker.exists():
            return
        for name in IMAGES:
            ask_docker("POST", f"/images/create?fromImage={quote(name)}&tag=latest")
        marker.touch()

    def stop_docker(self) -> None:
        """TERM, the containers' grace, at last KILL, as systemd does."""
        pid = self.dockerd
        if pid is None or self.wait(pid, 0) is not None:
            return
        os.kill(pid, signal.SIGTERM)
        if self.wait(pid, POWERDOWN_SECONDS) is None:
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)
        self.dockerd = None

    def keep_docker(self) -> None:
        """Restart=always, RestartSec=2, at most three in a minute (docker.service)."""
        restarts: list[float] = []
        while True:
            time.sleep(0.5)
            if not self.wanted or self.docker_runs() or fault("docker-stays-dead") is not None:
                continue
            time.sleep(1.5)
            restarts = [when for when in restarts if when > time.monotonic() - 60]
            with self.service:
                if self.wanted and not self.docker_runs():
                    if len(restarts) >= 3:
                        self.wanted = False
                        continue
                    restarts.append(time.monotonic())
                    self.start_docker()


def describe(error: OSError) -> str:
    return "command not found" if isinstance(error, FileNotFoundError) else str(error.strerror)


def find_program(name: str) -> Path | None:
    """Where this machine has a program; links are followed as they lead there, not in the Mac."""
    for place in PLACES:
        path = Path(place, name)
        for _ in range(8):
            if not path.is_symlink():
                break
            path = path.parent / path.readlink()
            if path.is_relative_to("/etc/alternatives"):  # which this machine has, not the Mac
                path = Path(HOST, "sbin", ALTERNATIVES.get(path.name, path.name))
            elif path.is_relative_to("/usr") and not path.is_relative_to(HOST):
                path = HOST / path.relative_to("/usr")
        if path.is_file():
            return path
    return None


def listening_ports() -> list[tuple[str, int]]:
    """What listens for TCP in the guest, all but the registry (L:guestagent_linux.go LocalPorts)."""
    found: set[tuple[str, int]] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == "0A":
                # Words of four bytes, each in this machine's order.
                words = (int(address[i : i + 8], 16) for i in range(0, len(address), 8))
                packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
                found.add((str(ipaddress.ip_address(packed)), int(port, 16)))
    return sorted(found - {("127.0.0.1", port) for port in (MIRROR_PORT, PRIVATE_PORT)})


def main() -> int:
    """Read the machine from the first line of stdin (byte by byte: the buttons follow)."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return 1
        line += byte
    return supervise(Machine(**json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
