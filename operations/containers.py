"""
Manage the containers that the installers in containers/ describe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paramiko import SSHException
from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.context import ctx_host, ctx_state

from facts.docker import SPEC_LABEL, Container, DockerEngine, EngineState
from facts.launchd import Milestones, milestones_path
from files import script
from operations import recovery
from operations.recovery import Service
from operations.util import ahead
from operations.util.installer import Image, Installer, Installers, is_transient
from operations.util.remote import Commands, fail, refuse, run
from settings import Fault, Settings

# An image may have to be pulled over a slow line.
INSTALL_SECONDS = 3600
PULL_SECONDS = 3600
SETTLED_SECONDS = 3
RECOVERY_SECONDS = 25

# The state of a container that Docker has failed to remove, and does not start any more.
DEAD = "dead"

# What Docker says of an image that no registry has: one that was built here, or named by its id.
NOWHERE = re.compile(
    r"pull access denied|manifest unknown|name unknown|repository name not known|\bnot found$"
    r"|invalid reference format|cannot specify 64-byte hexadecimal"
)


@dataclass(frozen=True)
class Choices:
    """What one run is asked for, beyond keeping the containers as their installers say.

    `only` and `reinstall` name installers as Installers.named does. `only` (empty: all) are the ones that are
    looked at; `reinstall` (True: all that are looked at) are made anew although nothing changed;
    `remove_unowned` removes what has no installer any more; `pull` pulls images first, and reinstalls what
    has a newer one then.
    """

    only: tuple[str, ...] = ()
    reinstall: bool | tuple[str, ...] = False
    remove_unowned: bool = False
    pull: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Choices:
        """What these settings ask for."""
        return cls(settings.only, settings.reinstall, settings.remove_unowned, settings.pull)

    def looked_at(self, installers: Installers) -> list[Installer]:
        """The installers that this run is about, in their order."""
        named = [installers.named(name) for name in self.only]
        return [each for each in installers.all if not self.only or each in named]

    def asks_anew(self, installers: Installers, each: Installer) -> str | None:
        """Why an installer is run although nothing changed; None: it is not asked for."""
        if self.reinstall is True:
            return "asked for with reinstall=true"
        names = self.reinstall or ()
        asked = any(installers.named(name) == each for name in names)
        return f"asked for with reinstall={each.container}" if asked else None


@dataclass(frozen=True)
class Pulled:
    """What came of a pull: an image's id before and after (None: it is not here), and what Docker said when
    it could not be pulled."""

    before: str | None
    after: str | None
    trouble: str | None = None

    @property
    def nowhere(self) -> bool:
        """Whether the trouble is that no registry has it."""
        return self.trouble is not None and NOWHERE.search(self.trouble) is not None

    @property
    def failed(self) -> bool:
        """Whether it is unknown if there is a newer one."""
        return self.trouble is not None and not self.nowhere


def choice_faults(choices: Choices, installers: Installers) -> list[str]:
    """What names no installer, or one that this run does not look at."""
    found = []
    reinstall = choices.reinstall if isinstance(choices.reinstall, tuple) else ()
    looked_at = choices.looked_at(installers)
    for key, names in (("ONLY", choices.only), ("REINSTALL", reinstall)):
        for name in names:
            each = installers.named(name)
            if each is None:
                found.append(str(Fault(key, name, f"no installer's name; there is {installers.names}")))
            elif each not in looked_at:
                found.append(str(Fault(key, name, f"not among only={','.join(choices.only)}")))
    return found


@dataclass(frozen=True)
class Due:
    """What is due, and why: that an installer runs, or (`starts`) that its container is started as it is."""

    installer: Installer
    why: str
    starts: bool = False


def smoke_note(container: str) -> str:
    """The milestone that says a smoke test has passed since the daemon was started."""
    return f"smoke.{container}"


def _present(engine: EngineState | None) -> Mapping[str, Container]:
    return (engine.containers if engine is not None else None) or {}


def image_of(each: Installer, container: Container | None) -> Image | None:
    """The image that an installer is about, by the name that its container has for it; None: unknown."""
    if container is None or container.spec != each.digest or container.image is None:
        return each.image
    return Image(container.image, each.image.platform if each.image is not None else "")


def _newer(each: Installer, container: Container | None, pulled: Pulled | None) -> bool:
    if pulled is None or pulled.trouble is not None:
        return False
    was = container.image_id if container is not None else pulled.before
    return pulled.after not in (None, was)


def _why(each: Installer, container: Container | None, noted: str | None) -> str | None:
    """Why an installer has to run by what is there; None: it has not."""
    if each.smoke_test:
        made_from = noted
        absent = "Docker was started"
    else:
        made_from = container.spec if container is not None else None
        absent = "it is not there" if container is None else "it was not made from this file"
    if made_from is None:
        return absent
    return None if made_from == each.digest else "its text changed"


def _ended(each: Installer, container: Container) -> str | None:
    """Why a container does not run that should, and that Docker will not start by itself; None: all is well,
    or up to the operator, who has paused it. One that was not detached may end, and well."""
    if container.state not in ("created", "exited", DEAD):
        return None
    if not each.detached and (container.state, container.exit_code) == ("exited", 0):
        return None
    how = "and never ran" if container.state == "created" else f"exit code {container.exit_code}"
    return f"it is {container.state}, {how}"


def pending(
    installers: Installers,
    engine: EngineState | None,
    notes: Mapping[str, str] | None,
    choices: Choices = Choices(),
    pulled: Mapping[Image, Pulled] | None = None,
) -> list[Due]:
    """What is due for the installers, in their order. A pure function.

    What is asked for anew is left alone when its image was to be pulled and could not be. A detached
    container that does not run is started, where Docker can; another one that failed is made anew.
    """
    found = []
    for each in choices.looked_at(installers):
        container = None if each.smoke_test else _present(engine).get(each.container)
        why = _why(each, container, (notes or {}).get(smoke_note(each.container)))
        image = image_of(each, container)
        outcome = (pulled or {}).get(image) if image is not None else None
        if why is None and _newer(each, container, outcome):
            why = "a newer image"
        if why is None and not (outcome is not None and outcome.failed):
            why = choices.asks_anew(installers, each)
        starts = False
        if why is None and container is not None and (why := _ended(each, container)):
            starts = each.detached and container.state != DEAD
        if why is not None:
            found.append(Due(each, why, starts))
    return found


def unowned(installers: Installers, engine: EngineState | None) -> dict[str, Container]:
    """The containers that an installer once made and that no file describes any more, by name, in order."""
    names = {each.container for each in installers.all}
    return {
        name: container
        for name, container in sorted(_present(engine).items())
        if container.spec and name not in names
    }


def images(installers: Installers, engine: EngineState | None, choices: Choices) -> list[Image]:
    """The images to pull, each once, in the order of the installers."""
    found = (
        image_of(each, None if each.smoke_test else _present(engine).get(each.container))
        for each in choices.looked_at(installers)
    )
    return list(dict.fromkeys(image for image in found if image is not None))


def describe(
    installers: Installers,
    engine: EngineState | None,
    notes: Mapping[str, str] | None,
    choices: Choices = Choices(),
) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    parts = []
    if choices.remove_unowned and (old := unowned(installers, engine)):
        parts.append("remove " + ", ".join(f"{name} (no installer describes it)" for name in old))
    if choices.pull and (names := images(installers, engine, choices)):
        count = "an image" if len(names) == 1 else f"{len(names)} images"
        parts.append(f"pull {count} and install what has a newer one, which is known only then")
    work = pending(installers, engine, notes, choices)
    for verb, starts in (("install", False), ("start", True)):
        if some := [f"{each.installer.container} ({each.why})" for each in work if each.starts is starts]:
            parts.append(f"{verb} {', '.join(some)}")
    words = "; ".join(parts)
    return words[:1].upper() + words[1:] if words else None


def summary(engine: EngineState) -> str:
    """What runs, in a line."""
    return f"Docker {engine.version} runs " + (", ".join(engine.running) or "no containers")


def _report(state: State, host: Host, service: Service) -> bool:
    engine = host.get_fact(DockerEngine, **service.where)
    if engine is not None and engine.containers is not None:
        host.log(summary(engine))
    return True


def _settled(host: Host, user: str, profile: str, name: str) -> str | None:
    """See a detached container stay up for a moment; what is wrong with it, or None.

    A look that fails tells nothing; one that succeeds must come in time.
    """
    start = time.monotonic()
    while True:
        engine = host.get_fact(DockerEngine, user=user, profile=profile)
        looked = engine is not None and engine.containers is not None
        if engine is not None and engine.containers is not None:
            container = engine.containers.get(name)
            if container is None:
                return "is gone"
            if container.state != "running":
                return f"is {container.state} (exit code {container.exit_code})"
        waited = time.monotonic() - start
        if looked and waited >= SETTLED_SECONDS:
            return None
        if waited >= RECOVERY_SECONDS:
            return "cannot be looked at: Docker does not answer any more"
        time.sleep(0.5)


def _show_last_lines(state: State, host: Host, installer: Installer, service: Service) -> None:
    host.log(f"{installer.container}'s last lines:")
    command = script("bin/container-log", service.user, service.profile, installer.container, 20)
    run(state, host, command, live=True)


def _tried(
    state: State,
    host: Host,
    due: Due,
    service: Service,
    tries: int,
    command: StringCommand,
    stdin: str | None = None,
) -> bool:
    """Run an installer, or start its container, with what Docker says shown live; after a transient error see
    Docker recover and do it again, `tries` times in all."""
    installer, name = due.installer, due.installer.container
    for attempt in range(1, tries + 1):
        ok, output = run(state, host, command, live=True, _stdin=stdin)
        if ok:
            break
        what = (
            f"{name} could not be started" if due.starts else f"containers/{installer.file} failed ({name})"
        )
        times = "once" if attempt == 1 else f"{attempt} times"
        failed = (
            f"{what}, tried {times}; what Docker said is above. The installers after it were not run."
            + (f" --data reinstall={name} makes it anew." if due.starts else "")
        )
        if attempt == tries or not is_transient(output):
            if due.starts:
                _show_last_lines(state, host, installer, service)
            return service.give_up(state, host, failed)
        host.log(f"{name}: a passing error; try {attempt + 1} of {tries} follows")
        if not recovery.recover(state, host, service):
            return fail(host, failed)
    return True


def _stays_up(state: State, host: Host, installer: Installer, service: Service) -> bool:
    wrong = _settled(host, service.user, service.profile, installer.container)
    if wrong is None:
        return True
    _show_last_lines(state, host, installer, service)
    return service.give_up(
        state, host, f"{installer.container} {wrong} right after its start. Its last lines are above."
    )


def start(state: State, host: Host, due: Due, service: Service, tries: int) -> bool:
    """Start a detached container that is there and does not run, and see it stay up."""
    command = script("bin/start-container", service.user, service.profile, due.installer.container)
    return _tried(state, host, due, service, tries, command) and _stays_up(
        state, host, due.installer, service
    )


def install(
    state: State,
    host: Host,
    due: Due,
    installers: Installers,
    service: Service,
    tries: int,
    debug: bool,
) -> bool:
    """Run one installer, see a detached container stay up, and note a smoke test that has passed."""
    installer = due.installer
    if installer.smoke_test:
        # Whether it passes is open again.
        noted = QuoteString(f"{milestones_path(service.label)}/{smoke_note(installer.container)}")
        run(state, host, StringCommand("/bin/rm", "-f", noted))
    if debug:
        host.log(f"{installer.file}, cleaned:")
        for line in installer.text.splitlines():
            host.log(f"  {line}")
    text = installer.script(SPEC_LABEL, installers.secrets)
    command = script("bin/run-installer", service.user, service.profile, installer.container, INSTALL_SECONDS)
    if not _tried(state, host, due, service, tries, command, stdin=text):
        return False
    if installer.detached and not _stays_up(state, host, installer, service):
        return False
    if installer.smoke_test:
        note = script(
            "bin/note", milestones_path(service.label), smoke_note(installer.container), installer.digest
        )
        return run(state, host, note)[0]
    return True


def remove(state: State, host: Host, name: str, was: str, service: Service) -> bool:
    """Remove a container that no installer describes any more; `was` is its state, to be said first."""
    host.log(f"Remove {name}, which is {was}: no installer describes it. Its image and its volumes stay")
    ok, said = run(state, host, script("bin/remove-container", service.user, service.profile, name))
    return ok or fail(host, f"Container {name} cannot be removed:", *said)


def _pull(state: State, host: Host, image: Image, service: Service) -> Pulled:
    command = script("bin/pull-image", service.user, service.profile, PULL_SECONDS, *image)
    try:
        ok, output = run(state, host, command)
    except (OSError, EOFError, SSHException) as error:
        # At execution an exception would end the run of all hosts.
        return Pulled(None, None, str(error) or type(error).__name__)
    ids = dict(line.split("=", 1) for line in output if re.match("(before|after)=", line))
    said = [line for line in output if line and not re.match("(before|after)=", line)]
    trouble = None if ok else (said or ["docker says nothing"])[-1]
    return Pulled(ids.get("before") or None, ids.get("after") or None, trouble)


def pull(
    state: State, host: Host, images: Iterable[Image], service: Service, tries: int
) -> dict[Image, Pulled]:
    """Pull each image, after a transient error again, `tries` times in all, and say what came of it."""
    found: dict[Image, Pulled] = {}
    for image in images:
        name = image.name
        if "@" in name or name.startswith("sha256:"):
            host.log(f"{name} is named by its digest: there is no newer one")
            continue
        host.log(f"Pull {name}")
        for _ in range(tries):
            outcome = _pull(state, host, image, service)
            if outcome.trouble is None or not is_transient([outcome.trouble]):
                break
        found[image] = outcome
        if outcome.nowhere:
            host.log(
                f"{name} is in no registry, as far as Docker can see ({outcome.trouble}): what runs from it "
                "is left alone",
                logger.warning,
            )
        elif outcome.trouble is None:
            host.log(f"{name}: " + ("up to date" if outcome.before == outcome.after else "a newer image"))
    return found


@operation()
def installed(
    installers: Installers,
    service: Service,
    tries: int = 3,
    debug: bool = False,
    choices: Choices = Choices(),
) -> Commands:
    """
    Keep the containers that the installers describe, each made from the text as it is now.

    + installers: what containers/ holds, read and checked
    + service: the profile's Docker, and what to expect of it; passed smoke tests are noted under its label
    + tries: how often an installer is tried when Docker's errors are transient, with recovery between
    + debug: show each cleaned text before it is run
    + choices: what this run is asked for beyond that

    A container whose label names the text's hash is left alone while it runs, and where it was to end; else
    it is started as it is. Stops at the first failure. An image that cannot be pulled when it was asked for
    leaves its container as it is, and fails the operation when the others are done.

    **Example:**

    .. code:: python

        containers.installed(
            name="Install containers", installers=read(Path("containers")),
            service=Service(
                "alice", "default", "homebrew.mrcee.colima-pulse", "/var/log/colima.log"
            ),
        )
    """
    engine, notes = ahead.get((DockerEngine, service.where), (Milestones, {"label": service.label}))
    if state.is_executing and (engine is None or engine.containers is None or notes is None):
        why = engine.silence if engine is not None else None
        yield from refuse(f"Docker's containers cannot be listed: {why or 'no answer'}")
        return
    for name, container in unowned(installers, engine).items():
        if choices.remove_unowned:
            yield FunctionCommand(remove, (name, container.state, service), {})
        elif not choices.only:
            host.log(
                f"container {name} was made by an installer that is no longer in containers/. It is "
                f"{container.state}; --data remove_unowned=true removes it"
            )
    pulled: dict[Image, Pulled] = {}
    if choices.pull:
        names = images(installers, engine, choices)
        if state.is_executing:
            # Not as a command of the operation: that would count as a change.
            pulled = pull(ctx_state.get(), ctx_host.get(), names, service, tries)
        elif names:
            yield FunctionCommand(pull, (names, service, tries), {})
    work = pending(installers, engine, notes, choices, pulled)
    for due in work:
        if state.is_executing:
            host.log(f"{'Start' if due.starts else 'Install'} {due.installer.container}: {due.why}")
        if due.starts:
            yield FunctionCommand(start, (due, service, tries), {})
        else:
            yield FunctionCommand(install, (due, installers, service, tries, debug), {})
    if work:
        yield FunctionCommand(_report, (service,), {})
    else:
        if engine is not None and engine.containers is not None:
            host.log(summary(engine))
        host.noop(f"{len(choices.looked_at(installers))} containers are as their installers say")
    if troubles := [f"{image.name}: {each.trouble}" for image, each in pulled.items() if each.failed]:
        yield from refuse("\n".join(["Not pulled, and what runs from it was left alone:", *troubles]))
