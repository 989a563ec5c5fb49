"""facts/formulae and facts/outdated, run for real and read by the facts they are for."""

from __future__ import annotations

import json

from facts.homebrew import Formula, Formulae, FormulaeState, Outdated, Upgrade
from tests.files.conftest import LABEL, Mac, lines
from tests.files.test_lib import HOSTILE

HYPERVISOR = "<key>com.apple.security.hypervisor</key><true/>"
EMULATOR = "qemu-system-aarch64"


def install(mac: Mac, **versions: str) -> None:
    for name, version in versions.items():
        (mac.prefix / "opt").mkdir(exist_ok=True)
        (mac.prefix / "opt" / name).symlink_to(f"../Cellar/{name}/{version}")


def pin(mac: Mac, name: str) -> None:
    pins = mac.prefix / "var/homebrew/pinned"
    pins.mkdir(parents=True, exist_ok=True)
    (pins / name).symlink_to(f"../../../Cellar/{name}/gone")


def machine(mac: Mac, pid: int | None = 312) -> None:
    """A Mac whose clock, launchd and stat say what these tests count on."""
    mac.become("root")
    mac.tool("/bin/date", "echo 1000")
    mac.tool("/usr/bin/stat", '[ "$1 $2" = "-f %m" ] && [ -L "$3" ] && echo 900')
    mac.tool(
        "/usr/sbin/sysctl",
        """case $2 in hw.optional.arm64) echo 1 ;; kern.boottime) echo '{ sec = 300, usec = 4 } x' ;; esac""",
    )
    job = f"system/{LABEL} = {{\n\tstate = running\n\tpid = {pid}\n}}" if pid else ""
    mac.tool("/bin/launchctl", f"printf '%s\\n' '{job}'" if pid else "exit 113")
    mac.tool("/bin/ps", "echo '   01:05'")


def found(mac: Mac) -> FormulaeState:
    done = mac.run("facts/formulae", "alice", LABEL, env=HOSTILE)
    assert (done.returncode, done.stderr) == (0, "")
    return Formulae().process(lines(done))


def test_formulae(mac: Mac) -> None:
    machine(mac)
    install(mac, colima="0.10.3", qemu="10.1.2_1")
    pin(mac, "qemu")
    pin(mac, "lima")  # of one that is gone
    mac.brewed("brew", "echo called")
    assert found(mac) == FormulaeState(
        {"colima": Formula("0.10.3", 900, False), "qemu": Formula("10.1.2_1", 900, True)},
        entitled=None, now=1000, age=65, up=700,
    )  # fmt: skip
    assert mac.calls("ps") == [["-o", "etime=", "-p", "312"]]
    assert mac.calls("brew") == []


def test_no_formulae_and_no_job(mac: Mac) -> None:
    machine(mac, pid=None)
    assert found(mac) == FormulaeState({}, now=1000, up=700)
    assert mac.calls("ps") == []


def test_a_link_is_text_and_forges_nothing(mac: Mac) -> None:
    machine(mac)
    install(mac, colima="1\nentitled=yes", lima="2 no \udcff")
    state = found(mac)
    assert [state.version(name) for name in ("colima", "lima")] == ["1", "2 no ?"]
    assert state.entitled is None


def test_the_entitlement_is_looked_for_as_the_user(mac: Mac) -> None:
    machine(mac)
    mac.brewed(EMULATOR, ":")
    for body, entitled in (
        (f"echo Executable=/x >&2; echo '<dict>{HYPERVISOR}</dict>'", True),
        ("echo Executable=/x >&2", False),
        ('echo "$5: code object is not signed at all" >&2; exit 1', False),
        ("exit 2", None),
        ("kill -KILL $$", None),
    ):
        mac.tool("/usr/bin/codesign", body)
        assert found(mac).entitled is entitled, body
    assert mac.calls("codesign")[0] == ["-d", "--entitlements", "-", "--xml", f"bin/{EMULATOR}"]
    assert all("alice" in call for call in mac.calls("sudo"))
    assert len(mac.calls("sudo")) == 5


def test_the_emulator_of_an_intel_mac(mac: Mac) -> None:
    machine(mac)
    mac.tool("/usr/sbin/sysctl", ":")
    (mac.root / "usr/local/bin").mkdir(parents=True)
    mac.tool("/usr/local/bin/qemu-system-x86_64", ":")
    mac.tool("/usr/bin/codesign", f"echo '{HYPERVISOR}'")
    assert found(mac).entitled is True


def outdated(mac: Mac, body: str) -> list[Upgrade] | None:
    mac.become("root")
    mac.brewed("brew", body)
    done = mac.run("facts/outdated", "alice", env=HOSTILE)
    assert (done.returncode, done.stderr) == (0, "")
    return Outdated().process(lines(done))


def test_outdated(mac: Mac) -> None:
    said = {
        "formulae": [
            {"name": name, "installed_versions": ["10.1.2"], "current_version": "10.2\x1b]0;"}
            for name in ("homebrew/core/qemu", "--help", "x/../..")
        ],
        "casks": [],
    }
    (mac.root / "said").write_text(json.dumps(said, indent=2))
    # With what is outdated it exits 1.
    upgrades = outdated(mac, f"printf '==> \\377\\n'; cat '{mac.root}/said'; echo no >&2; exit 1")
    assert upgrades is not None and [str(each) for each in upgrades] == ["qemu 10.1.2 -> 10.2?]0;"]
    names = ["colima", "lima", "qemu"]
    assert mac.calls("brew") == [["outdated", "--json=v2", "--formula", *names]]
    env = mac.env("brew")
    assert (env["USER"], env["HOMEBREW_NO_ASK"]) == ("alice", "1")
    assert not {"TMPDIR", "DOCKER_HOST"} & env.keys()


def test_a_brew_that_does_not_tell(mac: Mac) -> None:
    assert outdated(mac, "echo Error: no network >&2; exit 1") is None
    mac.tool("/usr/bin/dscl", "exit 56")
    assert outdated(mac, "echo '{}'") is None
