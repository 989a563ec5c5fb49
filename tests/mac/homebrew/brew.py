"""brew: Homebrew's command, for a handful of formulae: install, pin, and list --versions.

Fault (a file in /private/var/db/standin/faults): brew-fails (counted: a download that fails).
"""

import os
import pwd
import shutil
import sys
from pathlib import Path

from .common import STANDIN, own_path, record, take_fault

PROGRAMS = {  # a formula: the programs that say whether it is there
    "colima": ["lima", "limactl", "colima"],
    "lima": ["lima", "limactl"],
    "docker": ["docker"],
    "docker-credential-helper": ["docker-credential-osxkeychain"],
    "qemu": ["qemu-img", "qemu-system-aarch64", "qemu-system-x86_64"],
    "uv": ["uv"],
}
VERSIONS = {
    "colima": "0.10.3",
    "lima": "2.2.0",
    "docker": "29.1.3",
    "docker-credential-helper": "0.9.4",
    "qemu": "10.1.2",
    "uv": "0.9.11",
}
DEPENDENCIES = {"colima": ["lima"]}
ROOT = """Error: Running Homebrew as root is extremely dangerous and no longer supported.
As Homebrew does not drop privileges on installation you would be giving all
build scripts full access to your system."""


class BrewError(Exception):
    """What brew prints after `Error: `."""


def user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def installed(prefix: Path) -> list[str]:
    """Formulae whose programs are there."""
    there = [
        name
        for name, programs in PROGRAMS.items()
        if all(os.path.lexists(prefix / "bin" / program) for program in programs)
    ]
    return sorted(there)


def install(prefix: Path, names: list[str]) -> int:
    for name in names:
        if name not in PROGRAMS:
            print(f'Warning: No available formula with the name "{name}".', file=sys.stderr, flush=True)
            raise BrewError(f"No formulae or casks found for {name}.")
    if not os.access(prefix / "bin", os.W_OK):
        raise BrewError(
            f"The following directories are not writable by your user:\n{prefix}/bin\n\n"
            f"You should change the ownership of these directories to your user.\n"
            f"  sudo chown -R {user()} {prefix}/bin"
        )
    if take_fault("brew-fails"):
        raise BrewError(f'{names[0]}: Failed to download resource "{names[0]}"')
    present = installed(prefix)
    for name in names:
        if name in present:
            version = VERSIONS[name]
            print(f"Warning: {name} {version} is already installed and up-to-date.", file=sys.stderr)
        else:
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
    others = {program for other in DEPENDENCIES.get(name, []) for program in PROGRAMS[other]}
    for program in set(PROGRAMS[name]) - others:
        # uv is a link to this machine's own.
        shutil.copy(Path(STANDIN, "homebrew/bin", program), keg / "bin" / program, follow_symlinks=False)
        link = prefix / "bin" / program
        link.unlink(missing_ok=True)
        link.symlink_to(f"../Cellar/{name}/{version}/bin/{program}")
    opt = prefix / "opt" / name
    opt.unlink(missing_ok=True)
    opt.symlink_to(f"../Cellar/{name}/{version}")
    print(f"🍺  {keg}: 5 files, 20MB")


def pin(prefix: Path, names: list[str]) -> int:
    """Keep formulae from being upgraded (Homebrew cmd/pin.rb)."""
    pins = prefix / "var/homebrew/pinned"
    pins.mkdir(parents=True, exist_ok=True)
    status = 0
    for name in names:
        if name not in installed(prefix):
            print(f"Error: {name} not installed", file=sys.stderr)
            status = 1
        elif os.path.lexists(pins / name):
            print(f"Warning: {name} already pinned", file=sys.stderr)
        else:
            (pins / name).symlink_to(f"../../../Cellar/{name}/{VERSIONS[name]}")
    return status


def list_versions(prefix: Path, words: list[str]) -> int:
    present = installed(prefix)
    names = [word for word in words if not word.startswith("-")] or present
    print("".join(f"{name} {VERSIONS[name]}\n" for name in names if name in present), end="")
    return 0 if set(names) <= set(present) else 1


def run(prefix: Path, words: list[str]) -> int:
    verb, *rest = words or ["help"]
    if verb == "--version":
        print("Homebrew 5.0.6")
        return 0
    if os.geteuid() == 0:
        print(ROOT, file=sys.stderr)
        return 1
    try:
        readable = os.access(Path.cwd(), os.R_OK)
    except OSError:
        readable = False
    if not readable:
        raise BrewError(f"The current working directory must be readable to {user()} to run brew.")
    if verb == "list" and "--versions" in rest:
        return list_versions(prefix, rest)
    if verb == "install":
        return install(prefix, [word for word in rest if not word.startswith("-")])
    if verb == "pin":
        return pin(prefix, rest)
    raise BrewError(f"Unknown command: brew {verb}")


def main() -> int:
    record(sys.argv)
    prefix = own_path().parent.parent
    try:
        return run(prefix, sys.argv[1:])
    except BrewError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
