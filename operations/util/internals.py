"""What of pyinfra is used here and is not documented API: all of it, each with its reason.

tests/operations/util/test_internals.py fails where pyinfra has changed one of these.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paramiko
from paramiko import SSHException
from pyinfra import logger, state
from pyinfra.api import Host, State, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.operation import OperationMeta
from pyinfra.connectors.sshuserclient import SSHClient
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra.context import ctx_config, ctx_host
from typing_extensions import override

# Where a Mac has sudo and sh, and none but root writes.
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

LOST = "the SSH connection was lost"
PASSWORD = (
    "sudo is given a password, which pyinfra puts on the command line of every command: any user of the "
    "Mac can read it in `ps`. README.md, sudo, has two ways without one"
)

_mentioned_password = False


def _exec_command(client: paramiko.SSHClient, command: str, *arguments: Any, **options: Any) -> Any:
    """paramiko's SSHClient.exec_command(), whatever PATH the login shell has."""
    return paramiko.SSHClient.exec_command(
        client, f"/usr/bin/env PATH={SYSTEM_PATH} {command}", *arguments, **options
    )


def keep_to_the_system() -> None:
    """Have sudo and sh found in the system's directories, on this machine and over SSH.

    pyinfra names them without a directory, and macOS's sudo hands its caller's PATH on: with Homebrew's first
    in it, who owns Homebrew would have root run a `sh` of theirs. pyinfra has no setting for it.
    """
    os.environ["PATH"] = f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}".removesuffix(":")
    SSHClient.exec_command = _exec_command  # type: ignore[assignment,method-assign]


def _transport(host: Host) -> paramiko.Transport | None:
    """The connection to an SSH host; None for others."""
    client = getattr(host.connector, "client", None)
    return client.get_transport() if client is not None else None


def tune(host: Host) -> None:
    """Send each command to an SSH host at once, and notice within a minute that it is gone.

    paramiko leaves Nagle's algorithm on, 40 ms a command, and waits for ever for a Mac that has lost power.
    """
    transport = _transport(host)
    if transport is None or not isinstance(transport.sock, socket.socket):
        return
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # What macOS calls TCP_KEEPALIVE is Linux' TCP_KEEPIDLE.
    idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
    for option, value in ((idle, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 4)):
        if option is not None:
            transport.sock.setsockopt(socket.IPPROTO_TCP, option, value)


def is_connected(host: Host) -> bool:
    """Whether the SSH connection to `host` is still there; a connector without one has none to lose."""
    transport = _transport(host)
    return transport is None or bool(transport.is_active())


def mention_password(host: Host) -> None:
    """Say, once a run, what becomes of a password that sudo is given."""
    global _mentioned_password
    given = (
        host.connector_data.get("prompted_sudo_password")
        or host.data.get("_sudo_password")
        or getattr(ctx_config.get(), "SUDO_PASSWORD", None)
    )
    if given and not _mentioned_password:
        _mentioned_password = True
        logger.warning(PASSWORD)


# By the hosts' names, the last that a failed command said.
_reasons: dict[str, str] = {}


def note_failure(host: Host, why: str) -> None:
    """Keep the first reason for which a host fails, for the summary: pyinfra itself keeps none."""
    _reasons.setdefault(host.name, why)


def failure(host: Host) -> str | None:
    """Why a host failed, as far as it is known."""
    return _reasons.get(host.name)


# By the hosts' names, why they were refused before anything was touched.
_refusals: dict[str, tuple[str, ...]] = {}


def note_refusal(host: Host, faults: tuple[str, ...]) -> None:
    """Keep why a host was refused, for the summary."""
    _refusals[host.name] = faults


def refusal(host: Host) -> tuple[str, ...]:
    """Why this run refuses `host`; empty when it does not."""
    return _refusals.get(host.name, ())


class Command(StringCommand):
    """A command of an operation, whose output is shown as it comes where it is `live`, also without `-vvv`.

    pyinfra has no such choice for a single command, and shows a lost connection as a traceback's last line.
    """

    def __init__(self, *bits: Any, live: bool = False, **arguments: Any) -> None:
        super().__init__(*bits, **arguments)
        self.live = live

    @override
    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        connector_arguments.update(self.connector_arguments)
        try:
            status, output = host.run_shell_command(
                self,
                print_output=self.live or state.print_output,
                print_input=state.print_input,
                **connector_arguments,
            )
        except (OSError, EOFError, SSHException) as error:
            lost = not is_connected(host)
            why = f"{LOST}; run this again" if lost else (str(error) or type(error).__name__)
            note_failure(host, why)
            return False, CommandOutput([OutputLine("stderr", why)])
        mention_password(host)
        if not status:
            said = [line.line for line in output if line.line.strip()]
            note_failure(host, said[-1] if said else "a command failed")
        # pyinfra prints the output of a failed command, of which a live one has shown all.
        return status, CommandOutput([]) if self.live else output


def is_read() -> bool:
    """Whether somebody reads what would change and is asked before it happens: not with `-y`."""
    return bool(state.should_check_for_changes())


def look_for_changes() -> None:
    """Have pyinfra look for changes also with `-y`."""
    state.check_for_changes = True


def hide_facts() -> None:
    """Show what facts answer not even with `-vvv`: it may hold secrets."""
    state.print_fact_output = False


def wants_json() -> bool:
    """Whether pyinfra was asked for `--json`: then standard output holds JSON and nothing else."""
    return "--json" in sys.argv


def hosts_of_run() -> int:
    """How many hosts this run is for."""
    return len(state.inventory if state.limit_hosts is None else state.limit_hosts)


def host_names() -> list[str]:
    """The names of the hosts that this run is for, in the inventory's order."""
    return [host.name for host in state.inventory if state.is_host_in_limit(host)]


# How to end a deploy file that only looks, and the hosts that have come to its end.
_ended: dict[str, Callable[[], int]] = {}


def end_after_all(finish: Callable[[], int]) -> None:
    """End a deploy file that only looks, called at its end for every host.

    At the last of them `finish` is called, which shows what was seen, and pyinfra ends with the exit status
    that it returns, before it would ask whether to go on. Raises SystemExit then.
    """
    _ended[ctx_host.get().name] = finish
    if all(host.name in _ended for host in state.activated_hosts):
        raise SystemExit(finish())


@dataclass(frozen=True)
class Outcome:
    """How far a host has come: `connected` says that it was reached at all, `failed` what pyinfra thinks, and
    `operations` what came of each, by name."""

    host: Host
    connected: bool
    failed: bool
    operations: list[tuple[str, OperationMeta]]


def outcomes() -> list[Outcome]:
    """How far each host of this run has come."""
    found = []
    for host in state.inventory:
        if state.is_host_in_limit(host):
            operations = [
                (name, data.operation_meta)
                for op_hash, data in state.ops[host].items()
                for name in state.op_meta[op_hash].names
            ]
            reached = host in state.activated_hosts
            found.append(Outcome(host, reached, host in state.failed_hosts, operations))
    return found


def has_changed(host: Host) -> bool:
    """Whether an operation of this run has changed `host`, or may have."""
    metas = (data.operation_meta for data in state.ops[host].values())
    return any(meta.is_complete() and meta.did_change() for meta in metas)
