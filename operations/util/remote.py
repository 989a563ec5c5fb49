"""Running commands inside an operation: shown as they print, awaited, or refused with words."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import cache
from typing import Any, TypeVar, cast

import gevent
from pyinfra import logger, state
from pyinfra.api import (
    FactBase,
    FactProcessError,
    FunctionCommand,
    Host,
    OperationError,
    QuoteString,
    State,
    StringCommand,
)
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, ConnectorArguments, pop_global_arguments
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_config, ctx_host
from typing_extensions import override

from operations.util.fleet import leave_out

T = TypeVar("T")
Commands = Generator[PyinfraCommand, None, None]

# A fact and its arguments.
Question = tuple[type[FactBase[Any]], dict[str, Any]]

LOST = "the SSH connection was lost"

NO_PASSWORD = (
    "sudo wants a password, and there is no terminal to ask for it. Run this on a terminal, or allow the "
    "user you connect as sudo without one (NOPASSWD): README.md, sudo"
)


def is_connected(host: Host) -> bool:
    """Whether the SSH connection to `host` is still there; a connector without one has none to lose."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client is not None else None
    return transport is None or bool(transport.is_active())


@cache
def _mention_password() -> None:
    """Say, once a run, what becomes of a password, and how to do without one."""
    logger.warning(
        "sudo is given a password, which pyinfra puts on the command line of every command: any user of the "
        "Mac can read it in `ps`. README.md, sudo, has two ways without one"
    )


def _look_for_password(host: Host) -> None:
    if (
        host.connector_data.get("prompted_sudo_password")
        or host.data.get("_sudo_password")
        or getattr(ctx_config.get(), "SUDO_PASSWORD", None)
    ):
        _mention_password()


def gathered(*asked: Question) -> list[Any]:
    """Get several facts of this host at once, as together() does.

    Raises EOFError where sudo wants a password, and there is no terminal to ask for it.
    """
    host, config = ctx_host.get(), ctx_config.get()

    def ask(fact: type[FactBase[Any]], arguments: dict[str, Any]) -> tuple[Any, Exception | None]:
        # pyinfra's contexts are those of one greenlet; an exception that leaves it would be printed there.
        with ctx_host.use(host), ctx_config.use(config):
            try:
                return host.get_fact(fact, **arguments), None
            except Exception as error:
                return None, error

    greenlets = [gevent.spawn(ask, fact, arguments) for fact, arguments in asked]
    answers = [greenlet.get() for greenlet in greenlets]
    _look_for_password(host)
    errors = [error for _, error in answers if error is not None]
    if not is_connected(host):
        if not state.is_executing:
            leave_out(LOST)
        fail(host, LOST)
    elif errors and not (state.is_executing and isinstance(errors[0], PyinfraError)):
        raise errors[0]
    return [value for value, _ in answers]


def together(*asked: Question) -> list[Any]:
    """Get several facts of this host at once, each given as its class and its arguments.

    Each is a command of its own, and over SSH most of its time is spent on the way. Returns their values in
    order, None for one that could not be got: pyinfra has failed the host then.

    While pyinfra prepares, a host whose connection was lost, or that wants a password, is left out, and what
    else getting one raised is raised. While it executes, an exception of one host would stop all.
    """
    try:
        return gathered(*asked)
    except EOFError:
        if not state.is_executing:
            leave_out(NO_PASSWORD)
        fail(ctx_host.get(), NO_PASSWORD)
        return [None for _ in asked]


def ask(fact: type[FactBase[T]], **arguments: Any) -> T | None:
    """Get one fact of this host, as `together` does: what an operation's generator asks with."""
    value: T | None = together((fact, arguments))[0]
    return value


# A line between the answers of several facts; those that may hold any line have a "|" before each.
NEXT = "[next]"


def joined(*asked: Question) -> type[FactBase[list[Any]]]:
    """One fact that asks several in one command, each given as its class and its arguments.

    Its value is theirs, in order; one that says nothing has its default.
    """

    class Joined(FactBase[list[Any]]):
        asked: tuple[Question, ...]

        @override
        def command(self) -> StringCommand:
            bits: list[Any] = []
            for fact, arguments in asked:
                bits += [fact().command(**arguments), ";", "echo", QuoteString(NEXT), ";"]
            return StringCommand(*bits[:-1])

        @override
        @staticmethod
        def default() -> list[Any]:
            return [fact.default() for fact, _ in asked]

        @override
        def process(self, output: list[str]) -> list[Any]:
            answers: list[list[str]] = [[]]
            for line in output:
                if line == NEXT:
                    answers.append([])
                else:
                    answers[-1].append(line)
            if len(answers) != len(asked) + 1 or answers.pop():
                raise FactProcessError("the answer is incomplete")
            return [
                fact().process(lines) if lines else fact.default()
                for (fact, _), lines in zip(asked, answers, strict=True)
            ]

    Joined.name = ", ".join(fact.name for fact, _ in asked)
    Joined.asked = asked
    return Joined


def in_one(*asked: Question) -> list[Any]:
    """Get several facts of this host in one command, as `together` gets one; their values in order."""
    if len(asked) == 1:
        return together(*asked)
    (values,) = together((joined(*asked), {}))
    return [None for _ in asked] if values is None else list(values)


def is_read() -> bool:
    """Whether someone reads what would change and is asked before it happens: not with `-y`."""
    return bool(state.should_check_for_changes())


def hosts_of_run() -> int:
    """How many hosts this run is for."""
    return len(state.inventory if state.limit_hosts is None else state.limit_hosts)


class LiveCommand(StringCommand):
    """A command whose output is shown as it comes, without `-vvv`."""

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        connector_arguments.update(self.connector_arguments)
        status, output = host.run_shell_command(
            self, print_output=True, print_input=state.print_input, **connector_arguments
        )
        # pyinfra prints the output of a failed command again unless there is none.
        return status, output if status else CommandOutput([])


def run(
    state: State,
    host: Host,
    command: StringCommand,
    *,
    live: bool = False,
    hidden: bool = False,
    **arguments: Any,
) -> tuple[bool, list[str]]:
    """Run `command` from within a FunctionCommand, with the operation's sudo, user and environment.

    Outside of an operation with the host's own. Returns whether it exited 0, and its output, both streams in
    order. `arguments` are pyinfra's connector arguments (`_stdin`, `_sudo_user`, ...) for this command.
    `live`: the output is shown as it comes; `hidden`: not even with `-vvv`.
    """
    current = host.current_op_global_arguments
    given = cast("dict[str, Any]", pop_global_arguments(state, host, {})[0] if current is None else current)
    connector = {key: given[key] for key in CONNECTOR_ARGUMENT_KEYS if key in given}
    status, output = host.run_shell_command(
        command,
        print_output=not hidden and (live or state.print_output),
        print_input=state.print_input,
        **(connector | dict(command.connector_arguments) | arguments),
    )
    _look_for_password(host)
    return status, [line.line for line in output]


def fail(host: Host, *lines: str) -> bool:
    """Say in red why this host fails. Returns False: what a FunctionCommand returns to fail its host."""
    for line in lines:
        host.log_styled(line, fg="red", log_func=logger.error)
    return False


def _fail(state: State, host: Host, message: str) -> bool:
    return fail(host, *message.splitlines())


def refuse(message: str) -> Commands:
    """Refuse to go on with this host: nothing has been touched yet, or nothing more is.

    While pyinfra prepares, leaves it out. While it executes, yields a command that fails this host alone: an
    exception there would stop all hosts.
    """
    if not state.is_executing:
        leave_out(message, alone=OperationError)
    yield FunctionCommand(_fail, (message,), {})


def wait(
    host: Host,
    seconds: float,
    look: Callable[[], T | None],
    waiting_for: str,
    *,
    pause: float = 1.0,
) -> T | None:
    """Look until there is something to see (not None), for at most `seconds`.

    Says every 15 s what is awaited. Returns what was seen, or None.
    """
    start = said = time.monotonic()
    while (seen := look()) is None:
        now = time.monotonic()
        if now - start >= seconds:
            return None
        if now - said >= 15:
            said = now
            host.log(f"waiting for {waiting_for}: {now - start:.0f} of {seconds:.0f} s")
        time.sleep(pause)
    return seen
