"""facts/job, profile and log, run for real and read by the facts they are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facts.colima import ColimaProfile, Log, LogState, ProfileState
from facts.launchd import JobState, LaunchdJob
from tests.files.conftest import FIELDS, Mac, lines
from tests.files.test_lib import HOSTILE

LABEL = "a b.label"
PRINT = """system/a b.label = {
	active count = 1
	path = /Library/LaunchDaemons/a b.label.plist
	state = running

	arguments = {
		/bin/echo
		}
		|state = forged
		[print 113]
		[end 0]
		end
	}

	environment = {
		A => b=c
	}

	runs = 1
	pid = 77
	last exit code = (never exited)
}
"""


@pytest.fixture
def launchctl(mac: Mac) -> Mac:
    (mac.root / "print").write_text(PRINT)
    mac.tool(
        "/bin/launchctl",
        f"""case "$1 $2" in
        'print system/{LABEL}') cat '{mac.root}/print' ;;
        'print-disabled system')
            printf '\\tdisabled services = {{\\n\\t\\t"{LABEL}" => disabled\\n\\t}}\\n' ;;
        *) echo 'Unrecognized subcommand' >&2; exit 64 ;;
        esac""",
    )
    # BSD's stat: %HT is the file's type in words, %Lp its mode.
    mac.tool(
        "/usr/bin/stat",
        FIELDS
        + """[ "$1 $2 $#" = '-f %HT %u %g %Lp 3' ] || exit 1
        type='Regular File'
        if [ -L "$3" ]; then type='Symbolic Link'; elif [ -d "$3" ]; then type=Directory; fi
        echo "$type 0 0 $(fields mode "$3")" """,
    )
    mac.tool(
        "/usr/bin/plutil",
        '[ "$1 $2 $3 $4" = "-convert xml1 -o -" ] && cat "$5" || { echo "$5: no"; exit 1; }',
    )
    return mac


def job(mac: Mac) -> JobState | None:
    done = mac.run("facts/job", LABEL)
    assert (done.returncode, done.stderr) == (0, "")
    return LaunchdJob().process(lines(done))


def plist_of(mac: Mac) -> Path:
    """Where the job's property list is."""
    directory = mac.root / "Library/LaunchDaemons"
    directory.mkdir()
    return directory / f"{LABEL}.plist"


def test_a_job_and_its_plist(launchctl: Mac) -> None:
    plist = plist_of(launchctl)
    plist.write_text("<?xml version='1.0'?><plist>\n<!--\n[end 0]\n|\n=-->\n\n<dict/></plist>\n")
    plist.chmod(0o644)
    state = job(launchctl)
    assert state is not None
    assert (state.loaded, state.disabled, state.state, state.pid) == (True, True, "running", 77)
    assert state.arguments == ("/bin/echo", "}", "|state = forged", "[print 113]", "[end 0]", "end")
    assert state.environment == {"A": "b=c"}
    assert state.plist_file is not None
    assert (state.plist_file.kind, state.plist_file.mode, state.plist) == ("Regular File", "644", {})


def test_a_plist_that_is_no_file_is_seen_as_what_it_is(launchctl: Mac) -> None:
    plist_of(launchctl).symlink_to(launchctl.root / "tools")
    state = job(launchctl)
    assert state is not None
    assert state.plist_file is not None
    assert (state.plist_file.kind, state.plist_file.text) == ("Symbolic Link", None)


def test_a_job_that_launchd_does_not_know_and_one_that_it_does_not_tell_of(launchctl: Mac) -> None:
    for code, found in ((113, JobState(loaded=False, disabled=False)), (1, None), (127, None)):
        launchctl.tool("/bin/launchctl", f"[ $1 = print-disabled ] || exit {code}")
        assert job(launchctl) == found


def instance(mac: Mac, name: str = "colima") -> Path:
    directory = mac.home / ".colima/_lima" / name
    directory.mkdir(parents=True)
    return directory


def profile(mac: Mac, name: str = "default", edits: dict[str, str] | None = None) -> ProfileState | None:
    done = mac.run("facts/profile", "alice", name, env=HOSTILE, edits=edits, stdin="input\n")
    assert (done.returncode, done.stderr) == (0, "")
    return ColimaProfile().process(lines(done))


def test_where_nothing_was_made_limactl_is_not_called_and_nothing_is_made(mac: Mac) -> None:
    mac.brewed("limactl", "echo called")
    before = sorted(mac.root.rglob("*"))
    state = profile(mac)
    assert state == ProfileState(str(mac.home), "colima", False, None, False)
    assert mac.calls("limactl") == []
    made = set(mac.root.rglob("*")) - set(before)
    assert all(mac.root / "calls" in path.parents for path in made)


def inodes(mac: Mac) -> None:
    mac.tool("/usr/bin/stat", FIELDS + '[ "$1 $2 $3 $#" = "-L -f %d:%i 4" ] && fields -L dev ino "$4"')


def made(directory: Path, *instances: str) -> str:
    """A state directory with these instances of Lima, and what else lies there."""
    for name in instances:
        (directory / "_lima" / name).mkdir(parents=True)
        (directory / "_lima" / name / "lima.yaml").write_text("vmType: qemu\n")
    for name in ("_config", "_disks/colima", "colima-half-made"):
        (directory / "_lima" / name).mkdir(parents=True, exist_ok=True)
    return str(directory)


def test_what_lies_in_the_home(mac: Mac) -> None:
    inodes(mac)
    mac.brewed("limactl", "")
    made(mac.home / ".colima", "colima-web")
    (mac.home / ".config").mkdir()
    other = mac.home / ".config/colima"
    other.symlink_to("../.colima")
    state = profile(mac, "web")
    assert state is not None
    assert (state.other_dir, state.profiles) == (None, ("web",)), "a link from one to the other is one"
    other.unlink()
    made(other, "colima-a-b")
    state = profile(mac, "web")
    assert state is not None
    assert (state.other_dir, state.other_profiles) == (str(other), ("a-b",))
    assert not state.data_disk, "colima is a prefix of colima-web"


def test_the_login_shell_says_where_else(mac: Mac) -> None:
    inodes(mac)
    other = made(mac.root / "elsewhere/colima", "colima")
    shell = mac.root / "login shell"
    asked = f"'-c {mac.path('/usr/bin/printenv')} XDG_CONFIG_HOME'"
    shell.write_text(f"#!/bin/sh\n[ \"$*\" = {asked} ] || exit 1\necho Hello\necho '{mac.root}/elsewhere'\n")
    shell.chmod(0o755)
    mac.tool(
        "/usr/bin/dscl",
        f"""case "$3 $4" in
        *NFSHomeDirectory) printf 'NFSHomeDirectory:\\n %s\\n' '{mac.home}' ;;
        '/Users/alice UserShell') echo 'UserShell: {shell}' ;;
        esac""",
    )
    state = profile(mac)
    assert state is not None
    assert (state.other_dir, state.other_profiles) == (other, ("default",))


def test_a_login_shell_that_says_nothing_of_use(mac: Mac) -> None:
    for said in ("echo relative", "echo /nowhere", "exit 3", "sleep 30"):
        mac.tool("/usr/bin/printenv", said)
        state = profile(mac, edits={"bounded 10": "bounded 0.5"})
        assert state is not None
        assert state.other_dir is None
    asked = len(mac.calls("printenv"))
    instance(mac).joinpath("colima.yaml").write_text("disk: 20\n")
    profile(mac)
    assert len(mac.calls("printenv")) == asked, "only before a first start"


def test_an_instance(mac: Mac) -> None:
    mac.become("root")
    directory = instance(mac, "colima-web")
    directory.joinpath("colima.yaml").write_text('cpu: 2\ndisk: 60\nruntime: "docker"\nrootDisk: 20\n')
    error = 'a=b | [end 0]\n"end"\nend'
    found = {
        "name": "colima-web", "status": "Running", "vmType": "qemu", "cpus": 2, "memory": 4294967296,
        "disk": 20, "hostAgentPID": 12, "driverPID": 13, "errors": [error],
    }  # fmt: skip
    answer = [{"name": "colima", "status": "Stopped"}, found, {"name": "colima-web-2", "status": "Broken"}]
    (mac.root / "list").write_text("".join(json.dumps(each) + "\n" for each in answer))
    mac.brewed("limactl", f"cat; echo 'end' >&2; cat '{mac.root}/list'")
    assert profile(mac, "web") == ProfileState(
        home=str(mac.home), instance="colima-web", state_dir=True, other_dir=None, data_disk=False,
        provisioned=True, status="Running", vm_type="qemu", runtime="docker", cpus=2, memory=4294967296,
        disk=60,
    )  # fmt: skip
    assert mac.env("limactl")["LIMA_HOME"] == f"{mac.home}/.colima/_lima"
    assert "XDG_CONFIG_HOME" not in mac.env("limactl")


@pytest.mark.parametrize("body", ["echo '{}'; exit 1", "exec sleep 300"])
def test_a_limactl_that_fails_or_hangs_is_unknown_and_not_absent(mac: Mac, body: str) -> None:
    instance(mac)
    mac.brewed("limactl", body)
    assert profile(mac, edits={'"$2" 30 ': '"$2" 0.3 '}) is None


def test_how_large_a_log_is(mac: Mac) -> None:
    mac.stat()
    log = mac.root / "a log"

    def state() -> LogState:
        done = mac.run("facts/log", log)
        assert (done.returncode, done.stderr) == (0, "")
        return Log().process(lines(done))

    assert state() == LogState(0)
    log.write_text("one\n")
    assert state() == LogState(4)
    mac.stat({mac.root: "Directory:501:alice:755"})
    assert state() == LogState(0, exposed=f"{mac.root} is alice's, who could put something else in its place")
