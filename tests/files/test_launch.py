"""launch, which launchd starts: it makes the ground ready and becomes Colima."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.files.conftest import Mac, hostagent, is_gone, qemu
from tests.files.test_heal import leave, lock, put
from tests.files.test_lib import HOSTILE

LINE = ("start", "--profile=default", "--cpu", "2", "--env", "GREETING=two words", "--foreground")
NO_TIME = {"gone 20": "gone 0", "gone 10": "gone 0"}


def environment(mac: Mac, **more: str) -> dict[str, str]:
    """The plist's EnvironmentVariables, and what should not be among them."""
    return {
        **HOSTILE,
        "HOME": str(mac.home),
        "COLIMA_HOME": f"{mac.home}/.colima",
        "TMPDIR": f"{mac.home}/Library/Caches/colima-pulse",
        **more,
    }


def launch(mac: Mac, *line: str, edits: dict[str, str] | None = None, **more: str) -> subprocess.Popen[str]:
    colima = f"{mac.prefix}/bin/colima"
    return mac.installed(colima, *(line or LINE), env=environment(mac, **more), edits=edits)


def colima_start(mac: Mac) -> str:
    """A command line that starts the default profile; the directory in it is for ps."""
    return f"colima start --foreground --env x={mac.root} --cpu"


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def running(mac: Mac, stop: str) -> list[subprocess.Popen[bytes]]:
    """A colima whose `stop` does as told, and a host agent and a QEMU that run."""
    mac.brewed("colima", f'case $1 in stop) {stop} ;; start) echo "became $$" ;; esac')
    return [mac.start(hostagent(mac)), mac.start(qemu(mac))]


def test_it_becomes_colima_with_the_same_words_and_the_plists_environment(mac: Mac) -> None:
    """Without what would lead Colima astray."""
    mac.brewed("colima", '[ -d "$COLIMA_HOME" ] && [ -w "$TMPDIR" ] && echo "$$"; pwd; exit 6')
    process = launch(mac, KEPT="1")
    status, out, err = finish(process)
    assert (status, err) == (6, "")
    assert out == f"{process.pid}\n{mac.home}\n", "launchd's pid is not Colima's"
    assert mac.calls("colima") == [list(LINE)]
    env = mac.env("colima")
    for name in ("XDG_CONFIG_HOME", "LIMA_HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "COLIMA_PROFILE"):
        assert name not in env
    kept = {key: value for key, value in environment(mac, KEPT="1").items() if key not in HOSTILE}
    assert kept.items() <= env.items()
    assert env["COLIMA_HOME"] == f"{mac.home}/.colima"


def test_it_does_not_run_as_root(mac: Mac) -> None:
    mac.become("root")
    mac.brewed("colima", ":")
    status, _, err = finish(launch(mac))
    assert (status, mac.calls("colima")) == (78, [])
    assert is_said(err, "fatal", "Colima does not run as root; the LaunchDaemon's UserName is missing")


def test_it_waits_for_a_home_that_appears_later(mac: Mac) -> None:
    mac.brewed("colima", "pwd")
    mac.home.rename(mac.root / "locked")
    mac.tool("/bin/sleep", f"mv '{mac.root}/locked' '{mac.home}'")
    status, out, err = finish(launch(mac))
    assert (status, out) == (0, f"{mac.home}\n")
    assert is_said(err, "warning", f"{mac.home} is not there: waiting for it")


def test_a_home_that_never_appears_is_said_and_left_to_launchd(mac: Mac) -> None:
    mac.brewed("colima", ":")
    mac.home.rmdir()
    status, _, err = finish(launch(mac, edits={"+ 300": "+ 0"}))
    assert (status, mac.calls("colima")) == (75, [])
    assert f"{mac.home} is not there" in err
    assert not mac.home.exists(), "a home made by us would hide the volume that belongs there"


# External volumes: /Volumes and Big are of one device until it is mounted.


def volumes(mac: Mac, mounted: str = "") -> dict[str, str]:
    """Let stat tell what is mounted; what to edit so that it is looked for in the test's directory."""
    (mac.root / "Volumes").mkdir()
    (mac.root / "mounted").write_text(mounted)
    mac.brewed("colima", ":")
    mac.tool(
        "/usr/bin/stat",
        f"""[ "$1 $2" = '-f %d' ] && [ -e "$3" ] || exit 1
        if grep -qxF "$3" '{mac.root}/mounted'; then echo 2; else echo 1; fi""",
    )
    return {"/Volumes": f"{mac.root}/Volumes"}


def with_mounts(mac: Mac, *values: str) -> tuple[str, ...]:
    flags = (f"--mount={value.replace('/Volumes', f'{mac.root}/Volumes')}" for value in values)
    return (*LINE[:-1], *flags, LINE[-1])


@pytest.mark.parametrize(
    "value", ["/x:w,/Volumes/Big/a b:/data", '"/x,y",/Volumes/Big', '"/Volumes/Big/a,b:w",/x']
)
def test_it_waits_for_the_volume_of_a_mount(mac: Mac, value: str) -> None:
    """An empty directory in its place is none."""
    edits = volumes(mac)
    big = mac.root / "Volumes/Big"
    mac.tool(
        "/bin/sleep", f"if [ -d '{big}' ]; then echo '{big}' >'{mac.root}/mounted'; else mkdir '{big}'; fi"
    )
    line = with_mounts(mac, value)
    status, _, err = finish(launch(mac, *line, edits=edits))
    assert status == 0
    assert len(err.splitlines()) == 1
    assert is_said(err, "warning", f"{big} is not mounted: waiting for it")
    assert mac.calls("colima") == [list(line)]


def test_it_waits_for_no_other(mac: Mac) -> None:
    """What the VM sees as a volume is none, and a link there is followed by Lima."""
    edits = volumes(mac, f"{mac.root}/Volumes/a, b\n")
    (mac.root / "Volumes/a, b").mkdir()
    (mac.root / "Volumes/link").symlink_to("/")
    mounts = ("/x:/Volumes/Big", "none", "/xVolumes/Big", '"/Volumes/a, b:w"', "/Volumes/link/a")
    assert finish(launch(mac, *with_mounts(mac, *mounts), edits=edits)) == (0, "", "")


@pytest.mark.parametrize("link", [".colima", ".colima/_lima"])
def test_it_waits_for_the_volume_that_holds_the_profiles(mac: Mac, link: str) -> None:
    edits = volumes(mac)
    big = mac.root / "Volumes/Big"
    (mac.home / link).parent.mkdir(exist_ok=True)
    (mac.home / link).symlink_to(big / "colima")
    mac.tool("/bin/sleep", f"mkdir -p '{big}/colima'; echo '{big}' >'{mac.root}/mounted'")
    status, _, err = finish(launch(mac, edits=edits))
    assert status == 0
    assert is_said(err, "warning", f"{big} is not mounted: waiting for it")


def test_a_home_on_a_volume_is_not_what_lies_in_its_place(mac: Mac) -> None:
    edits = volumes(mac) | {"+ 300": "+ 0"}
    home = mac.root / "Volumes/Big/alice"
    home.mkdir(parents=True)
    status, _, err = finish(launch(mac, edits=edits, HOME=str(home)))
    assert (status, mac.calls("colima")) == (75, [])
    assert is_said(err, "fatal", f"{mac.root}/Volumes/Big is not mounted; launchd will start this again")
    assert list(home.iterdir()) == []


def test_an_unsupervised_instance_is_stopped_first(mac: Mac) -> None:
    vm = running(mac, "cat; kill $(cat pids); echo stopped")
    (mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    status, out, err = finish(launch(mac))
    assert mac.calls("colima") == [["stop", "--profile=default"], list(LINE)]
    assert (status, out.split()[0]) == (0, "became")
    assert "level=warning" in err
    assert "profile default" in err
    assert "stopped\n" in err
    assert mac.calls("sudo") == []


def test_what_colima_stop_leaves_is_ended(mac: Mac) -> None:
    """Here it hangs."""
    vm = running(mac, "exec sleep 300")
    vm += [mac.start(f"colima daemon start default --inotify-dir {mac.root}", ignores_term=True)]
    edits = {"STOP_SECONDS=240": "STOP_SECONDS=0.3", "gone 20 ours": "gone 1 ours"}
    status, out, err = finish(launch(mac, edits=edits))
    assert (status, out.split()[0]) == (0, "became")
    assert "colima stop: exit status 124\n" in err
    assert [each.wait(1) for each in vm] == [-signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL]
    assert all(str(each.pid) in err for each in vm)
    assert [call[0] for call in mac.calls("colima")] == ["stop", "start"]


def test_colima_does_not_start_beside_what_cannot_be_ended(mac: Mac) -> None:
    vm = running(mac, "exit 1")
    mac.tool("/bin/kill", "exit 1")
    status, _, err = finish(launch(mac, edits=NO_TIME))
    assert status == 75
    assert all(str(each.pid) in err for each in vm)
    assert [call[0] for call in mac.calls("colima")] == ["stop"]


def test_another_profiles_instance_is_left_alone(mac: Mac) -> None:
    vm = running(mac, "exit 1")
    status, _, err = finish(launch(mac, "start", "--profile=web", "--foreground"))
    assert (status, err) == (0, "")
    assert mac.calls("colima") == [["start", "--profile=web", "--foreground"]]
    assert not any(is_gone(each.pid) for each in vm)


def is_said(err: str, level: str, words: str) -> bool:
    """Whether a line of that level says exactly this."""
    return any(f'level={level} msg="{words}" context=launch' in line for line in err.splitlines())


def test_what_a_crash_left_is_healed_with_a_line_each(mac: Mac) -> None:
    mac.brewed("colima", "exit 6")
    put(mac, "_lima/colima/ha.pid", 999_999_999)
    stranger = mac.start("/usr/bin/vim notes")
    put(mac, "_lima/colima/qemu.pid", stranger.pid)
    put(mac, "_lima/colima-foo/ha.pid", 999_999_999)
    leave(mac, 'default/a"b\\c')
    status, _, err = finish(launch(mac))
    home = f"{mac.home}/.colima"
    assert status == 6
    assert len(err.splitlines()) == 3
    assert is_said(err, "info", f"removed {home}/_lima/colima/ha.pid: pid 999999999 is gone")
    assert is_said(
        err, "info", f"removed {home}/_lima/colima/qemu.pid: pid {stranger.pid} is another process"
    )
    assert is_said(err, "info", f'removed {home}/default/a\\"b\\\\c: nothing listens behind it')
    assert not is_gone(stranger.pid)
    assert (mac.home / ".colima/_lima/colima-foo/ha.pid").exists()


def test_a_disk_that_another_instance_holds_is_left_to_it(mac: Mac) -> None:
    mac.brewed("colima", ":")
    other = mac.start(hostagent(mac, "colima-foo"))
    put(mac, "_lima/colima-foo/lima.yaml")
    held = lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    status, _, err = finish(launch(mac))
    assert (status, mac.calls("colima")) == (75, [])
    assert is_said(err, "fatal", "the data disk of colima is in use by instance colima-foo, which runs")
    assert held.is_symlink()
    assert not is_gone(other.pid)


@pytest.mark.parametrize("call", [1, 2])
def test_a_ps_that_fails_is_said_and_nothing_is_touched(mac: Mac, call: int) -> None:
    mac.brewed("colima", ":")
    put(mac, "_lima/colima/ha.pid", 999_999_999)
    mac.tool("/bin/ps", f"[ $(tr -cd '\\036' <'{mac.root}/calls/ps' | wc -c) != {call} ] || exit 1")
    status, _, err = finish(launch(mac))
    assert (status, mac.calls("colima")) == (75, [])
    assert "level=fatal" in err
    assert "cannot be read" in err
    assert (mac.home / ".colima/_lima/colima/ha.pid").exists()
