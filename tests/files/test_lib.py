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


def test_home_of(mac: Mac) -> None:
    for printed, home in {
        "NFSHomeDirectory: /Users/alice": "/Users/alice",
        "NFSHomeDirectory:\\n /Volumes/Big Disk/  alice": "/Volumes/Big Disk/  alice",
        "NFSHomeDirectory: /Users/NFSHomeDirectory:": "/Users/NFSHomeDirectory:",
        "No such key: NFSHomeDirectory": "",
    }.items():
        mac.tool("/usr/bin/dscl", f"printf '{printed}\\n'")
        done = mac.call("home_of alice")
        assert (done.stdout.removesuffix("\n"), done.stderr) == (home, "")
    assert mac.calls("dscl")[0] == [".", "-read", "/Users/alice", "NFSHomeDirectory"]


@pytest.mark.parametrize(("sysctl", "prefix"), [("echo 1", "/opt/homebrew"), ("exit 1", "/usr/local")])
def test_the_homebrew_prefix(mac: Mac, sysctl: str, prefix: str) -> None:
    mac.tool("/usr/sbin/sysctl", sysctl)
    done = mac.call('find_homebrew; echo "$HOMEBREW_PREFIX"; instance_of default; instance_of web')
    assert done.stdout == f"{mac.root}{prefix}\ncolima\ncolima-web\n"


def test_exposed(mac: Mac) -> None:
    """Every part of a path as it is written: what root resolved could be another place a moment later."""
    cases: list[tuple[dict[str, str], str]] = [
        ({}, ""),
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
    ]
    for others, says in cases:
        mac.stat(others)
        done = mac.call('exposed "/a/b/c d"; roots_alone "/a/b/c d"')
        assert done.stdout.startswith(says)
        assert (done.stdout.endswith("\n"), done.returncode) == (bool(says), bool(says))


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
    ],
)
def test_exposed_by_the_links_of_macos(mac: Mac, others: dict[str, str], target: str, says: str) -> None:
    """/var leads to private/var on a Mac, and no other link is taken; where it is a directory it is one."""
    mac.stat(others)
    mac.tool("/usr/bin/readlink", f"[ '{target}' ] && echo '{target}'")
    done = mac.call("exposed /var/log")
    assert done.stdout.startswith(says) if says else not done.stdout
    assert [call[0] for call in mac.calls("readlink")] == ["/var"]


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


def test_nobody_else_may(mac: Mac) -> None:
    assert mac.call("as_user alice /h 10 /bin/sh -c 'exit 9'").returncode == 9
    mac.become("mallory")
    for name in "alice", "nobody":
        done = mac.call(f"as_user {name} /h 10 /bin/sh -c 'echo ran'")
        assert (done.returncode, done.stdout) == (77, "")
        assert done.stderr.endswith(f"run this as root or as {name}\n")
    assert mac.calls("sudo") == []


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
