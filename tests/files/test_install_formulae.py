"""bin/install-formulae: brew runs as the user, for what it does not have, and for nothing else."""

from __future__ import annotations

import subprocess

from tests.files.conftest import LABEL, Mac
from tests.files.test_lib import HOSTILE

FORMULAE = ("colima", "docker", "qemu")


def install(mac: Mac, installed: str, install: str = "echo poured") -> subprocess.CompletedProcess[str]:
    """Run it on a Mac whose brew has some `installed`, a line each, and does `install`."""
    mac.become("root")
    mac.configure()
    mac.brewed(
        "brew",
        f"""case $1 in
        list) [ -z '{installed}' ] || printf '%s\\n' '{installed}'; exit 1 ;;
        install) {install} ;;
        esac""",
    )
    return mac.run("bin/install-formulae", LABEL, *FORMULAE, env=HOSTILE)


def installs(mac: Mac) -> list[list[str]]:
    return [call[1:] for call in mac.calls("brew") if call[0] == "install"]


def test_what_is_missing_is_installed_as_the_user(mac: Mac) -> None:
    """In the environment that is written down, but for the directory that Colima's first start makes."""
    done = install(mac, "colima-tools 1\ndocker-x 2\nx qemu 3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "poured\n", "")
    assert mac.calls("brew")[0] == ["list", "--versions", *FORMULAE]
    assert installs(mac) == [list(FORMULAE)]
    env = mac.env("brew")
    assert (env["HOME"], env["USER"], env["NONINTERACTIVE"]) == (str(mac.home), "alice", "1")
    assert env["PATH"].startswith(f"{mac.prefix}/bin:")
    assert env["HOMEBREW_NO_ASK"] == "1"
    assert not {"TMPDIR", "DOCKER_HOST", "SUDO_USER"} & env.keys()
    assert all("-u" in call and "alice" in call for call in mac.calls("sudo"))
    assert len(mac.calls("sudo")) == len(mac.calls("brew"))


def test_what_is_there_and_not_linked(mac: Mac) -> None:
    done = install(mac, "colima 0.8.1\nqemu 9.1")
    assert done.returncode == 1
    assert f"Homebrew has colima qemu installed, but not in {mac.prefix}/bin" in done.stderr
    assert "As alice: brew link colima qemu" in done.stderr
    assert installs(mac) == [["docker"]]
    assert install(mac, "colima 1\ndocker 2\nqemu 3").returncode == 1
    assert installs(mac) == [["docker"]]


def test_a_brew_that_fails(mac: Mac) -> None:
    done = install(mac, "", "echo 'Error: no network' >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "Error: no network\n")
