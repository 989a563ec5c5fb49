"""The small functions of files/lib: homes, prefixes, names, and the user's own environment."""

from __future__ import annotations

import pytest

from tests.files.conftest import Mac

HOSTILE = {
    "XDG_CONFIG_HOME": "/xdg",
    "LIMA_HOME": "/lima",
    "DOCKER_HOST": "tcp://elsewhere",
    "DOCKER_CONTEXT": "elsewhere",
    "COLIMA_PROFILE": "other",
    "COLIMA_HOME": "/colima",
    "HOME": "/var/root",
    "LANG": "de_DE.UTF-8",
}


@pytest.mark.parametrize(
    "printed, home",
    [
        ("NFSHomeDirectory: /Users/alice\\n", "/Users/alice"),
        ("NFSHomeDirectory:\\n /Users/al ice\\n", "/Users/al ice"),
        ("NFSHomeDirectory:\\n /Volumes/Big Disk/  alice\\n", "/Volumes/Big Disk/  alice"),
        ("NFSHomeDirectory: /Users/NFSHomeDirectory:\\n", "/Users/NFSHomeDirectory:"),
        ("No such key: NFSHomeDirectory\\n", ""),
    ],
)
def test_home_of(mac: Mac, printed: str, home: str) -> None:
    mac.tool("/usr/bin/dscl", f"printf '{printed}'")
    done = mac.call("home_of alice")
    assert (done.stdout.removesuffix("\n"), done.stderr) == (home, "")
    assert mac.calls("dscl") == [[".", "-read", "/Users/alice", "NFSHomeDirectory"]]


def test_home_of_nobody_is_empty(mac: Mac) -> None:
    done = mac.call("home_of nobody")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "sysctl, prefix", [("echo 1", "/opt/homebrew"), ("echo 0", "/usr/local"), ("exit 1", "/usr/local")]
)
def test_the_homebrew_prefix(mac: Mac, sysctl: str, prefix: str) -> None:
    mac.tool("/usr/sbin/sysctl", sysctl)
    assert mac.call('find_homebrew; echo "$HOMEBREW_PREFIX"').stdout == f"{mac.root}{prefix}\n"


@pytest.mark.parametrize(
    "profile, name", [("default", "colima"), ("web", "colima-web"), ("a b", "colima-a b")]
)
def test_instance_of(mac: Mac, profile: str, name: str) -> None:
    assert mac.call('instance_of "$1"', profile).stdout == f"{name}\n"


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({}, ""),
        ({"/a/b": "Directory:501:alice:755"}, "/a/b is alice's, who"),
        ({"/a": "Directory:501:alice:755", "/a/b": "Directory:502:bob:755"}, "/a is alice's, who"),
        ({"/": "Directory:0:root:775"}, "/ has the mode 775: others"),
        ({"/a/b/c d": "Directory:0:root:777"}, "/a/b/c d has the mode 777: others"),
        ({"/a": "Directory:0:root:752"}, "/a has the mode 752: others"),
        ({"/a": "Directory:0:root:723"}, "/a has the mode 723: others"),
        ({"/a": "Directory:0:root:7"}, "/a has the mode 7: others"),
        ({"/a": "Directory:0:root:544", "/a/b": "Directory:0:root:711"}, ""),
        ({"/a": "Symbolic Link:0:root:755"}, "/a is a symbolic link"),
        ({"/a/b": "Regular File:0:root:644"}, "/a/b is no directory"),
        ({"/a/b": ""}, "/a/b does not exist: sudo mkdir -p '/a/b/c d'"),
    ],
)
def test_exposed(mac: Mac, others: dict[str, str], says: str) -> None:
    """Every part of a path as it is written: what root resolved could be another place a moment later."""
    mac.stat(others)
    done = mac.call('exposed "/a/b/c d"; roots_alone "/a/b/c d"')
    assert done.stdout.startswith(says)
    assert done.stdout.endswith("\n") == bool(says)
    assert done.returncode == bool(says)


@pytest.mark.parametrize(
    ("others", "target", "says"),
    [
        ({"/var": "Symbolic Link:0:root:755"}, "private/var", ""),
        ({"/var": "Symbolic Link:0:root:755"}, "somewhere", "/var is a symbolic link"),
        (
            {"/var": "Symbolic Link:0:root:755", "/private": "Directory:5:eve:755"},
            "private/var",
            "/private is eve's",
        ),
        (
            {"/var": "Symbolic Link:0:root:755", "/private/var/log": "Symbolic Link:0:root:755"},
            "private/var",
            "/private/var/log is a symbolic link",
        ),
        ({"/": "Directory:0:root:777"}, "private/var", "/ has the mode 777"),
        ({}, "", ""),
    ],
)
def test_exposed_by_the_links_of_macos(mac: Mac, others: dict[str, str], target: str, says: str) -> None:
    """/var leads to private/var on a Mac, and no other link is taken; where it is a directory it is one."""
    mac.stat(others)
    mac.tool("/usr/bin/readlink", f"[ '{target}' ] && echo '{target}'")
    done = mac.call("exposed /var/log")
    assert done.stdout.startswith(says) if says else not done.stdout
    assert [call[0] for call in mac.calls("readlink")] == ["/var"]


def test_exposed_in_the_root_directory_itself(mac: Mac) -> None:
    mac.stat({"/": "Directory:0:root:777"})
    assert mac.call('exposed ""').stdout.startswith("/ has the mode 777")


@pytest.mark.parametrize("caller", ["root", "alice"])
def test_as_user_has_the_environment_that_is_written_down_and_no_other(mac: Mac, caller: str) -> None:
    mac.become(caller)
    done = mac.call('as_user alice "$1" 10 /usr/bin/env', mac.home, env=HOSTILE)
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            f"HOME={mac.home}",
            "USER=alice",
            "LOGNAME=alice",
            f"SHELL={mac.path('/bin/sh')}",
            f"PATH={mac.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            f"TMPDIR={mac.home}/Library/Caches/colima-pulse",
            f"COLIMA_HOME={mac.home}/.colima",
        ]
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_root_goes_through_sudo_and_leaves_an_unreadable_directory(mac: Mac) -> None:
    mac.become("root")
    done = mac.call("as_user alice /h 10 /bin/sh -c 'pwd; exit 9'; echo $?; pwd")
    assert done.stdout == f"/\n9\n{mac.root}\n"
    assert [call[:4] for call in mac.calls("sudo")] == [["-n", "-H", "-u", "alice"]]


def test_the_user_goes_through_nothing(mac: Mac) -> None:
    assert mac.call("as_user alice /h 10 /bin/sh -c 'exit 9'").returncode == 9
    assert mac.calls("sudo") == []


def test_nobody_else_may(mac: Mac) -> None:
    mac.become("mallory")
    done = mac.call("as_user alice /h 10 /bin/sh -c 'echo ran'")
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr == "run this as root or as alice\n"


def test_nobody_may_become_a_user_who_is_not_there(mac: Mac) -> None:
    done = mac.call("as_user nobody /h 10 /bin/sh -c 'echo ran'")
    assert (done.returncode, done.stdout) == (77, "")


def test_the_deadline_holds_inside_sudos_own_session(mac: Mac) -> None:
    mac.become("root")
    done = mac.call("as_user alice /h 0.3 /bin/sleep 300; echo $?")
    assert done.stdout == "124\n"
    assert mac.left() == {}


def test_words_reach_the_command_as_they_are(mac: Mac) -> None:
    mac.become("root")
    mac.brewed("colima", ":")
    mac.call(
        'find_homebrew; as_user alice /h 10 "$HOMEBREW_PREFIX/bin/colima" "$@"',
        "a b",
        "",
        "$(x)",
        "it's",
        "\n",
        "-e",
    )
    assert mac.calls("colima") == [["a b", "", "$(x)", "it's", "\n", "-e"]]


def test_limactl_list_asks_in_colimas_own_lima_home_and_gives_no_input(mac: Mac) -> None:
    mac.brewed("limactl", "cat; echo '{}'; exit 3")
    done = mac.call('limactl_list alice "$1"', mac.home, stdin="answer\n", env=HOSTILE)
    assert (done.returncode, done.stdout) == (3, "{}\n")
    assert mac.calls("limactl") == [["list", "--json"]]
    assert mac.env("limactl")["LIMA_HOME"] == f"{mac.home}/.colima/_lima"


def test_stop_gracefully(mac: Mac) -> None:
    mac.brewed("colima", "cat; exit 4")
    done = mac.call('stop_gracefully alice "$1" web 10', mac.home, stdin="answer\n", env=HOSTILE)
    assert (done.returncode, done.stdout) == (4, "")
    assert mac.calls("colima") == [["stop", "--profile=web"]]
    assert "LIMA_HOME" not in mac.env("colima")
