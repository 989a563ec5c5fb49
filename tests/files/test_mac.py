"""facts/mac, homebrew, user, power and process, run for real and read by the facts they are for."""

from __future__ import annotations

import subprocess

import pytest

from facts.homebrew import Homebrew, HomebrewState
from facts.mac import Mac as MacFact
from facts.mac import MacState, NoUser, User, UserState
from facts.power import Power, PowerState
from tests.files.conftest import Mac, lines


def record(mac: Mac, home: str, code: int = 0, text: str | None = None) -> None:
    """Let dscl know alice, with this home."""
    where = f"NFSHomeDirectory:\n {home}" if " " in home else f"NFSHomeDirectory: {home}"
    shown = text if text is not None else f"{where}\nPrimaryGroupID: 20\nUniqueID: 501\nUserShell: /bin/zsh"
    (mac.root / "record").write_text(shown + "\n")
    (mac.root / "home").write_text(where + "\n")
    mac.tool(
        "/usr/bin/dscl", f"[ $# = 4 ] && exec cat '{mac.root}/home'; cat '{mac.root}/record'; exit {code}"
    )


def on_a_mac(mac: Mac, done: subprocess.CompletedProcess[str]) -> list[str]:
    """The output as a Mac would print it: the places where they belong."""
    return [line.replace(str(mac.root), "") for line in lines(done)]


def test_a_mac_on_which_nothing_works_is_still_a_whole_answer(mac: Mac) -> None:
    for name in ("sysctl", "dscl", "id", "sudo"):
        mac.remove(name)
    done = mac.run("facts/mac")
    state = MacFact().process(on_a_mac(mac, done))
    assert state == MacState(
        kernel="", macos=None, arch="", rosetta=False, cpus=None, memory=None, volume_size=None,
        volume_free=None, homebrew=HomebrewState("/usr/local", None, None, ()), filevault=None,
        sleep_minutes=None, auto_restart=None, boot_time=None, console_user=None,
    )  # fmt: skip
    assert done.returncode == 0


def test_a_mac(mac: Mac) -> None:
    mac.tool("/usr/bin/uname", "case $1 in -s) echo Darwin ;; -m) echo x86_64 ;; esac")
    mac.tool(
        "/usr/sbin/sysctl",
        """names=yes; if [ "$1" = -n ]; then names=; shift; fi
        for name; do
            case $name in
            hw.optional.arm64 | sysctl.proc_translated) value=1 ;;
            hw.ncpu) value=8 ;;
            hw.memsize) value=17179869184 ;;
            machdep.cpu.brand_string) value='Apple M4: Pro' ;;
            kern.hv_support) value=1 ;;
            kern.boottime) value='{ sec = 1750000000, usec = 42 } Sun Jun 15 15:06:40 2025' ;;
            *) echo "sysctl: unknown oid '$name'" >&2; continue ;;
            esac
            echo "${names:+$name: }$value"
        done""",
    )
    mac.tool("/usr/bin/sw_vers", '[ "$*" = -productVersion ] && echo 15.5')
    mac.tool(
        "/usr/bin/stat",
        """case "$*" in
        '-f %Su /dev/console') echo root ;;
        "-f %HT:%Su "*/opt/homebrew) echo 'Directory:al=ice' ;;
        *) exit 1 ;;
        esac""",
    )
    mac.tool(
        "/usr/bin/defaults",
        """[ "$*" = 'read /Library/Preferences/com.apple.SoftwareUpdate' ] && printf '%s\\n' '{' \
        '    AutomaticCheckEnabled = 1;' '    AutomaticallyInstallMacOSUpdates = 0;' \
        '    LastResultCode = 2;' '    RecommendedUpdates =     (' '    );' '}'""",
    )
    mac.tool("/usr/bin/fdesetup", "printf 'FileVault is On.\\nEncryption in progress: Percent = 5\\nend\\n'")
    mac.tool(
        "/bin/df",
        """[ "$*" = '-k /Users' ] && printf '%s\\n' \
        'Filesystem   1024-blocks      Used Available Capacity iused ifree %iused  Mounted on' \
        '//al@nas/My Homes  482797652 123456789 340000000    27%  1000000  3400000    0%  /System/Volumes'""",
    )
    mac.tool(
        "/usr/bin/pmset",
        """printf '%s\\n' 'System-wide power settings:' ' SleepDisabled\t\t0' 'Currently in use:' \
        ' standby              1' \
        ' Sleep On Power Button 1' ' autorestart          1' ' disksleep            10' \
        ' sleep                0 (sleep prevented by caffeinate, powerd)' ' displaysleep         5'""",
    )
    for tool in ("brew", "colima", "docker", "wget"):
        mac.brewed(tool, "echo called")
    (mac.prefix / "bin/limactl").write_text("not a program")
    done = mac.run("facts/mac")
    assert done.stderr == ""
    assert MacFact().process(on_a_mac(mac, done)) == MacState(
        kernel="Darwin", macos="15.5", arch="arm64", rosetta=True, cpus=8, memory=17179869184,
        volume_size=482797652 * 1024, volume_free=340000000 * 1024,
        homebrew=HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "al=ice", ("colima", "docker")),
        filevault=True, sleep_minutes=0, auto_restart=True, boot_time=1750000000, console_user=None,
        disk_sleep_minutes=10, chip="Apple M4: Pro", hypervisor=True, installs_updates=False,
    )  # fmt: skip
    assert [mac.calls(tool) for tool in ("brew", "colima", "docker")] == [[], [], []], "only looked at"


def test_power(mac: Mac) -> None:
    mac.tool(
        "/usr/bin/pmset",
        """case "$*" in
        '-g custom') printf '%s\\n' 'Battery Power:' ' sleep                1' 'AC Power:' \
            ' Sleep On Power Button 1' ' sleep                0 (sleep prevented by caffeinate, powerd)' ;;
        '-g cap') printf '%s\\n' 'Capabilities for AC Power:' ' sleep' ' displaysleep' ;;
        *) exit 64 ;;
        esac""",
    )
    done = mac.run("facts/power")
    assert done.stderr == ""
    found = Power().process(on_a_mac(mac, done))
    assert found == PowerState({"Battery Power": {"sleep": 1}, "AC Power": {"sleep": 0}})
    mac.remove("pmset")
    assert Power().process(on_a_mac(mac, mac.run("facts/power"))) is None


def test_homebrew_of_an_intel_mac_on_apple_silicon_is_found(mac: Mac) -> None:
    mac.tool(
        "/usr/bin/stat", """case $3 in */brew) echo al ;; */usr/local/Homebrew) echo Directory:bob ;; esac"""
    )
    (mac.root / "usr/local/bin").mkdir(parents=True)
    mac.tool("/usr/local/bin/brew", ":")
    done = mac.run("facts/homebrew")
    found = HomebrewState("/opt/homebrew", "/usr/local/bin/brew", "bob", ())
    assert Homebrew().process(on_a_mac(mac, done)) == found
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("said", "owner"), [("Directory:alice", "alice"), ("Symbolic Link:root", None)])
def test_homebrews_owner_is_who_owns_its_directory(mac: Mac, said: str, owner: str | None) -> None:
    """Who may write there could put a file of anybody's in the place of brew; above it is root's."""
    mac.tool("/usr/bin/stat", f"""case $3 in */brew) echo bob ;; */opt/homebrew) echo '{said}' ;; esac""")
    mac.brewed("brew", ":")
    found = Homebrew().process(on_a_mac(mac, mac.run("facts/homebrew")))
    assert found == HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", owner, ())


def test_a_user(mac: Mac) -> None:
    directory = mac.root / "Users/a=b|c [end]"
    record(mac, str(directory))
    for present in (False, True):
        done = mac.run("facts/user", "alice")
        assert User().process(lines(done)) == UserState(501, str(directory), present, "/bin/zsh")
        directory.mkdir(exist_ok=True)
    assert done.stderr == ""


def test_any_name_is_one_word_and_gives_a_whole_answer(mac: Mac) -> None:
    for name in ("", "-n", "a'$(touch x)", "end\nend"):
        assert isinstance(User().process(lines(mac.run("facts/user", name))), NoUser)
        assert mac.calls("dscl")[-1][:3] == [".", "-read", f"/Users/{name}"]


def test_a_directory_service_that_fails_is_unknown(mac: Mac) -> None:
    for code, text in ((185, "eDSUnknownNodeName"), (0, "No such key: UniqueID")):
        record(mac, "/Users/alice", code, text)
        assert User().process(lines(mac.run("facts/user", "alice"))) is None
