"""The commands of a reset with a Mac's own tools, sudo and users: on one volume, and to another."""

from __future__ import annotations

import files
from tests.e2e.looking import LABEL
from tests.mac.machine import Mac

SUPPORT = "/Library/ColimaPulse"
SETTINGS = "user=alice\nhome=/Users/alice\nprofile=default\nlog=/var/log/colima.log\nprefix=/opt/homebrew\n"
MAKE = """umask 022; cd "$HOME" || exit 1
mkdir -p .colima/default .colima/_lima/colima .colima/_lima/_disks/colima .colima/_store
echo runtime >.colima/default/colima.yaml; echo vmType: qemu >.colima/_lima/colima/lima.yaml
head -c 3000000 /dev/urandom >.colima/_lima/_disks/colima/datadisk
ln -s ../../colima .colima/_lima/_disks/colima/in_use_by; echo '{}' >.colima/_store/colima.json
perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => ".colima/default/docker.sock", Listen => 1)'"""
LOOK = (
    'cd "$HOME/.colima" && find default _lima/colima _lima/_disks/colima _store -type f -exec md5 {} + | sort'
)


def run(mac: Mac, name: str, *arguments: str) -> str:
    """What a command of the toolkit says."""
    done = mac.run([f"{SUPPORT}/bin/{name}", LABEL, *arguments], check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def fact(mac: Mac, name: str, *arguments: str) -> str:
    """What a fact's script prints, run as alice."""
    return mac.run(
        ["/bin/sh", "-c", files.text(f"facts/{name}"), name, "alice", *arguments], user="alice"
    ).stdout


def test_set_aside_and_put_back(mac: Mac) -> None:
    install = files.text("install")
    mac.run(["/bin/sh", "-c", install, "install", files.digest()], stdin=files.archive())
    mac.run([f"{SUPPORT}/bin/configure", LABEL], stdin=SETTINGS)
    said = mac.run([f"{SUPPORT}/bin/set-aside", "-h"]).stdout
    assert said.startswith("Take a Colima profile out of its place: set-aside LABEL")
    mac.run(["/bin/sh", "-c", MAKE], user="alice")
    before = mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout
    assert before.count("\n") == 4
    # /private/tmp is a file system of its own on this Mac.
    for place in ("/Users/alice/units", "/private/tmp/units"):
        unit = f"{place}/default-1"
        assert unit in run(mac, "set-aside", "move", unit)
        assert not mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout
        assert unit in run(mac, "restore-backup", unit, f"{place}/default-2")
        assert mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout == before
        assert "vm_type=qemu" in fact(mac, "backups", place)
    for place, writable in (("/Users/Shared/units", "yes"), ("/opt/units", "no")):
        contents = fact(mac, "contents", "default", place)
        assert contents.count("part=") == 4
        assert f"writable={writable}" in contents
    assert "deleted" in run(mac, "set-aside", "delete", "")
    assert run(mac, "finish-reset") == ""
