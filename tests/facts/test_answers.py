"""What short answers become, each as a script prints it; tests/files runs the scripts."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import FactBase, FactProcessError

from facts.backup import Backups, Contents, Part, ProfileContents, Unit
from facts.colima import Log, LogState
from facts.diagnosis import Diagnosis, DiagnosisState
from facts.docker import Garbage, Prunable, Pulled, PulledImage
from facts.homebrew import Formula, Formulae, FormulaeState, Homebrew, HomebrewState, Outdated, Upgrade
from facts.launchd import Milestones
from facts.logs import LogLines, Logs
from facts.mac import NoUser, User
from facts.power import Power, PowerState
from facts.toolkit import Toolkit, ToolkitState

CONTENTS = """\
home=/Users/al ice
part=instance 12 /Users/al ice/.colima/_lima/colima
part=disk 20 /Users/al ice/.colima/_lima/_disks/colima
other=foo
other_dir=7 /Users/al ice/.config/colima
free=100
same_volume=yes
writable=yes"""

UNITS = """\
home=/Users/a
[unit]
path=/b/a=b
profile=web
made=2026-11-22T10:15Z
kib=9
vm_type=qemu
disk=10
[unit]
path=/b/x.part
kib="""

POWER = """\
|Battery Power:
| Sleep On Power Button 1
| sleep                1
| autorestart          0
|AC Power:
| sleep                0 (sleep prevented by caffeinate, powerd)
| hibernatefile        /var/vm/sleepimage
"""
CAPABILITIES = """\
|Capabilities for AC Power:
| sleep
| Sleep On Power Button"""

DIAGNOSIS = """\
kind=docker
found=a; b=c
plan=a; b=c. To recover: d
steps=docker job
fatal="""

FORMULAE = """\
formula=qemu 900 yes 10.1.2_1
entitled=yes
elapsed=   01:05
now=1000
up=70"""

OUTDATED = """\
|==> Updated Homebrew from 1 to 2.
|{
|  "formulae": [
|    {"name": "qemu", "installed_versions": ["9.2", "10.1.2"], "current_version": "10.2.0", "pinned": true},
|    {"name": "al/ice/colima", "installed_versions": ["HEAD-1a"], "current_version": "0.10.4"}
|  ],
|  "casks": []
|}"""

SUDO_SAID = "sudo: unable to resolve host mini"


@pytest.mark.parametrize(
    ("fact", "output", "value"),
    [
        (
            ProfileContents,
            CONTENTS,
            Contents(
                parts=(
                    Part("instance", "/Users/al ice/.colima/_lima/colima", 12),
                    Part("disk", "/Users/al ice/.colima/_lima/_disks/colima", 20),
                ),
                others=("foo",),
                other_dir="/Users/al ice/.config/colima",
                other_dir_kib=7,
                free_kib=100,
                same_volume=True,
                writable=True,
            ),
        ),
        (ProfileContents, "home=", None),
        (
            Backups,
            UNITS,
            [
                Unit("a=b", True, "web", "2026-11-22T10:15Z", 9, "qemu", 10),
                Unit("x.part", False, None, None, 0, None, None),
            ],
        ),
        (Backups, "home=", None),
        (Backups, "home=/a", []),
        (Log, "exposed=/a is b's\nsize=0", LogState(0, "/a is b's")),
        (Formulae, FORMULAE, FormulaeState({"qemu": Formula("10.1.2_1", 900, True)}, True, 1000, 65, 70)),
        (Formulae, "entitled=no\nnow=\nup=", FormulaeState({}, False)),
        (
            Outdated,
            OUTDATED,
            [Upgrade("qemu", "9.2, 10.1.2", "10.2.0"), Upgrade("colima", "HEAD-1a", "0.10.4")],
        ),
        (Outdated, '|{\n|"formulae": []\n|}', []),
        (Outdated, "", None),
        (Outdated, "|==> Updated Homebrew\n|{", None),
        (Outdated, '|{\n|"formulae": [{"name": "qemu"}]}', None),
        (
            Diagnosis,
            f"outcome=broken\n{DIAGNOSIS}x",
            DiagnosisState("a; b=c", ("docker", "job"), plan="a; b=c. To recover: d", fatal="x"),
        ),
        (
            Diagnosis,
            f"outcome=passing\n{DIAGNOSIS}",
            DiagnosisState("a; b=c", ("docker", "job"), passing=True, plan="a; b=c. To recover: d"),
        ),
        (Diagnosis, "", None),
        (PulledImage, "before=\nafter=sha256:1", Pulled(None, "sha256:1")),
        (
            PulledImage,
            "before=sha256:1\ntrouble=Get x=y: EOF\nafter=sha256:1",
            Pulled("sha256:1", "sha256:1", "Get x=y: EOF"),
        ),
        (Prunable, "|container old (exited)\n|x", Garbage(["container old (exited)", "x"])),
        (Prunable, "trouble=Cannot connect", Garbage([], "Cannot connect")),
        (Milestones, "log-offset=1024\nsmoke.web=a=b\nfirst-start=",
         {"log-offset": "1024", "smoke.web": "a=b", "first-start": ""}),
        (
            Logs,
            f"{SUDO_SAID}\n|no part\n[7:20]\n|one\n{SUDO_SAID}\n|two\n[absent]\n[unreadable] denied\n[8:0]",
            (
                LogLines("7:20", ("one", "two")),
                LogLines("absent"),
                LogLines("unreadable", why="denied"),
                LogLines("8:0"),
            ),
        ),
        (Homebrew, "prefix=/usr/local", HomebrewState("/usr/local", None, None, ())),
        (User, "status=56\n<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)", NoUser()),
        (User, "status=127\nsh: /usr/bin/dscl: No such file or directory", None),
        (User, "status=0\nNFSHomeDirectory: /Users/x\nPrimaryGroupID: 20\nUniqueID: many", None),
        # What the Mac has not is left out, although a source has a value for it.
        (
            Power,
            POWER + CAPABILITIES,
            PowerState({"Battery Power": {"Sleep On Power Button": 1, "sleep": 1}, "AC Power": {"sleep": 0}}),
        ),
        (Power, POWER.rstrip(), None),
        (Power, CAPABILITIES, None),
        (Toolkit, "digest=5f2b", ToolkitState("5f2b")),
        (
            Toolkit,
            "digest=5f2b\nsettings=Regular File 0 0 644\n|user=alice\n|log=/a=b\n|digest=x",
            ToolkitState("5f2b", {"user": "alice", "log": "/a=b", "digest": "x"}, safe=True),
        ),
        (Toolkit, "settings=Regular File 501 0 644\n|user=eve", ToolkitState(None, {"user": "eve"})),
        (Toolkit, "settings=Symbolic Link 0 0 755\n|user=eve", ToolkitState(None, {"user": "eve"})),
    ],
)  # fmt: skip
def test_an_answer(fact: type[FactBase[Any]], output: str, value: object) -> None:
    assert fact().process([*output.splitlines(), "end"]) == value


@pytest.mark.parametrize(
    ("fact", "output"),
    [
        (ProfileContents, "home=/a\npart=disk"),
        (Diagnosis, f"outcome=fine\n{DIAGNOSIS}"),
        (Diagnosis, "outcome=good"),
        (PulledImage, "before=sha256:1"),
        (Logs, "[7:20]\n[8:0]"),
    ],
)
def test_half_an_answer_is_none(fact: type[FactBase[Any]], output: str) -> None:
    with pytest.raises(FactProcessError):
        fact().process([*output.splitlines(), "end"])
