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
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_config, ctx_host
from typing_extensions import override

# Where a Mac has sudo and sh, and none but root writes.
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

LOST = "the SSH connection was lost; run this again"
NO_PASSWORD = (
    "sudo wants a password, and there is no terminal to ask for it. Run this on a terminal, or allow the "
    "user you connect as sudo without one (NOPASSWD): docs/troubleshooting.md, sudo"
)
PASSWORD = (
    "sudo is given a password, which pyinfra puts on the command line of every command: any user of the "
    "Mac can read it in `ps`. docs/troubleshooting.md, sudo, has two ways without one"
)

# Seconds, the number of probes, and milliseconds for what was sent. The first is macOS's name for the second.
KEEPALIVE = {
    "TCP_KEEPALIVE": 20,
    "TCP_KEEPIDLE": 20,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 60_000,
}

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
    """Send each command to an SSH host at once, and notice within a minute that the host is gone.

    paramiko leaves Nagle's algorithm on, 40 ms a command, and waits for ever for a Mac that has lost power.
    """
    transport = _transport(host)
    if transport is None or not isinstance(transport.sock, socket.socket):
        return
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
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


# By the hosts' names, why they failed: pyinfra keeps no reason.
_failures: dict[str, str] = {}
# By the hosts' names, why they were refused before anything was touched.
_refusals: dict[str, tuple[str, ...]] = {}


def note_failure(host: Host, why: str) -> None:
    """Keep the last reason for which something failed on a host, for the summary."""
    _failures[host.name] = why


def fail(host: Host, why: str) -> None:
    """Say in red why something failed on a host; once, where all that follows fails for the same reason."""
    if failure(host) != why:
        host.log_styled(why, fg="red", log_func=logger.error)
    note_failure(host, why)


def failure(host: Host) -> str | None:
    """The last reason for which something failed on a host."""
    return _failures.get(host.name)


def note_refusal(host: Host, faults: tuple[str, ...]) -> None:
    """Keep the first faults for which a host was refused, for the summary.

    In a dry run no operation fails it, and pyinfra's exit status counts the hosts that have failed.
    """
    _refusals.setdefault(host.name, faults)
    state.failed_hosts.add(host)


def refusal(host: Host) -> tuple[str, ...]:
    """Why this run refuses `host`; empty when it does not."""
    return _refusals.get(host.name, ())


# What a lost connection raises, and a password that nobody can type; pyinfra itself does not catch EOFError.
WIRE_ERRORS = (OSError, EOFError, SSHException)


def fail_for(host: Host, error: Exception) -> None:
    """Say why a command, or a fact, did not come through: `error` is one of WIRE_ERRORS."""
    if not is_connected(host):
        fail(host, LOST)
    else:
        fail(host, NO_PASSWORD if isinstance(error, EOFError) else str(error) or type(error).__name__)


class Command(StringCommand):
    """A command of an operation; where it is `live` its output is shown as it comes.

    pyinfra shows the output of all commands as it comes (-vvv), or of none. To it a lost connection is a
    command that has failed without a word, or an error that ends the run of every host.
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
        except WIRE_ERRORS as error:
            fail_for(host, error)
            return False, CommandOutput([])
        mention_password(host)
        if not status:
            if not is_connected(host):
                fail(host, LOST)
                return False, CommandOutput([])
            lines = [line for line in output if line.line.strip()]
            errors = [line for line in lines if line.buffer_name == "stderr"] or lines
            note_failure(host, errors[-1].line.strip() if errors else "a command failed")
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


# The names of the hosts for which a deploy file that only looks has come to its end.
_ended: set[str] = set()


def end_after_all(finish: Callable[[], int]) -> None:
    """End a deploy file that only looks, called at its end for every host.

    At the last of them `finish` is called, which shows what was seen, and pyinfra ends with the exit status
    that it returns, before it would ask whether to go on. Raises SystemExit then.
    """
    _ended.add(ctx_host.get().name)
    if all(host.name in _ended for host in state.activated_hosts):
        raise SystemExit(finish())


def say_refusals() -> None:
    """Say why hosts were refused, for a deploy file that only looks: with `-y` it ends before an operation
    would say so."""
    for each in progress():
        for fault in () if is_read() else refusal(each.host):
            fail(each.host, fault)


@dataclass(frozen=True)
class Progress:
    """How far a host has come: `connected` says that it was reached at all, `failed` what pyinfra thinks, and
    `operations` what came of each, by name."""

    host: Host
    connected: bool
    failed: bool
    operations: list[tuple[str, OperationMeta]]


def progress() -> list[Progress]:
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
            found.append(Progress(host, reached, host in state.failed_hosts, operations))
    return found


def has_changed(host: Host) -> bool:
    """Whether an operation of this run has changed `host`, or may have."""
    metas = (data.operation_meta for data in state.ops[host].values())
    return any(meta.is_complete() and meta.did_change() for meta in metas)
