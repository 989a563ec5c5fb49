"""The scripts of a reset with a Mac's own commands, sudo and users: on one volume, and to another."""

from __future__ import annotations

import files
from tests.mac.machine import Mac

MAKE = """umask 022; cd "$HOME" || exit 1
mkdir -p .colima/default .colima/_lima/colima .colima/_lima/_disks/colima .colima/_store
echo runtime >.colima/default/colima.yaml; echo vmType: qemu >.colima/_lima/colima/lima.yaml
head -c 3000000 /dev/urandom >.colima/_lima/_disks/colima/datadisk
ln -s ../../colima .colima/_lima/_disks/colima/in_use_by; echo '{}' >.colima/_store/colima.json
perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => ".colima/default/docker.sock", Listen => 1)'"""
LOOK = (
    'cd "$HOME/.colima" && find default _lima/colima _lima/_disks/colima _store -type f -exec md5 {} + | sort'
)


def run(mac: Mac, name: str, *arguments: str, user: str = "root") -> str:
    done = mac.run(["/bin/sh", "-c", files.text(name), name, *arguments], user=user, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_set_aside_and_put_back(mac: Mac) -> None:
    user = mac.run(["/bin/sh", "-c", MAKE], user="alice")
    assert (user.returncode, user.stderr) == (0, "")
    before = mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout
    assert before.count("\n") == 4
    # /private/tmp is a file system of its own on this Mac.
    for place in ("/Users/alice/units", "/private/tmp/units"):
        unit = f"{place}/default-1"
        assert unit in run(mac, "set-aside", "alice", "default", "move", unit, "/nowhere")
        assert not mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout
        assert unit in run(mac, "restore-backup", "alice", "default", unit)
        assert mac.run(["/bin/sh", "-c", LOOK], user="alice").stdout == before
        units = run(mac, "observe-backups", "alice", place)
        assert "vm_type=qemu" in units
    for place, writable in (
        ("/Users/alice/units", "yes"),
        ("/Users/Shared/units", "yes"),
        ("/opt/units", "no"),
    ):
        contents = run(mac, "observe-contents", "alice", "default", place, user="alice")
        assert contents.count("part=") == 4
        assert f"writable={writable}" in contents
    assert "deleted" in run(mac, "set-aside", "alice", "default", "delete", "", "")
    assert run(mac, "set-aside", "alice", "default", "resume") == ""
