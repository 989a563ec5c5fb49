"""The machine under a stand-in Mac: switches it on, and on again when it reboots.

`python -m tests.mac.boot DIR [LIFELINE]` runs on this machine until the Mac of DIR is off. Each
boot gets mount, pid, uts, ipc and net namespaces of its own, the Mac's disk (an overlay over this
machine's `/`) as its root, and tests/mac/launchd.py as process 1. LIFELINE is a pipe's reading end:
when it closes, whoever started the Mac is gone, and the Mac goes too.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.mac import disk, launchd

STANDIN = "/usr/libexec/standin"
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MNT_DETACH = 2
SIOCSIFFLAGS, IFF_UP_LOOPBACK_RUNNING = 0x8914, 0x1 | 0x8 | 0x40
SIOCSIFADDR = 0x8916
ADDRESS = "192.168.1.20"  # ifconfig shows it as en0's

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _check(libc.mount(*arguments), f"mount {kind} {source} on {target}")


def mount_overlay(directory: Path) -> None:
    """The Mac's disk: this machine's `/` below, DIR/upper above, seen together in DIR/root."""
    layers = f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work"
    mount("overlay", f"{directory}/root", "overlay", 0, layers)


def _bind(source: str, target: str) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    mount(source, target, flags=MS_BIND)


def _enter_disk(directory: Path, binds: list[list[str]]) -> None:
    """Mount the disk with all that is not on it, and make it `/`."""
    _check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount_overlay(directory)
    root = f"{directory}/root"
    # What macOS clears at boot lies on file systems that die with the boot.
    mount("tmpfs", f"{root}/private/tmp", "tmpfs", 0, "mode=1777")
    mount("tmpfs", f"{root}/run", "tmpfs", 0, "mode=0755")
    mount("proc", f"{root}/proc", "proc")
    mount("sysfs", f"{root}/sys", "sysfs")
    if Path("/sys/fs/cgroup").is_dir():
        mount("/sys/fs/cgroup", f"{root}/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    mount("/dev", f"{root}/dev", flags=MS_BIND | MS_REC)
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", 0, "mode=1777")
    _bind(f"{directory}/db", f"{root}/var/db/standin")
    _bind("/usr", f"{root}{STANDIN}/host")
    for source, target in binds:
        _bind(source, root + target)
    os.chdir(root)
    _check(libc.pivot_root(b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount the old root")
    os.chdir("/")


def _network_up() -> None:
    """The loopback interface, which has the Mac's address in its network as well.

    From macOS 10.14 on, a port below 1024 is not root's alone; on one address it still is: homebrew/mux.py.
    """
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", b"lo", IFF_UP_LOOPBACK_RUNNING)
        fcntl.ioctl(probe, SIOCSIFFLAGS, request)
        address = struct.pack("16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(probe, SIOCSIFADDR, address)


def _process_one(directory: Path, config: dict[str, Any], listener: socket.socket) -> None:
    """What becomes launchd."""
    _network_up()
    name = config["name"].encode()
    _check(libc.sethostname(name, len(name)), "sethostname")
    _enter_disk(directory, config["binds"])
    if not disk.MADE.exists():
        disk.make(config)
    os.environ.clear()
    os.umask(0o022)
    launchd.main(listener, config["macos"])


def _host_number(pid: int) -> str:
    """A pid with its start time, so that a number used again is never taken for it."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return f"{pid} {stat.rpartition(')')[2].split()[19]}"


def _bind_port(listener: socket.socket, port: int) -> None:
    """The Mac keeps its port; someone's outgoing connection may have it for a moment."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return listener.bind(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _one_boot(directory: Path, config: dict[str, Any], lifeline: int) -> int:
    """Boot once; return process 1's exit status, or that of a power cut."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind_port(listener, config["ssh_port"])
    listener.listen(64)
    _check(libc.unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET), "unshare")
    pid = os.fork()
    if pid == 0:
        if lifeline >= 0:
            os.close(lifeline)
        _process_one(directory, config, listener)
        os._exit(1)
    listener.close()
    (directory / "pid").write_text(_host_number(pid))
    watch = select.poll()
    process = os.pidfd_open(pid)
    watch.register(process, select.POLLIN)
    if lifeline >= 0:
        watch.register(lifeline, select.POLLIN)
    if all(descriptor != process for descriptor, _ in watch.poll()):
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(directory: Path, lifeline: int = -1) -> None:
    """Keep the Mac of this directory on until it halts, fails or loses its power."""
    config = json.loads((directory / "machine.json").read_text())
    again = True
    while again:
        (directory / "db" / "booted").unlink(missing_ok=True)
        # unshare(2) gives a process one pid namespace in its life: each boot has its own process.
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _one_boot(directory, config, lifeline)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code & 0xFF)
        again = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == launchd.REBOOT


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
