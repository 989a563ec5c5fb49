"""
Manage the containers that the installers in containers/ describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation

from facts.docker import SPEC_LABEL, Container, DockerEngine, EngineState, Pulled, PulledImage, logins
from facts.launchd import Milestones
from operations.util import ahead
from operations.util.commands import Commands, ask, explain, live, refuse
from operations.util.installer import Image, Installer, Installers

# The state of a container that Docker has failed to remove, and does not start any more.
DEAD = "dead"

# What happens to a container: it is made, unless another run has made it meanwhile; it is replaced, whatever
# is there; or what is there is started.
MAKE, ANEW, START = "make", "anew", "start"

# By name of a container or a file, or True for all.
Reinstall = bool | tuple[str, ...]


class Due(NamedTuple):
    """What is due for an installer, and why."""

    installer: Installer
    why: str
    how: str = MAKE


def chosen(installers: Installers, only: tuple[str, ...]) -> list[Installer]:
    """The installers that a run is about, in their order; all where `only` names none."""
    named = [installers.named(name) for name in only]
    return [each for each in installers.all if not only or each in named]


def _containers(engine: EngineState | None) -> Mapping[str, Container]:
    return (engine.containers if engine is not None else None) or {}


def _container(each: Installer, engine: EngineState | None) -> Container | None:
    """An installer's container; a smoke test leaves none."""
    return None if each.smoke_test else _containers(engine).get(each.container)


def _image(each: Installer, container: Container | None) -> Image | None:
    """The image that an installer is about, by the name that its container has for it; None: unknown."""
    if container is None or container.spec != each.digest or container.image is None:
        return each.image
    return Image(container.image, each.image.platform if each.image is not None else "")


def images(installers: Installers, engine: EngineState | None, only: tuple[str, ...] = ()) -> list[Image]:
    """The images to pull, each once, in the order of the installers."""
    found = (_image(each, _container(each, engine)) for each in chosen(installers, only))
    return list(dict.fromkeys(image for image in found if image is not None))


def _changed(each: Installer, container: Container | None, passed: str | None) -> str | None:
    """Why what is there was not made by this installer, or no smoke test has passed; None: it was."""
    if each.smoke_test:
        made_from, absent = passed, "Docker was started"
    elif container is None:
        made_from, absent = None, "it is not there"
    else:
        made_from, absent = container.spec, "it was not made from this file"
    if made_from is None:
        return absent
    return None if made_from == each.digest else "its text changed"


def _ended(each: Installer, container: Container | None) -> str | None:
    """Why a container does not run that should, and that Docker will not start by itself; None: all is well,
    or up to the operator, who has paused it. One that was not detached may end, and well."""
    if container is None or container.state not in ("created", "exited", DEAD):
        return None
    if not each.detached and (container.state, container.exit_code) == ("exited", 0):
        return None
    how = "and never ran" if container.state == "created" else f"exit code {container.exit_code}"
    return f"it is {container.state}, {how}"


def pending(
    installers: Installers,
    engine: EngineState | None,
    notes: Mapping[str, str] | None,
    only: tuple[str, ...] = (),
    reinstall: Reinstall = False,
    pulled: Mapping[Image, Pulled] | None = None,
) -> list[Due]:
    """What is due for the installers, in their order. A pure function.

    A reinstall that was asked for waits where the image was to be pulled and could not be. A detached
    container that does not run is started, where Docker can; another one that failed is made anew.
    """
    found = []
    asked = [installers.named(name) for name in reinstall] if isinstance(reinstall, tuple) else []
    for each in chosen(installers, only):
        container = _container(each, engine)
        image = _image(each, container)
        outcome = (pulled or {}).get(image) if image is not None else None
        was = container.image_id if container is not None else outcome and outcome.before
        # A milestone: the text of a smoke test that has passed since the daemon was started.
        passed = (notes or {}).get(f"smoke.{each.container}")
        if why := _changed(each, container, passed):
            found.append(Due(each, why))
        elif outcome is not None and outcome.trouble is None and outcome.after not in (None, was):
            found.append(Due(each, "a newer image", ANEW))
        elif (reinstall is True or each in asked) and not (outcome is not None and outcome.failed):
            word = "true" if reinstall is True else each.container
            found.append(Due(each, f"asked for with reinstall={word}", ANEW))
        elif why := _ended(each, container):
            starts = each.detached and container is not None and container.state != DEAD
            found.append(Due(each, why, START if starts else MAKE))
    return found


def unowned(installers: Installers, engine: EngineState | None) -> dict[str, Container]:
    """The containers that an installer once made and that no file describes any more, by name, in order."""
    names = {each.container for each in installers.all}
    return {
        name: container
        for name, container in sorted(_containers(engine).items())
        if container.spec and name not in names
    }


def _pull(wanted: list[Image], config: str, user: str, profile: str, tries: int) -> dict[Image, Pulled]:
    """Pull images, and say what came of each."""
    found: dict[Image, Pulled] = {}
    for image in wanted:
        name = image.name
        if "@" in name or name.startswith("sha256:"):
            host.log(f"{name} is named by its digest: there is no newer one")
            continue
        host.log(f"Pull {name}")
        outcome = ask(
            PulledImage,
            user=user,
            profile=profile,
            image=name,
            platform=image.platform,
            tries=tries,
            **logins(config),
        )
        found[image] = outcome = outcome or Pulled(None, None, "no answer")
        if outcome.nowhere:
            host.log(
                f"{name} is in no registry, as far as Docker can see ({outcome.trouble}): what runs from it "
                "is left alone",
                logger.warning,
            )
        elif outcome.trouble is None:
            host.log(f"{name}: " + ("up to date" if outcome.before == outcome.after else "a newer image"))
    return found


def _command(due: Due, installers: Installers, label: str, tries: int) -> StringCommand:
    each = due.installer
    if due.how == START:
        return live("start-container", label, each.container, tries)
    kind = "smoke" if each.smoke_test else "detached" if each.detached else "attached"
    words = [each.container, tries, each.digest, kind, *([ANEW] if due.how == ANEW else [])]
    # By its last line the command knows that all of it has arrived.
    text = f"{installers.logins.text}\n{each.script(SPEC_LABEL, installers.secrets)}# end\n"
    return live("install-container", label, *words, stdin=text)


@operation()
def installed(
    installers: Installers,
    label: str,
    user: str,
    profile: str = "default",
    tries: int = 3,
    debug: bool = False,
    only: tuple[str, ...] = (),
    reinstall: Reinstall = False,
    remove_unowned: bool = False,
    pull: bool = False,
) -> Commands:
    """
    Keep the containers that the installers describe, each made from the text as it is now.

    + installers: what containers/ holds, read and checked
    + label: the LaunchDaemon's label, under which passed smoke tests are noted
    + user: who runs Colima
    + profile: the profile's short name
    + tries: how often an installer is tried when Docker's errors are transient, with recovery between
    + debug: show each cleaned text before it is run
    + only: look at these installers alone, by the name of the container or the file
    + reinstall: make these anew although nothing changed; True: all that are looked at
    + remove_unowned: remove the containers that no installer describes any more
    + pull: pull the images first, and make anew what has a newer one then

    A container whose label names the text's hash is left alone while it runs, and where it was to end; else
    it is started as it is. Stops at the first failure. An image that cannot be pulled when it was asked for
    leaves its container as it is, and fails the operation when the others are done.

    **Example:**

    .. code:: python

        containers.installed(
            name="Keep the containers as their installers say", installers=read(Path("containers")),
            label="homebrew.mrcee.colima-pulse", user="alice",
        )
    """
    where = {"user": user, "profile": profile}
    engine, notes = ahead.get((DockerEngine, where), (Milestones, {"label": label}))
    if state.is_executing and (engine is None or engine.containers is None or notes is None):
        why = engine.silence if engine is not None else None
        yield from refuse(f"Docker's containers cannot be listed: {why or 'no answer'}")
        return
    wanted = images(installers, engine, only) if pull else []
    pulled: dict[Image, Pulled] = {}
    if state.is_executing:
        pulled = _pull(wanted, installers.logins.text, user, profile, tries)
    elif wanted:
        count = "an image" if len(wanted) == 1 else f"{len(wanted)} images"
        explain(f"Pull {count} and install what has a newer one, which is known only then")
    gone = unowned(installers, engine)
    for name, container in gone.items():
        if remove_unowned:
            explain(
                f"Remove {name}, which is {container.state}: no installer describes it. "
                "Its image and its volumes stay"
            )
        elif not only:
            host.log(
                f"container {name} was made by an installer that is no longer in containers/. It is "
                f"{container.state}; --data remove_unowned=true removes it"
            )
    work = pending(installers, engine, notes, only, reinstall, pulled)
    for due in work:
        explain(f"{'Start' if due.how == START else 'Install'} {due.installer.container}: {due.why}")

    if remove_unowned:
        for name in gone:
            yield live("remove-container", label, name)
    if wanted and not state.is_executing:
        # Never run: so that it counts as a change, as far as can be known.
        yield StringCommand("true")
    for due in work:
        if debug and state.is_executing and due.how != START:
            host.log("\n  ".join([f"{due.installer.file}, cleaned:", *due.installer.text.splitlines()]))
        yield _command(due, installers, label, tries)
    if state.is_executing and work:
        engine = ask(DockerEngine, **where)
    if engine is not None and engine.containers is not None:
        host.log(f"Docker {engine.version} runs {', '.join(engine.running) or 'no containers'}")
    if not work:
        host.noop(f"{len(chosen(installers, only))} containers are as their installers say")
    if troubles := [f"{image.name}: {each.trouble}" for image, each in pulled.items() if each.failed]:
        yield from refuse("\n".join(["Not pulled, and what runs from it was left alone:", *troubles]))
