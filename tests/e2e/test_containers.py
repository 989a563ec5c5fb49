"""Containers: run in order, left alone when nothing changed, started, pulled, pruned; and secrets kept."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import threading
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.looking import BY_HAND, Deployed, container, docker, socket_of, wait_for
from tests.mac.machine import Mac

# Of this run alone: it stands in no file, not even here.
SECRET = f"secret-{uuid.uuid4().hex}"
LOGIN = base64.b64encode(f"alice:{SECRET}".encode()).decode()
# The stand-in's registry that wants a login.
REGISTRY = "127.0.0.1:5001"
BRIEF = "docker run --name {0} busybox true\n"
LONG = "docker run -d --restart always --name {0} busybox sleep 1000\n"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"PULSE": "false", "COLIMA_EXTRA_ARGS": "--network-host-addresses"}


@pytest.fixture(autouse=True)
def clean(deployed: Deployed) -> Iterator[None]:
    """No installer of another test is there, and none of their containers, images and faults."""
    shutil.rmtree(deployed.checkout.directory / "containers")
    (deployed.checkout.directory / "containers").mkdir()
    for name in docker(deployed.mac, "ps", "-aq").split():
        docker(deployed.mac, "rm", "--force", "--volumes", name)
    yield
    for fault in (deployed.mac.records / "faults").iterdir():
        fault.unlink()


def names(mac: Mac, kind: str = "container") -> set[str]:
    name = "{{.Names}}" if kind == "container" else "{{.Name}}"
    options = ("--all",) if kind == "container" else ()
    return set(docker(mac, kind, "ls", *options, "--format", name).split())


def test_only_what_changed_or_is_asked_for_is_made_anew(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    for name in ("one", "two", "old"):
        checkout.installer(
            f"10-{name}", "#!/bin/bash\r\n\u2502 $ " + LONG.format(name).replace("-d", "-d \\\r\n\u2502 > ")
        )
    checkout.installer("hello", "docker run --name hello --rm hello-world\n")
    mac.fault("transient-run", "1")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "a passing error; try 2 of 3 follows" in run.output

    def changed(*options: str) -> tuple[list[str], str]:
        before = {name: container(mac, name, "Id") for name in ("one", "two")}
        run = deployed.run("-y", *options)
        assert run.status == 0, run.output
        return [name for name, was in before.items() if container(mac, name, "Id") != was], run.output

    made, output = changed("--data", "reinstall=one,hello")
    assert (made, "Install one: asked for with reinstall=one" in output) == (["one"], True)
    assert "Hello from Docker!" in output
    for name in ("one", "two"):
        checkout.installer(f"10-{name}", LONG.format(name).replace("1000", "2000"))
    # What else is due waits for a run that is about it.
    assert changed("--data", "only=10-one")[0] == ["one"]

    (checkout.directory / "containers" / "10-old").unlink()
    docker(mac, "run", "-d", "--name", "by-hand", "busybox", "sleep", "1000")
    made, output = changed()
    assert made == ["two"]
    assert "Install two: its text changed" in output
    assert "old was made by an installer that is no longer in containers/" in output
    assert "Remove old, which is running" in changed("--data", "remove_unowned=true")[1]
    assert names(mac) == {"by-hand", "one", "two"}


def test_a_failure_stops_the_run_and_the_next_one_starts_what_is_there(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "run", "-d", "--name", "taken", "-p", "9999:80", "nginx")
    checkout.installer("final", "docker run -d --restart always --name final -p 9999:80 nginx\n")
    checkout.installer("later", "docker run -d --name later busybox sh -c 'echo last words; exit 3'\n")
    run = deployed.run("-y")
    assert run.status == 1
    assert "port is already allocated" in run.output
    assert "final could not be installed, tried once" in run.output
    assert "later" not in names(mac)
    made = container(mac, "final", "Id")
    docker(mac, "rm", "-f", "taken")
    run = deployed.run("-y")
    assert run.status == 1, run.output
    assert "Start final: it is created, and never ran" in run.output
    assert container(mac, "final", "State.Status") == "running"
    assert container(mac, "final", "Id") == made, "it was started, and not made anew"
    for said in ("later is exited (exit code 3)", "last words", "will not return after a reboot"):
        assert said in run.output


# Of ADDRESS:PORT.., those behind which something answers.
REACHED = 'for each; do curl -s -f -m 5 -o /dev/null "$each" && echo "$each"; done; true'


def test_who_reaches_a_port(deployed: Deployed) -> None:
    mac = deployed.mac
    # [ADDRESS:]PORT, and who reaches it.
    published = {
        "8081": ("127.0.0.1", "192.168.1.20"),
        "127.0.0.1:8082": ("127.0.0.1",),
        "192.168.1.20:8083": ("192.168.1.20",),
        "127.0.0.5:8084": (),
        "[::1]:8085": ("127.0.0.1",),
        "85": ("127.0.0.1", "192.168.1.20"),
        "127.0.0.1:86": ("127.0.0.1",),
        "192.168.1.20:87": (),
    }
    options = [word for each in published for word in ("-p", f"{each}:80")]
    docker(mac, "run", "-d", "--name", "web", *options, "-p", "88:88/udp", "nginx")
    everywhere = ("127.0.0.1", "192.168.1.20")
    places = {each: [f"{ip}:{each.rpartition(':')[2]}" for ip in everywhere] for each in published}
    asked = ["/bin/sh", "-c", REACHED, "sh", *itertools.chain.from_iterable(places.values())]
    reached = [ip for each, mine in places.items() for ip in mine if ip.partition(":")[0] in published[each]]
    # Lima looks for ports once in a while.
    wait_for(lambda: mac.run(asked, user="alice").stdout.split() == reached)
    status = deployed.checkout.ssh("-y", deploy="deploys/status.py")
    assert (
        "web 85 (network), web 8081 (network), web 86 (this Mac alone), web 8082 (this Mac alone), "
        "web 8084 (not forwarded), web 87 (not forwarded), web 8083 (192.168.1.20 alone), "
        "web 8085 (this Mac alone), web 88/udp (not forwarded: needs --port-forwarder=grpc)" in status.output
    ), status.output


def test_a_newer_image_is_installed(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "tag", "busybox", "127.0.0.1:5000/mine")
    for name, image in (("shell", "busybox"), ("web", "nginx"), ("mine", "127.0.0.1:5000/mine")):
        checkout.installer(name, BRIEF.format(name).replace("busybox", image))
    assert deployed.run("-y").status == 0

    def ids() -> dict[str, object]:
        return {name: container(mac, name, "Id") for name in ("shell", "web", "mine")}

    before = ids()
    mac.fault("image-busybox", "2")
    run = deployed.run("-y", "--data", "pull=true")
    assert run.status == 0, run.output
    assert "Install shell: a newer image" in run.output
    assert "127.0.0.1:5000/mine is in no registry" in run.output
    after = ids()
    assert [name for name in after if after[name] != before[name]] == ["shell"]
    mac.fault("registry-down")
    run = deployed.run("-y", "--data", "pull=true", "--data", "only=web")
    assert run.status == 1
    assert "Not pulled, and what runs from it was left alone:" in run.output
    assert ids() == after


def log_in(deployed: Deployed) -> None:
    """As `docker --config containers/.docker login` does."""
    deployed.mac.fault("registry-login", f"alice:{SECRET}")
    config = deployed.checkout.directory / "containers/.docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {REGISTRY: {"auth": LOGIN}}}))
    config.chmod(0o600)


def test_a_secret_is_nowhere_to_be_seen(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    checkout.installer(".env", f"TOKEN={SECRET}\n").chmod(0o600)
    log_in(deployed)
    bot = "sleep 2\ndocker run -d --restart always --name bot -e TOKEN {0} sleep 1000\n"
    checkout.installer("bot", bot.format(f"{REGISTRY}/busybox"))
    seen: list[str] = []

    def holds(text: str) -> bool:
        return SECRET in text or LOGIN in text

    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.extend(each.command for each in mac.processes() if holds(each.command))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = checkout.ssh("-y", "-vvv", "--debug", "--diff", "--data", "pull=true")
    finally:
        done.set()
        watcher.join()
    assert run.status == 0, run.output
    assert f"TOKEN={SECRET}" in docker(mac, "inspect", "--format", "{{.Config.Env}}", "bot")
    said = run.output
    assert seen == []
    assert not any(holds(command) for command in mac.ssh_commands() + mac.commands())
    places = ("/Users", "/Library", "/private/var/log", "/private/tmp", "/private/var/root")
    assert mac.run(["/usr/bin/grep", "-rlsF", "-e", SECRET, "-e", LOGIN, *places], check=False).stdout == ""
    # One whose own line tells it fails, and what is told of that does not.
    checkout.installer("bot", bot.format(f"-l token={SECRET} no-such-image:1"))
    run = checkout.ssh("-y")
    assert run.status == 1
    assert "bot could not be installed" in run.output
    # A log that tells it is shown without.
    with mac.path("/private/var/log/colima.log").open("a") as log:
        log.write(f"the login {LOGIN} was refused\n")
    for deploy in ("deploys/diagnose.py", "deploys/status.py"):
        said += checkout.ssh("-y", "--json", deploy=deploy).output
    fact = checkout.ssh("fact", "facts.docker.DockerEngine", "user=alice", "-vvv", "--json", deploy=None)
    assert '"containers"' in fact.output
    assert not holds(said + run.output + fact.output)
    (file,) = (checkout.directory / "diagnostics").iterdir()
    assert "the login *** was refused" in file.read_text()
    assert not holds(file.read_text())


def test_registries_without_a_keychain(deployed: Deployed) -> None:
    """Pulled by the deploy, and by an installer, both on the Mac itself."""
    mac, checkout = deployed.mac, deployed.checkout
    mac.run(["/opt/homebrew/bin/brew", "install", "docker-credential-helper"], user="alice", env=BY_HAND)
    docker(mac, "image", "rm", "busybox")
    by_hand = ["/opt/homebrew/bin/docker", "--host", f"unix://{socket_of(mac)}", "create", "busybox"]
    config = "/Users/alice/.docker/config.json"
    for text in ("{}", '{"credsStore": "osxkeychain"}'):
        mac.run(["/bin/sh", "-c", 'printf %s "$1" >"$2"', "sh", text, config], user="alice")
        create = mac.run(by_hand, user="alice", env=BY_HAND, check=False)
        assert "keychain cannot be accessed because the current session" in create.stderr
    log_in(deployed)
    checkout.installer("mine", LONG.format("mine").replace("busybox", f"{REGISTRY}/busybox"))
    checkout.installer("shell", BRIEF.format("shell"))
    done = checkout.local("-y", "--data", "pull=true")
    assert done.status == 0, done.output
    assert "alice's docker asks osxkeychain for all registries" in done.output
    assert "Not pulled" not in done.output
    assert container(mac, "mine", "State.Status") == "running"
    assert mac.run(["/bin/ls", "/Users/alice/Library/Caches/colima-pulse"]).stdout == ""
    assert mac.run(["/bin/cat", config]).stdout == text


def anonymous(mac: Mac, name: str) -> str:
    mounts = docker(mac, "inspect", "--format", "{{range .Mounts}}{{.Name}}\n{{end}}", name).split()
    (found,) = [each for each in mounts if len(each) == 64]
    return found


def test_an_aggressive_prune_after_a_start_spares_what_the_installers_made(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    for network in ("kept", "lonely", "backend"):
        docker(mac, "network", "create", network)
    docker(mac, "volume", "create", "named")
    checkout.installer("web", "docker run -d --name web -v pages:/usr/share/nginx/html -v /cache nginx\n")
    assert deployed.run("-y").status == 0
    docker(mac, "network", "connect", "kept", "web")
    docker(mac, "stop", "web")
    late = "docker run -d --name late --restart always --network backend busybox sleep 1000\n"
    checkout.installer("late", late)
    docker(mac, "run", "--name", "stranger", "-v", "/data", "busybox", "true")
    docker(mac, "pull", "alpine")
    ours, theirs = anonymous(mac, "web"), anonymous(mac, "stranger")
    aggressive = ("-y", "--data", "prune_mode=aggressive", "--data", "restart=true")
    run = deployed.run(*aggressive)
    assert run.status == 1  # nobody is there to ask
    assert "force_yes=true" in run.output
    run = deployed.run(*aggressive, "--data", "force_yes=true")
    assert run.status == 0, run.output
    for line in ("container stranger (exited)", "network lonely", f"volume {theirs}", "image alpine:latest"):
        assert f"prune (aggressive) takes {line}" in run.output
    assert names(mac) == {"web", "late"}
    images = docker(mac, "image", "ls", "--format", "{{.Repository}}").split()
    assert "nginx" in images
    assert "alpine" not in images
    assert {"pages", "named", ours} <= names(mac, "volume")
    assert theirs not in names(mac, "volume")
    assert {"kept", "backend"} <= names(mac, "network")
    assert "lonely" not in names(mac, "network")
    assert container(mac, "web", "State.Status") == "running"
