"""What is on a stand-in Mac's disk: made at its first boot, from inside (`/` is the Mac's).

The disk begins as this machine's own root. `blank` hides what must not be seen of it; `make` lays
macOS over the rest. This machine's own commands stay within reach of the stand-ins: its /usr is
/usr/libexec/standin/host, and /usr/libexec/standin/gnu links to those that macOS has not, or has
differently.
"""

from __future__ import annotations

import compileall
import contextlib
import fnmatch
import io
import json
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Any

from tests.mac.homebrew import brew

HERE = Path(__file__).resolve().parent
STANDIN = Path("/usr/libexec/standin")
RECORDS = Path("/private/var/db/standin")
MADE = Path("/var/db/.AppleSetupDone")
BLANK = ("root", "home", "srv", "opt", "usr/local", "mnt", "media", "var/log", "var/tmp")
STAFF, ADMIN = 20, 80

SUDOERS = """\
# As sudo(8) of macOS has it (apple-oss-distributions/sudo): no secure_path, and HOME is kept.
Defaults !secure_path
Defaults env_reset
Defaults env_keep += "BLOCKSIZE"
Defaults env_keep += "COLORFGBG COLORTERM"
Defaults env_keep += "__CF_USER_TEXT_ENCODING"
Defaults env_keep += "CHARSET LANG LANGUAGE LC_ALL LC_COLLATE LC_CTYPE"
Defaults env_keep += "LC_MESSAGES LC_MONETARY LC_NUMERIC LC_TIME"
Defaults env_keep += "LINES COLUMNS"
Defaults env_keep += "LSCOLORS"
Defaults env_keep += "SSH_AUTH_SOCK"
Defaults env_keep += "TZ"
Defaults env_keep += "DISPLAY XAUTHORIZATION XAUTHORITY"
Defaults env_keep += "EDITOR VISUAL"
Defaults env_keep += "HOME MAIL"
Defaults !lecture
root ALL = (ALL) ALL
%admin ALL = (ALL) {tag}ALL
#includedir /private/etc/sudoers.d
"""

SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
LogLevel VERBOSE
AcceptEnv LANG LC_*
SetEnv PATH=/usr/bin:/bin:/usr/sbin:/sbin
ForceCommand /usr/libexec/standin/ssh-command
Subsystem sftp /usr/libexec/sftp-server
"""

SSH_COMMAND = """\
#!/bin/sh
# sshd runs this for each command (ForceCommand): it records the command and becomes it.
# A zsh that has a command reads this one of a login's files.
[ ! -r "$HOME/.zshenv" ] || . "$HOME/.zshenv"
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND
printf '%s\\0' "$command" >> /private/var/db/standin/ssh.log
[ -n "$command" ] && exec "$SHELL" -c "$command"
exec "$SHELL" -l
"""

PROFILE = """\
# System-wide profile for interactive Bourne shells (apple-oss-distributions/bash).
if [ -x /usr/libexec/path_helper ]; then
	eval `/usr/libexec/path_helper -s`
fi
"""

PAM_SUDO = """\
auth       required       pam_unix.so
account    required       pam_permit.so
password   required       pam_deny.so
session    required       pam_permit.so
"""

GUEST = """\
#!/usr/libexec/standin/python -SE
import sys

sys.path.insert(0, "/usr/libexec/standin")
from homebrew.guest import main

sys.exit(main())
"""

PATHS = "/usr/local/bin\n/System/Cryptexes/App/usr/bin\n/usr/bin\n/bin\n/usr/sbin\n/sbin\n"


def blank(upper: Path) -> None:
    """Before the first boot: empty directories that hide this machine's ("opaque" to overlayfs)."""
    for name in BLANK:
        directory = upper / name
        directory.mkdir(parents=True, exist_ok=True)
        os.setxattr(directory, "trusted.overlay.opaque", b"y")
    (upper / "private/tmp").mkdir(parents=True)
    (upper / "tmp").symlink_to("private/tmp")


def _write(path: str, text: str, mode: int = 0o644) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_text(text)
    target.chmod(mode)


def _link(path: str, target: str) -> None:
    link = Path(path)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _directory(path: str, uid: int = 0, gid: int = 0, mode: int = 0o755) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    os.chown(path, uid, gid)
    Path(path).chmod(mode)


def _keep(name: str) -> None:
    """Before a command of this machine goes: a link by which the stand-in still reaches it."""
    kept = STANDIN / "gnu" / name
    if not kept.is_symlink() and (found := shutil.which(name, path="/usr/bin:/usr/sbin")):
        real = Path(found).resolve()
        if real.is_relative_to("/usr"):
            kept.symlink_to(STANDIN / "host" / real.relative_to("/usr"))


def _lay(source: Path, target: Path) -> set[Path]:
    """Copy a tree over the disk, as root:wheel; return what was laid."""
    target.mkdir(parents=True, exist_ok=True)
    laid = set()
    for item in sorted(source.rglob("*")):
        place = target / item.relative_to(source)
        if "__pycache__" in item.parts:
            continue
        if item.is_dir() and not item.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
            continue
        if place.parent.name in ("bin", "sbin"):
            _keep(item.name)
        place.unlink(missing_ok=True)
        if item.is_symlink():
            place.symlink_to(item.readlink())
        else:
            shutil.copyfile(item, place)
            place.chmod(0o755 if item.stat().st_mode & stat.S_IXUSR else 0o644)
        laid.add(place)
    return laid


def _hide(laid: set[Path]) -> None:
    """Take away what macOS does not have: all commands but those just laid and those of present.txt."""
    lines = (HERE / "present.txt").read_text().splitlines()
    patterns = [word for line in lines if not line.startswith("#") for word in line.split()]
    names = {word for word in patterns if "*" not in word}
    globs = re.compile("|".join(fnmatch.translate(word) for word in patterns if "*" in word))
    for directory in ("/usr/bin", "/usr/sbin"):
        for path in Path(directory).iterdir():
            if path not in laid and path.name not in names and not globs.match(path.name):
                path.unlink()


def _accounts(config: dict[str, Any]) -> None:
    users = config["users"]
    passwd = ["root:x:0:0:System Administrator:/var/root:/bin/sh"]
    passwd += [f"{u['name']}:x:{u['uid']}:{STAFF}:{u['real_name']}:{u['home']}:{u['shell']}" for u in users]
    passwd += ["daemon:x:1:1:System Services:/var/root:/usr/bin/false"]
    passwd += ["sshd:x:75:75:sshd Privilege separation:/var/empty:/usr/bin/false"]
    passwd += ["nobody:x:4294967294:4294967294:Unprivileged User:/var/empty:/usr/bin/false"]
    names = ",".join(u["name"] for u in users)
    admins = ",".join(["root", *(u["name"] for u in users if u["admin"])])
    group = ["wheel:x:0:root", "daemon:x:1:root", "kmem:x:2:root", "sys:x:3:root", "tty:x:4:root"]
    group += [f"everyone:x:12:{names}", f"staff:x:{STAFF}:root", f"admin:x:{ADMIN}:{admins}"]
    group += ["_sshd:x:75:", "nobody:x:4294967294:"]
    shadow = ["root:*:19000::::::", *(f"{u['name']}:{u['shadow']}:19000::::::" for u in users)]
    _write("/etc/passwd", "\n".join(passwd) + "\n")
    _write("/etc/group", "\n".join(group) + "\n")
    _write("/etc/shadow", "\n".join(shadow) + "\n", 0o600)
    for name in ("gshadow", "passwd-", "group-", "shadow-", "gshadow-", "subuid", "subgid"):
        Path("/etc", name).unlink(missing_ok=True)
    for user in users:
        _home(user)


def _home(user: dict[str, Any]) -> None:
    uid, home = user["uid"], user["home"]
    Path(home).parent.mkdir(parents=True, exist_ok=True)
    for path, mode in (
        (home, 0o750),
        *((f"{home}/{name}", 0o700) for name in ("Desktop", "Documents", "Library", ".ssh")),
        (f"{home}/Library/LaunchAgents", 0o755),
        (f"{home}/Library/Caches", 0o755),
        (f"/var/folders/zz/{uid}/T", 0o700),
    ):
        _directory(path, uid, STAFF, mode)
    _write(f"{home}/.ssh/authorized_keys", user["key"], 0o600)
    os.chown(f"{home}/.ssh/authorized_keys", uid, STAFF)


def _system(config: dict[str, Any]) -> None:
    for path in (
        "/private",
        "/Users",
        "/Library/LaunchDaemons",
        "/Library/LaunchAgents",
        "/Volumes",
    ):
        _directory(path)
    _directory("/Library/Application Support")
    _directory("/Applications", 0, ADMIN, 0o775)
    _directory("/Users/Shared", mode=0o1777)
    _directory("/var/root", mode=0o750)
    _directory("/var/tmp", mode=0o1777)
    _directory("/var/empty")
    _directory("/var/db/com.apple.xpc.launchd")
    for name in ("var", "etc"):  # the other way round than on a Mac, for want of a cheap way
        _link(f"/private/{name}", f"../{name}")
    _link("/bin/sh", config["shell"])
    _link("/bin/zsh", "bash")
    shutil.rmtree("/etc/sudoers.d", ignore_errors=True)
    _directory("/etc/sudoers.d")
    _write("/etc/sudoers", SUDOERS.format(tag="" if config["sudo_password"] else "NOPASSWD: "), 0o440)
    _write("/etc/pam.d/sudo", PAM_SUDO)
    _write("/etc/pam.d/sudo-i", PAM_SUDO)
    _write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    _write("/etc/hosts", f"127.0.0.1 localhost {config['name']}\n::1 localhost\n")
    _write("/etc/hostname", f"{config['name']}\n")
    _write("/etc/profile", PROFILE)
    _write("/etc/paths", PATHS)
    for name in ("bash.bashrc", "environment", "motd", "issue"):
        Path("/etc", name).unlink(missing_ok=True)
    _write("/etc/ssh/sshd_config", SSHD_CONFIG)
    _write("/etc/ssh/ssh_host_ed25519_key", config["host_key"], 0o600)
    _write(str(STANDIN / "ssh-command"), SSH_COMMAND, 0o755)
    _link("/usr/libexec/sftp-server", "/usr/lib/openssh/sftp-server")


def _records(config: dict[str, Any]) -> None:
    """Where the stand-in keeps its records, and the machine's properties for its commands."""
    _directory(str(RECORDS / "faults"), mode=0o777)
    for name in ("commands.log", "ssh.log", "launchd.log"):
        (RECORDS / name).touch()
        (RECORDS / name).chmod(0o666)
    machine = {key: config[key] for key in ("name", "arch", "macos", "cpus", "memory_gib", "prefix")}
    machine["homebrew_user"] = config["homebrew_user"]
    (RECORDS / "machine.json").write_text(json.dumps(machine))


def _homebrew(config: dict[str, Any]) -> None:
    source, prefix = HERE / "homebrew", Path(config["prefix"])
    owner = next(u["uid"] for u in config["users"] if u["name"] == config["homebrew_user"])
    if source.is_dir():
        _lay(source, STANDIN / "homebrew")
        compileall.compile_dir(STANDIN / "homebrew", quiet=2)
        _link(str(STANDIN / "homebrew/bin/uv"), config["uv"])
        _write(str(STANDIN / "guest"), GUEST, 0o755)
        # qemu, who runs as the user, starts the machine it imitates with this.
        _write("/etc/sudoers.d/standin", f"ALL ALL = (root) NOPASSWD: {STANDIN}/guest\n", 0o440)
    directories = ("bin", "sbin", "etc", "lib", "opt", "share", "var", "var/log", "Cellar", "Caskroom")
    for path in (prefix, *(prefix / name for name in directories)):
        if path != Path("/usr/local"):  # that stays root's on Intel
            _directory(str(path), owner, ADMIN, 0o775)
    if prefix == Path("/usr/local"):
        _directory("/usr/local/Homebrew", owner, ADMIN, 0o775)
    if not source.is_dir():
        return
    shutil.copyfile(source / "bin/brew", prefix / "bin/brew")
    (prefix / "bin/brew").chmod(0o755)
    with contextlib.redirect_stdout(io.StringIO()):
        brew.install(prefix, config["installed"])
        # As the owner of a server has it.
        brew.pin(prefix, [name for name in ("colima", "lima", "qemu") if name in brew.installed(prefix)])
    links = (
        each for each in (prefix / "bin").iterdir() if each.is_symlink() and "Cellar" in str(each.readlink())
    )
    made = (each for name in ("opt", "Cellar", "var") for each in (prefix / name).rglob("*"))
    for path in (prefix / "bin/brew", *links, *made):
        os.chown(path, owner, ADMIN, follow_symlinks=False)


def make(config: dict[str, Any]) -> None:
    """Lay macOS over this machine's root."""
    (STANDIN / "gnu").mkdir(parents=True, exist_ok=True)
    interpreter = Path(config["python"])
    if interpreter.is_relative_to("/usr"):  # where a Mac has none
        interpreter = STANDIN / "host" / interpreter.relative_to("/usr")
    _link(str(STANDIN / "python"), str(interpreter))
    for command in ("setpriv", "original-awk"):
        _keep(command)
    _accounts(config)
    _system(config)
    _records(config)
    _hide(_lay(HERE / "overlay", Path("/")))
    if config["homebrew"]:
        _homebrew(config)
    MADE.touch(0o400)
