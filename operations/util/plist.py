"""The property lists of the two LaunchDaemons, and how two of them differ."""

from __future__ import annotations

import plistlib
import shlex
from contextlib import suppress
from typing import Any

from facts.launchd import LAUNCH, PULSE
from facts.pulse import log_path
from settings import Settings

# Lima's QEMU driver gives the guest three minutes to power off, and Colima stops Docker before that
# (lima pkg/driver/qemu); launchd's own default is 5 s.
EXIT_TIMEOUT = 300
THROTTLE = 60
OPEN_FILES = 10240
LAUNCHD_THROTTLE = 10


def colima_start(settings: Settings, prefix: str) -> list[str]:
    """The whole `colima start` line. `--cpu` is the spelling that every version takes; fractions of a GiB of
    memory are taken since Colima 0.8.1."""
    return [
        f"{prefix}/bin/colima",
        "start",
        f"--profile={settings.colima_profile}",
        f"--runtime={settings.colima_runtime}",
        f"--vm-type={settings.colima_vm_type}",
        f"--cpu={settings.colima_cpus}",
        f"--memory={settings.colima_memory:g}",
        f"--disk={settings.colima_disk}",
        *settings.colima_extra_args,
        "--foreground",
    ]


def environment(user: str, home: str, prefix: str) -> dict[str, str]:
    """The environment Colima runs in, written down: launchd's own PATH has no Homebrew."""
    return {
        "COLIMA_HOME": f"{home}/.colima",
        "HOME": home,
        "LOGNAME": user,
        "PATH": f"{prefix}/bin:{prefix}/sbin:/usr/bin:/bin:/usr/sbin:/sbin",
        "SHELL": "/bin/sh",
        # Colima leaves a file in TMPDIR; in a shared /tmp another user's would fail every start.
        "TMPDIR": f"{home}/Library/Caches/colima-pulse",
        "USER": user,
    }


def daemon_plist(settings: Settings, home: str, prefix: str) -> dict[str, Any]:
    """The LaunchDaemon of Colima, as launchd.plist(5) has it.

    `launch_via="su"` is the original's form: su forks, forwards no signal and dies of TERM, so launchd
    supervises su and not Colima, which has to be stopped besides.
    """
    user = settings.homebrew_user
    variables = environment(user, home, prefix)
    program = [LAUNCH, *colima_start(settings, prefix)]
    plist: dict[str, Any] = {
        "Label": settings.label,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": THROTTLE,
        "ExitTimeOut": EXIT_TIMEOUT,
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": OPEN_FILES},
        # The home may not be there yet (FileVault, external volumes); files/daemons/launch waits for it.
        "WorkingDirectory": "/",
        "StandardOutPath": settings.log_path,
        "StandardErrorPath": settings.log_path,
    }
    if settings.launch_via == "su":
        # `su -` clears the environment, so it travels in the command; the login shell may be any.
        command = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in variables.items())]
        line = "exec " + shlex.join([*command, *program])
        return plist | {"ProgramArguments": ["/usr/bin/su", "-", user, "-c", line]}
    return plist | {
        "UserName": user,
        "ProgramArguments": program,
        "EnvironmentVariables": variables,
    }


def pulse_label(label: str) -> str:
    """The label of the daemon that looks after the daemon `label`."""
    return f"{label}.pulse"


def pulse_plist(settings: Settings) -> dict[str, Any]:
    """The LaunchDaemon of the pulse, root's, as launchd.plist(5) has it."""
    label = pulse_label(settings.label)
    log = log_path(settings.label)
    return {
        "Label": label,
        "ProgramArguments": [PULSE, settings.label],
        "RunAtLoad": True,
        "StartInterval": settings.pulse_interval,
        # launchd starts no job more often than every 10 s unless the plist says so.
        "ThrottleInterval": min(settings.pulse_interval, LAUNCHD_THROTTLE),
        # What it runs is bounded, and none of it needs more than a TERM.
        "ExitTimeOut": 10,
        "WorkingDirectory": "/",
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }


def to_xml(plist: dict[str, Any]) -> str:
    """A property list as text, its keys sorted, so that equal values are equal texts."""
    return plistlib.dumps(plist, sort_keys=True).decode()


_FLAGS = {
    "--memory": ("memory", " GiB"),
    "--cpu": ("CPUs", ""),
    "--disk": ("disk", " GiB"),
    "--profile": ("profile", ""),
}


def _by_su(plist: dict[str, Any]) -> bool:
    """Whether launchd starts su: the shell script's form, and that of `launch_via="su"`."""
    words = plist.get("ProgramArguments")
    return isinstance(words, list) and words[:2] == ["/usr/bin/su", "-"] and len(words) == 5


def _start_flags(plist: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    # The plist on disk may be anybody's.
    words = plist.get("ProgramArguments")
    arguments = [str(each) for each in words] if isinstance(words, list) else []
    if _by_su(plist):
        with suppress(ValueError):
            arguments = shlex.split(arguments[4])
    known = {}
    other = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if equals and flag in _FLAGS:
            known[flag] = value
        else:
            other.append(argument)
    return known, other


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two plists, in words: "memory 2 -> 4 GiB", "ExitTimeOut 5 -> 300"."""
    old_flags, old_rest = _start_flags(old)
    new_flags, new_rest = _start_flags(new)
    taken_over = _by_su(old) and not _by_su(new)
    words = ["launchd supervises su, and is to supervise Colima"] if taken_over else []
    for flag, (what, unit) in _FLAGS.items():
        was, will = old_flags.get(flag), new_flags.get(flag)
        # The shell script left them to the profile.
        if was != will and not (taken_over and was is None):
            words.append(f"{what} {was or 'unset'} -> {will}{unit}")
    if taken_over:
        return words
    if old_rest != new_rest and ("UserName" in old) == ("UserName" in new):
        words.append("options of colima start")
    for key in sorted((old.keys() | new.keys()) - {"ProgramArguments"}):
        was, will = old.get(key), new.get(key)
        if was == will:
            continue
        if isinstance(was, dict) or isinstance(will, dict):
            words.append(key)
        else:
            words.append(f"{key} {'unset' if was is None else was} -> {'unset' if will is None else will}")
    return words
