"""The life of one Mac, in the commands of the documents, in order.

To add a command that the documents show, add a `Step` where it belongs in `LIFE`; to leave one out, say in
`ELSEWHERE` why. tests/test_shown.py fails for a command that is in neither, and for one that no document
shows any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.checkout import QUICK, ROOT, WAITS
from tests.e2e.looking import LABEL, container, docker, is_loaded, ping, vm_events, wait_for
from tests.mac.machine import Mac
from tests.shown import Shown, commands
from tests.terminal import CLONE, ENTER, Seen, Terminal

DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "containers/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
HOST = "@ssh/macmini.lan"
HOMEBREW_PATH = "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"

UNCHANGED = ("] Success",)  # what a run that changed nothing does not say
DESTROY = {**ENTER, r"Type DESTROY to \w+ profile default of alice on this host:": "DESTROY\n"}


@dataclass
class Life:
    """A Mac, someone's terminal, and the step at which their story ended, if it did."""

    mac: Mac
    terminal: Terminal
    ended: str = ""

    def write(self, name: str, text: str) -> Path:
        path = self.terminal.directory / name
        path.write_text(text)
        return path


# Where a command is typed


def elsewhere(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """In the clone, on the machine that is not the Mac."""
    return life.terminal.run(command, answers)


def on_the_mac(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """In a copy of the clone on the Mac, by its administrator."""
    return life.terminal.run_on_mac(command, answers)


def locally(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """On the Mac, of the Mac."""
    return on_the_mac(life, command.replace(HOST, "@local"), answers)


def by_alice(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """On the Mac, by the Homebrew user."""
    return life.terminal.run_on_mac(command, answers, user="alice", path=HOMEBREW_PATH)


def with_homebrew(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """On the Mac, by its administrator, who has nothing but what macOS and Homebrew bring."""
    return life.terminal.run_on_mac(command, answers, path=HOMEBREW_PATH)


def into_a_file(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """It is an installer's text: the next deploy runs it."""
    life.write(f"containers/{command.split('--name ')[1].split()[0]}", f"{command}\n")
    return Seen(0, "")


def by_git(life: Life, command: str, answers: Mapping[str, str]) -> Seen:
    """The clone that the other commands are typed in."""
    assert command == CLONE, "tests/terminal.py makes another clone"
    return life.terminal.clone()


# What else happens in between


def wait_less(life: Life) -> None:
    """Nothing is set but shorter waits than a user may need."""
    life.terminal.configure(WAITS)


def fill_in(life: Life) -> None:
    """Name the Homebrew user, too."""
    text = (life.terminal.directory / ".env").read_text()
    for key, value in QUICK.items():
        text, count = re.subn(rf"(?m)^#?{key}=.*$", f"{key}={value}", text)
        assert count == 1, key
    life.write(".env", text)


def keep_memory(life: Life) -> None:
    """What one run was told holds from now on: the next one restarts nothing."""
    life.write(".env", (life.terminal.directory / ".env").read_text() + "COLIMA_MEMORY=4\n")


def write_secret(life: Life) -> None:
    life.write("containers/.env", "TOKEN=s3cret\n")


def log_in(life: Life) -> None:
    """To a registry that nothing here is pulled from."""
    life.write("containers/.docker/config.json", '{"auths": {"ghcr.io": {"auth": "bWU6czNjcmV0"}}}')


def provide_bot(life: Life) -> None:
    """The example's image, which no registry has."""
    docker(life.mac, "tag", "nginx", "example/bot")


def retire_bot(life: Life) -> None:
    """Its installer goes: a profile made anew would not have its image."""
    (life.terminal.directory / "containers" / "bot").unlink()


def fleet_of_one(life: Life) -> None:
    """The Mac is one of the builders, and they are as it is."""
    life.write("fleet/inventory.py", 'builders = ["macmini.lan"]\n')
    life.write("fleet/group_data/builders.py", 'homebrew_user = "alice"\n')


def stop_docker(life: Life) -> None:
    """Docker dies in the guest."""
    env = {"LIMA_HOME": "/Users/alice/.colima/_lima", "PATH": HOMEBREW_PATH}
    words = ["/opt/homebrew/bin/limactl", "shell", "colima", "sudo", "systemctl", "stop", "docker"]
    life.mac.run(words, user="alice", env=env)


def answers_again(life: Life) -> None:
    wait_for(lambda: ping(life.mac) == "200")


def something_newer(life: Life) -> None:
    """Homebrew has newer versions of two of them."""
    life.mac.fault("brew-newer", "colima=0.10.4 qemu=10.2.0")


def was_upgraded(life: Life) -> None:
    """By one graceful restart, with the container back and all pinned as it was."""
    assert vm_events(life.mac)[-2:] == ["graceful-stop", "start"]
    assert container(life.mac, "web", "State.Running") is True
    pins = life.mac.path("/opt/homebrew/var/homebrew/pinned")
    assert {path.name: path.readlink().name for path in pins.iterdir()} == {
        "colima": "0.10.4",
        "lima": "2.2.0",
        "qemu": "10.2.0",
    }


def lose_signature(life: Life) -> None:
    """QEMU's, and the page's file is written to make it anew."""
    life.mac.fault("qemu-signature", "none")
    (text,) = re.findall(r"(?s)```xml\n(.*?)```", (ROOT / "docs/upgrades.md").read_text())
    life.write("qemu.xml", text)


def installs_updates(life: Life) -> None:
    """As macOS does that was never told otherwise."""
    (life.mac.records / "softwareupdate").write_text("AutomaticallyInstallMacOSUpdates 1\n")


def installs_no_updates(life: Life) -> None:
    assert (life.mac.records / "softwareupdate").read_text() == "\nAutomaticallyInstallMacOSUpdates 0\n"


def is_stopped(life: Life) -> None:
    assert not is_loaded(life.mac)
    assert ping(life.mac) != "200"


def shows_the_same(life: Life) -> None:
    page = life.mac.path(life.mac.user("admin").home) / "colima-pulse" / "status.html"
    assert "</svg> healthy" in page.read_text()


def nothing_is_left(life: Life) -> None:
    assert not list(life.mac.path("/Library/LaunchDaemons").glob(f"{LABEL}*"))
    assert not life.mac.path("/Library/ColimaPulse").exists()
    assert life.mac.path("/Users/alice/.colima/default/colima.yaml").exists()


def no_profile_is_left(life: Life) -> None:
    assert not life.mac.path("/Users/alice/.colima/default").exists()


@dataclass(frozen=True)
class Step:
    """One command and what is to come of it.

    `says` and `never`: words on the terminal, and words that are not to be there. `answers`: what is typed
    when a pattern is seen; pyinfra's question before it changes something is answered with the Enter key.
    `weekly`: another test of each run does the same, and the story goes on without it.
    """

    command: str
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    status: int = 0
    typed: Callable[[Life, str, Mapping[str, str]], Seen] = elsewhere
    answers: Mapping[str, str] = field(default_factory=lambda: ENTER)
    before: Callable[[Life], None] | None = None
    after: Callable[[Life], None] | None = None
    weekly: bool = False


LIFE = (
    Step("git clone https://github.com/MrCee/colima-pulse && cd colima-pulse", typed=by_git, after=wait_less),
    Step("brew install uv", says=("Pouring uv",), typed=by_alice),
    Step(
        "docker run --name web --detach --restart unless-stopped --publish 8080:80 nginx", typed=into_a_file
    ),
    Step("chmod 600 containers/.env", before=write_secret),
    Step("mkdir -m 700 containers/.docker", after=log_in),
    Step("chmod 600 containers/.docker/config.json"),
    Step("sudo pmset -a sleep 0 disksleep 0 autorestart 1", typed=on_the_mac),
    Step("pyinfra HOST deploy.py --dry", says=("Start Colima at boot and now",)),
    Step("sudo -v", typed=on_the_mac),
    Step(
        "uv run pyinfra @local deploy.py",
        says=("HOMEBREW_USER is not set: alice, who owns Homebrew", "Pouring qemu", "runs web"),
        typed=with_homebrew,
    ),
    Step("uv run pyinfra HOST deploy.py", says=("No changes",), never=UNCHANGED),
    Step("docker ps", says=("nginx",), typed=by_alice),
    Step("brew pin colima lima qemu", typed=by_alice),
    Step(
        "codesign --sign - --force --entitlements qemu.xml /opt/homebrew/bin/qemu-system-aarch64",
        typed=by_alice,
        before=lose_signature,
    ),
    Step(
        "sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate"
        " AutomaticallyInstallMacOSUpdates -bool false",
        typed=on_the_mac,
        before=installs_updates,
        after=installs_no_updates,
    ),
    Step("cp .env.example .env", after=fill_in),
    Step("make deploy", says=("No changes",), never=(*UNCHANGED, "is not set"), typed=on_the_mac),
    Step(
        "docker run --name bot --detach --restart always --env TOKEN example/bot",
        typed=into_a_file,
        before=provide_bot,
    ),
    Step("pyinfra HOST deploy.py", says=("Install bot", "runs bot, web"), never=("s3cret",)),
    Step(
        "pyinfra HOST deploy.py -y --data remove_unowned=true",
        says=("Remove bot",),
        before=retire_bot,
    ),
    Step("pyinfra HOST deploy.py -y --data only=web", never=UNCHANGED, weekly=True),
    Step(
        "pyinfra HOST deploy.py -y --data pull=true",
        says=("nginx: up to date",),
        never=UNCHANGED,
        weekly=True,
    ),
    Step("pyinfra HOST fact facts.mac.Mac --json", says=('"arm64"',), weekly=True),
    Step(
        f"pyinfra HOST fact facts.launchd.LaunchdJob label={LABEL} --json", says=('"running"',), weekly=True
    ),
    Step("pyinfra HOST fact facts.colima.ColimaProfile user=alice --json", says=('"Running"',), weekly=True),
    Step(
        "pyinfra HOST fact facts.docker.DockerEngine user=alice --json",
        says=('"web"',),
        never=('"bot"',),
        weekly=True,
    ),
    Step(f"pyinfra HOST fact facts.pulse.Pulse label={LABEL} --json", says=('"state": "well"',), weekly=True),
    Step("pyinfra HOST deploys/recover.py --dry", says=("docker is inactive",), before=stop_docker),
    Step("sudo /Library/ColimaPulse/bin/recover LABEL --dry", says=("docker is inactive",), typed=on_the_mac),
    Step("pyinfra HOST deploys/recover.py", says=("helped: restart Docker",), after=answers_again),
    Step("sudo /Library/ColimaPulse/bin/gate LABEL", says=("is ready",), typed=on_the_mac),
    Step("sudo /Library/ColimaPulse/bin/diagnose LABEL", says=("docker version",), typed=on_the_mac),
    Step(
        "sudo /Library/ColimaPulse/bin/stop LABEL",
        says=("stays stopped",),
        typed=on_the_mac,
        after=is_stopped,
    ),
    Step(
        "sudo /Library/ColimaPulse/bin/start LABEL", says=("is ready",), typed=on_the_mac, after=answers_again
    ),
    Step("sudo /Library/ColimaPulse/bin/prune LABEL images", says=("image: ",), typed=on_the_mac),
    Step("LIMA_HOME=~/.colima/_lima limactl shell colima sudo fstrim -a", typed=by_alice),
    Step("pyinfra HOST deploys/diagnose.py", says=("diagnostics/",), weekly=True),
    Step("pyinfra HOST deploy.py -y --data restart=true", says=("Hello from Docker!",), weekly=True),
    Step(
        "pyinfra HOST deploys/upgrade.py --dry",
        says=("Upgrade colima 0.10.3 -> 0.10.4, qemu 10.1.2 -> 10.2.0 with Homebrew", "Restart Colima"),
        before=something_newer,
    ),
    Step("pyinfra HOST deploys/upgrade.py", says=("Pouring qemu--10.2.0", "is ready"), after=was_upgraded),
    Step("pyinfra HOST deploy.py -y --data reinstall=web", says=("Install web",)),
    Step("pyinfra HOST deploy.py -y --data colima_memory=4", says=("memory 2 -> 4 GiB",), weekly=True),
    Step(
        "pyinfra HOST deploy.py --dry --diff",
        says=("memory 4 -> 2 GiB", "<string>--memory=2</string>"),
        after=keep_memory,
        weekly=True,
    ),
    Step("pyinfra HOST deploys/status.py", says=("healthy", "1 of 1"), weekly=True),
    Step(
        "pyinfra HOST deploys/status.py --data html=status.html",
        says=("healthy", "1 of 1", "The page is "),
        typed=locally,
        after=shows_the_same,
    ),
    Step("pyinfra HOST deploys/drift.py", never=("change",), weekly=True),
    Step("make drift HOST=@ssh/macmini.lan", never=("change",)),
    Step("cp -R group_data/example fleet", after=fleet_of_one),
    Step("pyinfra fleet/inventory.py deploy.py -y", says=("unchanged",)),
    Step("pyinfra fleet/inventory.py deploy.py -y --limit builders", says=("unchanged",), weekly=True),
    Step(
        "pyinfra fleet/inventory.py deploy.py -y --serial --fail-percent 0", says=("unchanged",), weekly=True
    ),
    Step(
        "pyinfra fleet/inventory.py deploys/status.py -y --data html=fleet.html",
        says=("healthy", "The page is "),
        weekly=True,
    ),
    Step("pyinfra HOST deploys/logs.py", says=("keeping Colima in the foreground",), weekly=True),
    Step("pyinfra HOST deploys/stop.py", says=("stays stopped",), after=is_stopped),
    Step("pyinfra HOST deploys/drift.py -y", says=("would change: Start Colima",), status=2, weekly=True),
    Step("pyinfra HOST deploys/start.py", says=("is ready",), after=answers_again),
    Step("pyinfra HOST deploy.py --dry --data full_reset=true", says=("makes it anew",), never=("Type ",)),
    Step("pyinfra HOST deploys/uninstall.py --dry", says=("leaves:",), never=("Press enter",)),
    Step("pyinfra HOST deploys/uninstall.py", says=("leaves:",), after=nothing_is_left),
    Step(
        "pyinfra HOST deploys/uninstall.py --data delete_vm=true",
        answers=DESTROY,
        says=("restore=default-",),
        after=no_profile_is_left,
    ),
    Step("pyinfra HOST deploys/restore.py", says=("default-",)),
    # Another Mac, by hand
    Step("python -m tests.mac up", says=("The stand-in Mac mini is up",), weekly=True),
    Step("python -m tests.mac ssh", answers={r"\$ ": "exit\n"}, weekly=True),
    Step("python -m tests.mac run -- launchctl print system", says=("type = system",), weekly=True),
    Step("python -m tests.mac faults start-fails=1", says=("start-fails                  = 1",), weekly=True),
    Step("python -m tests.mac reboot --hard", weekly=True),
    Step("python -m tests.mac down", weekly=True),
)

# What the documents show and no step runs, and why.
ELSEWHERE = {
    "make demo": "test_readme.py runs it, weekly",
    "docker --config containers/.docker login ghcr.io": "tests/operations/util/test_registries.py runs it",
    "make test": "this is it",
    "make test-weekly": "runs for long",
    "make acceptance": "tests/acceptance is that",
    "make acceptance HOST=@ssh/macmini.lan YES=--yes-really": "tests/e2e/test_acceptance.py, with @local",
    "make contracts": "tests/contracts is that",
    "make contracts HOST=@ssh/macmini.lan YES=--yes-really KEEP=kept": "tests/test_workflows.py, with @local",
    "make lint": ".ci/run runs it",
    "make soak": "tests/e2e/test_soak.py runs each of its faults, weekly",
    "make bench": "measures for ten minutes",
    "make pictures": "draws into the checkout",
    "python3 -m venv .venv && .venv/bin/pip install . && . .venv/bin/activate": (
        "tests/test_quickstart.py runs it"
    ),
    "mv colima-pulse colima-pulse.old": "test_from_the_script.py runs it",
    "cp -R ../colima-pulse.old/.env ../colima-pulse.old/containers .": "test_from_the_script.py runs it",
    "uv run pyinfra HOST deploy.py --dry": "test_from_the_script.py runs it",
    "pyinfra HOST deploy.py --data full_reset=true": "test_reset.py runs it",
    "pyinfra HOST deploys/restore.py --data restore=default-20261122-101530": "tests/acceptance runs it",
    "sudo visudo -f /etc/sudoers.d/deploy": "opens an editor",
    "sudo fdesetup authrestart": "asks for a FileVault password, which no stand-in has",
    "sudo brew services start colima --sudo-service-user USER": "is Homebrew's own way",
}


def shown() -> list[Shown]:
    """Every command of the documents, in HOST's words."""
    found = [each for document in DOCUMENTS for each in commands(document)]
    return [Shown(each.document, each.line, each.command.replace(f" {HOST} ", " HOST ")) for each in found]


def fill(life: Life, command: str) -> str:
    """A command with what stands in it for a user's own filled in."""
    fillings: tuple[tuple[str, Callable[[], str]], ...] = (
        (r"\bHOST\b(?!=)", lambda: HOST),
        (r"\bLABEL\b(?!=)", lambda: LABEL),
    )
    for pattern, value in fillings:
        if re.search(pattern, command):
            command = re.sub(pattern, value(), command)
    return command


def live(life: Life, step: Step) -> Seen:
    """Take a step.

    raises: AssertionError when something else comes of it.
    """
    if step.before:
        step.before(life)
    seen = step.typed(life, fill(life, step.command), step.answers)
    wrong = [f"{words!r} was not said" for words in step.says if words not in seen.text]
    wrong += [f"{words!r} was said" for words in step.never if words in seen.text]
    # paramiko's word for a session that the server has refused.
    wrong += ["a channel was refused"] if "Secsh channel" in seen.text else []
    if seen.status != step.status:
        wrong.insert(0, f"exit {seen.status}")
    assert not wrong, f"{step.command}: {'; '.join(wrong)}\n{seen.text}"
    if step.after:
        step.after(life)
    return seen
