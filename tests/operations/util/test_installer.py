"""Installers: what is cleaned, what is refused and where, and what is run."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from operations.util.installer import Installer, Installers, parse, read

SPEC = "colima-pulse.spec"
# A `docker` that prints its words, one a line, and what it finds in its environment.
PRINT_WORDS = 'docker() { printf "%s\\n" "$@"; }\n'


def good(text: str | bytes, known: tuple[str, ...] = ()) -> Installer:
    installer, faults = parse("web", text.encode() if isinstance(text, str) else text, known)
    assert faults == []
    assert installer is not None
    return installer


def faults(text: str | bytes) -> list[str]:
    installer, found = parse("web", text.encode() if isinstance(text, str) else text)
    assert installer is None
    return found


def told(installer: Installer, secrets: dict[str, str] | None = None) -> list[str]:
    """What docker is told when the installer runs, its label left out."""
    script = PRINT_WORDS + installer.script(SPEC, secrets or {})
    done = subprocess.run(["/bin/sh", "-e", "-c", script], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:3] == ["run", "--label", f"{SPEC}={installer.digest}"]
    return ["run", *words[3:]]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (b"", 1, "no command"),
        (b"# docker run --name web nginx\n", 1, "no command"),
        (b"docker run --name web ngin\xff\xfe", 1, "UTF-8"),
        ("mydocker run --name web x\n", 1, "no `docker run`"),
        ("echo 'docker run --name web nginx'\n", 1, "no `docker run`"),
        ("# first\n\ndocker run -d nginx\n", 3, "--name"),
        ("docker run -d nginx --name web\n", 1, "--name"),  # the image's argument, not Docker's
        ("docker run --env --name web\n", 1, "--name"),
        ('docker run --name "$NAME" nginx\n', 1, "$NAME"),
        ("docker run --name web # nginx\n", 1, "image"),
        ("echo a\ndocker run --name web 'nginx\n", 2, "quote"),
        ('docker run --name web nginx\necho "it\n\n', 2, "quote"),
        ("docker run \\\n  --name a \\\n  nginx\n# c\ndocker run --name b nginx\n", 5, "second"),
    ],
)
def test_faults(text: str | bytes, line: int, says: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"containers/web:{line}: ")
    assert says in fault


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffdocker run -d --name web nginx\r\n",
        "$ docker run -d --name web nginx\n",
        "\u279c  docker run -d --name web nginx\n",
        "% docker run -d --name web nginx\n",  # macOS's own prompt
        "\u250c\u2500\u2500\u2510\n\u2502 docker run -d --name web nginx \u2502\n\u2514\u2500\u2500\u2518\n",
        "docker run -d \\\r\n  --name web \\\r\n  nginx\r\n",
        "$ docker run -d \\\n> --name web \\\n> nginx\n",
        "docker run -d --name web nginx \\\n",
        "# a comment that goes on \\\ndocker run -d --name web nginx\n",
        "docker run -d --name web nginx # it's a comment\n",
    ],
)
def test_cleaned(text: str) -> None:
    installer = good(text)
    assert installer.container == "web"
    assert installer.detached
    assert told(installer) == ["run", "-d", "--name", "web", "nginx"]


@pytest.mark.parametrize(
    "words", ["-it --name=web", "-p 80:80 '--name=web'", "-eA=b --na\\me we\\b", "-v '/a b:/c' --name='web'"]
)
def test_name(words: str) -> None:
    installer = good(f"docker run {words} nginx --name other -d\n")
    assert (installer.container, installer.detached) == ("web", False)
    assert told(installer) == ["run", *shlex.split(words), "nginx", "--name", "other", "-d"]


@pytest.mark.parametrize(
    ("options", "detached", "removed"),
    [
        ("", False, False),
        ("--detach", True, False),
        ("-d=false", False, False),
        ("-itd", True, False),
        ("-dp80:80", True, False),
        ("-e -d", False, False),  # the variable's name
        ("--rm -d", True, True),
        ("--entrypoint -d", False, False),
    ],
)
def test_options(options: str, detached: bool, removed: bool) -> None:
    installer = good(f"docker run {options} --name web nginx -d --rm\n")
    assert (installer.detached, installer.removed) == (detached, removed)
    assert installer.smoke_test is (removed and not detached)


@pytest.mark.parametrize(
    ("options", "networks"),
    [
        ("--network backend", ("backend",)),
        ("--network name=backend,alias=web", ("backend",)),
        ("--network one --network two", ("one", "two")),
        ("-e --network", ()),
    ],
)
def test_networks(options: str, networks: tuple[str, ...]) -> None:
    installer = good(f"docker run {options} --name web nginx --network other\n")
    assert installer.networks == networks
    assert Installers((installer, installer), (), ()).networks == networks


def ports(options: str) -> list[tuple[str, int, int, str]]:
    found = good(f"docker run {options} --name web nginx -p 9:9\n").ports
    return [(each.address, each.numbers[0], each.numbers[-1], each.protocol) for each in found]


ANY = "0.0.0.0"


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ("-p 8080:80", [(ANY, 8080, 8080, "tcp")]),
        ("-dp8080:80", [(ANY, 8080, 8080, "tcp")]),
        ("--publish='8080:80/UDP' --publish 53:53/tcp", [(ANY, 8080, 8080, "udp"), (ANY, 53, 53, "tcp")]),
        ("-p 127.0.0.1:8080:80", [("127.0.0.1", 8080, 8080, "tcp")]),
        ("-p [::]:8080:80 -p [::1]:8081:80", [(ANY, 8080, 8080, "tcp"), ("127.0.0.1", 8081, 8081, "tcp")]),
        ("-p 8000-8010:8000-8010/udp", [(ANY, 8000, 8010, "udp")]),
        ("--publish published=8080,target=80", [(ANY, 8080, 8080, "tcp")]),
        ("-p target=53,published=5353,protocol=udp", [(ANY, 5353, 5353, "udp")]),
        # Docker chooses.
        ("-p 80 -p :80 -p 127.0.0.1::80 -p 0:80 -p target=80 -P", []),
        ("-p 8000-8010:80", []),
        # A shell does, or Docker refuses it.
        ("-p $PORT:80 -p ${PORT:-8080}:80 -p localhost:8080:80 -p 9-8:9-8", []),
        ("--network host -p 8080:80", []),
        ("--network none -p 8080:80", []),
        ("-e -p", []),
    ],
)
def test_ports(options: str, taken: list[tuple[str, int, int, str]]) -> None:
    assert ports(options) == taken


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("-p 8080:80", "-p 8080:81", False),
        ("-p 8080:80", "-p 127.0.0.1:8080:80", False),
        ("-p 127.0.0.1:8080:80", "-p [::]:8080:80", False),
        ("-p 127.0.0.1:8080:80", "-p [::1]:8080:80", False),  # one address of the Mac
        ("-p 8000-8010:8000-8010", "-p 8010:80", False),
        ("--rm -p 8080:80", "-p 1:1 -p 8080:80", False),
        ("-p 127.0.0.1:8080:80", "-p 192.168.1.20:8080:80", True),
        ("-p 8080:80", "-p 8080:80/udp", True),
        ("-p 8000-8010:8000-8010", "-p 8011:80", True),
        ("-p 80", "-p 80", True),
        ("--rm -p 8080:80", "--rm -p 8080:80", True),  # one after the other
        ("-p 127.0.0.1:8080:80 -p [::1]:8080:80", "", True),  # one installer's own
    ],
)
def test_two_installers_that_publish_one_port(tmp_path: Path, one: str, other: str, both: bool) -> None:
    (tmp_path / "a").write_text(f"# first\ndocker run {one} --name one nginx\n")
    (tmp_path / "b").write_text(f"docker run \\\n {other} \\\n --name two nginx\n")
    faults = read(tmp_path).faults
    assert len(faults) == (not both)
    for fault in faults:
        assert fault.startswith("containers/b:1: --publish ")
        assert "containers/a:2" in fault
        assert one.split("-p ")[-1] in fault


@pytest.mark.parametrize(
    ("first", "begins"),
    [
        ("#!/bin/zsh\n", "#!/bin/zsh\nexport TOKEN=1\n"),
        ("#!/bin/bash -u\n", "#!/bin/bash -u\nexport TOKEN=1\n"),
        ("#!/usr/bin/env zsh\n", "#!/usr/bin/env zsh\nexport TOKEN=1\n"),
        ("#!/bin/sh\n", "export TOKEN=1\n#!/bin/sh\n"),
    ],
)
def test_the_shell_that_the_first_line_names_comes_first(first: str, begins: str) -> None:
    script = good(f"{first}docker run --name web -e TOKEN nginx\n").script(SPEC, {"TOKEN": "1"})
    assert script.startswith(f"{begins}docker run --label ")


def test_the_rest_of_the_file_stays() -> None:
    text = """\
# docker run in a comment, 'not closed
docker network create "web net" || true
docker run --name web -e "A=x; docker run" -e 'B=#no comment' \\
  nginx && echo "docker run"; echo done
"""
    script = PRINT_WORDS + good(text).script(SPEC, {})
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        *["network", "create", "web net"],
        *["run", "--label", f"{SPEC}={good(text).digest}", "--name", "web"],
        *["-e", "A=x; docker run", "-e", "B=#no comment", "nginx", "docker run", "done"],
    ]


def test_digest_is_the_cleaned_text() -> None:
    plain = good("docker run --name web nginx\n")
    assert good("\ufeff$ docker run --name web nginx  \r\n\r\n").digest == plain.digest
    assert good("docker run --name web nginx:2\n").digest != plain.digest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-d nginx", "--restart"),
        ("-d --restart=no nginx", "--restart"),
        ("-e TOKEN=$TOKEN nginx", "-e TOKEN"),
        ("--env=TOKEN=${TOKEN} nginx", "-e TOKEN"),
        ("nginx $NOWHERE", "$NOWHERE"),
        ("-d --restart always nginx", None),
        ("-d --rm nginx", None),
        ("-e TOKEN nginx", None),
        ('-v $HOME/a:/b -v "$PWD":/c nginx', None),
        ("-v $DATA:/b nginx", None),
        ("nginx sh -c 'echo $NOWHERE' ${PORT:-80} \\$NOWHERE", None),
    ],
)
def test_warnings(words: str, says: str | None) -> None:
    found = good(f"DATA=/data\ndocker run --name web {words}\n", ("TOKEN",)).warnings
    assert len(found) == (says is not None)
    assert all(each.startswith("containers/web:2: ") and str(says) in each for each in found)


HIDDEN = "hunter2 '$(id)\" \\ \n`x`"


def test_secrets_reach_docker_and_nothing_else() -> None:
    installer = good('docker run --name web -e TOKEN nginx "$TOKEN"\n', ("TOKEN", "OTHER"))
    script = installer.script(SPEC, {"TOKEN": HIDDEN, "OTHER": "unused"})
    assert "OTHER" not in script
    assert told(installer, {"TOKEN": HIDDEN})[-3:] == [*"nginx".split(), *HIDDEN.split("\n")]


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("docker run --name web -e PASSWORD=hunter2 -e TOKEN nginx\n")
    (tmp_path / ".env").write_text("TOKEN=hunter3\n")
    (tmp_path / ".env").chmod(0o600)
    found = read(tmp_path)
    assert found.secrets == {"TOKEN": "hunter3"}
    for shown in (repr(found), str(found), repr(found.all[0]), *found.warnings):
        assert "hunter" not in shown


def run(name: str) -> str:
    return f"docker run --name {name} nginx\n"


def test_read_in_name_order(tmp_path: Path) -> None:
    for name in ("b", "a.sh", "C", "10-x"):
        (tmp_path / name).write_text(run(f"from-{name}"))
    for name in ("README.md", "NOTES.MD", ".env", ".DS_Store", "example-web", "template-db"):
        (tmp_path / name).write_text("")
    (tmp_path / "example-data").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "elsewhere.md").write_text(run("linked"))
    (tmp_path / "d").symlink_to("elsewhere.md")
    assert [each.file for each in read(tmp_path).all] == ["10-x", "C", "a.sh", "b", "d"]


def test_every_fault_of_every_file(tmp_path: Path) -> None:
    assert read(tmp_path / "missing") == read(tmp_path) == Installers((), (), ())
    for name, text in {"a": run("web"), "b": "", "c": run("web"), "d": "docker run nginx\n"}.items():
        (tmp_path / name).write_text(text)
    nothing, twice, nameless = read(tmp_path).faults
    assert "containers/b:1" in nothing
    assert all(each in twice for each in ("containers/c", "containers/a", "web"))
    assert "containers/d:1" in nameless


@pytest.mark.parametrize("name", ["web", ".env"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "a directory"),
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
        (lambda path: path.symlink_to("away"), "a link that leads nowhere (to away)"),
        (lambda path: path.symlink_to(path.name), "a link that leads in a circle"),
    ],
)
def test_what_is_no_file(tmp_path: Path, name: str, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / name)
    found = read(tmp_path)
    (fault,) = found.faults
    assert fault.startswith(f"containers/{name}: ")
    assert says in fault
    assert "remove it" in fault or "out of containers/" in fault
    assert (found.secrets, found.warnings) == ({}, ())


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("export TOKEN='a b' # c\nEMPTY=\nHOME2=${HOME}\n")
    env.chmod(0o644)
    found = read(tmp_path)
    assert found.secrets == {"TOKEN": "a b", "EMPTY": "", "HOME2": "${HOME}"}
    assert found.warnings == (f"containers/.env: it can be read by others (mode 644): chmod 600 {env}",)
    env.chmod(0o600)
    assert read(tmp_path).warnings == ()


def test_logins_to_registries(tmp_path: Path) -> None:
    """What is wrong in them is tests/operations/util/test_registries.py's."""
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    (tmp_path / ".env").write_text("TOKEN=s3cret\n")
    (tmp_path / ".env").chmod(0o600)
    path.write_text('{"auths": {"ghcr.io": {"auth": "YTpi"}, "x": {}}}')
    path.chmod(0o640)
    found = read(tmp_path)
    assert found.logins.text == path.read_text()
    assert found.hidden == ["s3cret", "YTpi", "b"]
    assert "YTpi" not in repr(found)
    wide, empty = found.warnings
    assert wide == f"containers/.docker/config.json: it can be read by others (mode 640): chmod 600 {path}"
    assert empty.startswith("containers/.docker/config.json: x has no password")
    path.write_text("{")
    (fault,) = read(tmp_path).faults
    assert fault.startswith("containers/.docker/config.json: this is no configuration of docker's")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("away")])
def test_logins_that_are_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    make(path)
    (fault,) = read(tmp_path).faults
    assert fault.startswith("containers/.docker/config.json: a")


def test_the_repositorys_own_installers() -> None:
    containers = Path(__file__).resolve().parents[3] / "containers"
    for path in containers.glob("*-*"):
        installer, found = parse(path.name, path.read_bytes())
        assert found == []
        assert installer is not None
        assert installer.warnings == ()
    hello, _ = parse("hello-world", (containers / "hello-world").read_bytes())
    assert hello is not None
    assert hello.smoke_test
