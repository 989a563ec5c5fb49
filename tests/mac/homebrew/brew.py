"""brew: Homebrew's command, for a handful of formulae (formulae.json says which programs they bring).

Fault (a file in /private/var/db/standin/faults): brew-fails (counted: a download that fails).
"""

import json
import os
import plistlib
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from .common import STANDIN, own_path, record, take_fault

HERE = Path(STANDIN) / "homebrew"
VERSIONS = {"colima": "0.10.3", "lima": "2.2.0", "docker": "29.1.3", "qemu": "10.1.2"}
DEPENDENCIES = {"colima": ["lima"]}
ROOT = """Error: Running Homebrew as root is extremely dangerous and no longer supported.
As Homebrew does not drop privileges on installation you would be giving all
build scripts full access to your system."""


class BrewError(Exception):
    """What brew prints after `Error: `."""


def formulae() -> dict[str, list[str]]:
    listed: dict[str, list[str]] = json.loads((HERE / "formulae.json").read_text())
    return listed


def installed(prefix: Path) -> list[str]:
    """Formulae whose programs are there: of each, the last it brings that no dependency does."""
    found = []
    for name, programs in formulae().items():
        if all(os.path.lexists(prefix / "bin" / program) for program in programs):
            found.append(name)
    return sorted(found)


def install(prefix: Path, names: list[str]) -> int:
    known = formulae()
    for name in names:
        if name not in known:
            print(f'Warning: No available formula with the name "{name}".', file=sys.stderr)
            print("==> Searching for similarly named formulae and casks...", flush=True)
            raise BrewError(f"No formulae or casks found for {name}.")
    if not os.access(prefix / "bin", os.W_OK):
        user = pwd.getpwuid(os.getuid()).pw_name
        raise BrewError(
            f"The following directories are not writable by your user:\n{prefix}/bin\n\n"
            f"You should change the ownership of these directories to your user.\n"
            f"  sudo chown -R {user} {prefix}/bin"
        )
    if take_fault("brew-fails"):
        raise BrewError(f'{names[0]}: Failed to download resource "{names[0]}"')
    present = installed(prefix)
    for name in names:
        if name in present:
            version = VERSIONS[name]
            print(f"Warning: {name} {version} is already installed and up-to-date.", file=sys.stderr)
            continue
        for wanted in (*DEPENDENCIES.get(name, []), name):
            if wanted not in present:
                pour(prefix, wanted)
    return 0


def pour(prefix: Path, name: str) -> None:
    """Put a formula into the Cellar and link its programs."""
    version = VERSIONS[name]
    print(f"==> Pouring {name}--{version}.bottle.tar.gz")
    keg = prefix / "Cellar" / name / version
    (keg / "bin").mkdir(parents=True, exist_ok=True)
    own = set(formulae()[name])
    for dependency in DEPENDENCIES.get(name, []):
        own -= set(formulae()[dependency])
    for program in sorted(own):
        shutil.copy(HERE / "bin" / program, keg / "bin" / program)
        link = prefix / "bin" / program
        link.unlink(missing_ok=True)
        link.symlink_to(f"../Cellar/{name}/{version}/bin/{program}")
    opt = prefix / "opt" / name
    opt.unlink(missing_ok=True)
    opt.symlink_to(f"../Cellar/{name}/{version}")
    print(f"🍺  {keg}: {len(own) + 3} files, 20MB")


def uninstall(prefix: Path, names: list[str]) -> int:
    for name in names:
        if name not in installed(prefix):
            raise BrewError(f"No such keg: {prefix}/Cellar/{name}")
        kept = {p for d in DEPENDENCIES.get(name, []) for p in formulae()[d]}
        for program in formulae()[name]:
            if program not in kept:
                (prefix / "bin" / program).unlink(missing_ok=True)
        shutil.rmtree(prefix / "Cellar" / name, ignore_errors=True)
        (prefix / "opt" / name).unlink(missing_ok=True)
        print(f"Uninstalling {prefix}/Cellar/{name}/{VERSIONS[name]}...")
    return 0


def list_formulae(prefix: Path, words: list[str]) -> int:
    names = [word for word in words if not word.startswith("-")]
    if "--cask" in words or "--casks" in words:
        return 0
    present = installed(prefix)
    for name in names or present:
        if name in present:
            print(f"{name} {VERSIONS[name]}" if "--versions" in words else name)
    missing = [name for name in names if name not in present]
    if missing and "--versions" not in words:
        raise BrewError(f"No such keg: {prefix}/Cellar/{missing[0]}")
    return 1 if missing else 0


def services(prefix: Path, words: list[str]) -> int:
    """`brew services`: the launchd job that the colima formula declares."""
    verb = words[0] if words else "list"
    root = os.geteuid() == 0
    home = Path(os.environ.get("HOME", "/var/root"))
    directory = Path("/Library/LaunchDaemons") if root else home / "Library/LaunchAgents"
    label = "homebrew.mxcl.colima"
    plist = directory / f"{label}.plist"
    domain = "system" if root else f"gui/{os.getuid()}"
    user = pwd.getpwuid(os.getuid()).pw_name
    if verb == "list":
        print("Name   Status  User File")
        state = f"started {user} {plist}" if plist.exists() else "none"
        print(f"colima {state}")
        return 0
    if words[1:] != ["colima"]:
        raise BrewError(f"Formula `{' '.join(words[1:])}` has not implemented #plist, #service")
    if verb == "start":
        content = {
            "EnvironmentVariables": {"PATH": f"{prefix}/bin:{prefix}/sbin:/usr/bin:/bin:/usr/sbin:/sbin"},
            "KeepAlive": {"SuccessfulExit": True},
            "Label": label,
            "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO", "System"],
            "ProgramArguments": [f"{prefix}/opt/colima/bin/colima", "start", "-f"],
            "RunAtLoad": True,
            "StandardErrorPath": f"{prefix}/var/log/colima.log",
            "StandardOutPath": f"{prefix}/var/log/colima.log",
            "WorkingDirectory": str(home),
        }
        directory.mkdir(parents=True, exist_ok=True)
        plist.write_bytes(plistlib.dumps(content))
        code = subprocess.run(["/bin/launchctl", "bootstrap", domain, str(plist)]).returncode
        if code != 0:
            command = f"/bin/launchctl bootstrap {domain} {plist}"
            raise BrewError(f"Failure while executing; `{command}` exited with {code}.")
        print(f"==> Successfully started `colima` (label: {label})")
    elif verb == "stop":
        if not plist.exists():
            print("Warning: Service `colima` is not started.", file=sys.stderr)
            return 0
        subprocess.run(["/bin/launchctl", "bootout", f"{domain}/{label}"], capture_output=True)
        plist.unlink()
        print(f"==> Successfully stopped `colima` (label: {label})")
    return 0


def run(prefix: Path, words: list[str]) -> int:
    verb, *rest = words or ["help"]
    if verb in ("--version", "-v"):
        print("Homebrew 5.0.6")
        return 0
    if verb == "--prefix":
        for name in rest or [""]:
            print(prefix / "opt" / name if name else prefix)
        return 0
    if verb in ("--cellar", "--repository"):
        print(prefix / "Cellar" if verb == "--cellar" else prefix)
        return 0
    if os.geteuid() == 0 and verb != "services":
        print(ROOT, file=sys.stderr)
        return 1
    try:
        readable = os.access(Path.cwd(), os.R_OK)
    except OSError:
        readable = False
    if not readable:
        user = pwd.getpwuid(os.getuid()).pw_name
        raise BrewError(f"The current working directory must be readable to {user} to run brew.")
    if verb in ("list", "ls"):
        return list_formulae(prefix, rest)
    if verb in ("install", "upgrade", "reinstall"):
        names = [word for word in rest if not word.startswith("-")]
        return install(prefix, names) if verb == "install" else 0
    if verb in ("uninstall", "remove", "rm"):
        return uninstall(prefix, [word for word in rest if not word.startswith("-")])
    if verb == "services":
        return services(prefix, rest)
    if verb in ("update", "outdated", "cleanup", "tap", "analytics", "help"):
        return 0
    raise BrewError(f"Unknown command: brew {verb}")


def main() -> int:
    record(sys.argv)
    prefix = own_path().parent.parent
    try:
        return run(prefix, sys.argv[1:])
    except BrewError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
