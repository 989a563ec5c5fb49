"""brew: Homebrew's command, for a handful of formulae: install, upgrade, outdated, pin, unpin, list.

Faults (files in /private/var/db/standin/faults): brew-fails (counted: a download that fails),
brew-newer (what has come out since, a word NAME=VERSION each).
"""

import json
import os
import pwd
import shutil
import sys
from pathlib import Path

from .common import STANDIN, fault, own_path, record, take_fault

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


def newest() -> dict[str, str]:
    """The versions that Homebrew has."""
    words = (fault("brew-newer") or "").split()
    return VERSIONS | dict(word.split("=") for word in words)


def version_of(prefix: Path, name: str) -> str:
    """The version of an installed formula: its keg's, which opt leads to."""
    return (prefix / "opt" / name).readlink().name


def pin_of(prefix: Path, name: str) -> Path:
    return prefix / "var/homebrew/pinned" / name


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
            version = version_of(prefix, name)
            print(f"Warning: {name} {version} is already installed and up-to-date.", file=sys.stderr)
        else:
            for wanted in (*DEPENDENCIES.get(name, []), name):
                if wanted not in present:
                    pour(prefix, wanted)
    return 0


def pour(prefix: Path, name: str) -> None:
    """Put a formula into the Cellar and link its programs."""
    version = newest()[name]
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


def outdated(prefix: Path, names: list[str]) -> list[str]:
    """Those of which there is a newer version; the pinned ones too."""
    return [name for name in names if version_of(prefix, name) != newest()[name]]


def show_outdated(prefix: Path, names: list[str]) -> int:
    """JSON, and exit 1 where something that was named is outdated (Homebrew cmd/outdated.rb)."""
    found = outdated(prefix, [name for name in names if name in installed(prefix)])
    formulae = [
        {
            "name": name,
            "installed_versions": [version_of(prefix, name)],
            "current_version": newest()[name],
            "pinned": (pinned := pin_of(prefix, name)).is_symlink(),
            "pinned_version": pinned.readlink().name if pinned.is_symlink() else None,
        }
        for name in found
    ]
    print(json.dumps({"formulae": formulae, "casks": []}, indent=2))
    return 1 if found else 0


def upgrade(prefix: Path, names: list[str]) -> int:
    """Upgrade the outdated ones; exit 1 where one that was named is pinned (Homebrew cmd/upgrade.rb)."""
    old = outdated(prefix, names)
    for name in names:
        if name not in old:
            print(f"Warning: {name} {version_of(prefix, name)} already installed", file=sys.stderr)
    pinned = [name for name in old if pin_of(prefix, name).is_symlink()]
    old = [name for name in old if name not in pinned]
    if pinned:
        packages = "package" if len(pinned) == 1 else "packages"
        print(f"Error: Not upgrading {len(pinned)} pinned {packages}:", file=sys.stderr)
        print(", ".join(f"{name} {newest()[name]}" for name in pinned))
    if not old:
        return 1 if pinned else 0
    print(f"==> Upgrading {len(old)} outdated {'package' if len(old) == 1 else 'packages'}:")
    print("\n".join(f"{name} {version_of(prefix, name)} -> {newest()[name]}" for name in old), flush=True)
    if take_fault("brew-fails"):
        raise BrewError(f'{old[0]}: Failed to download resource "{old[0]}"')
    for name in old:
        keg = prefix / "Cellar" / name / version_of(prefix, name)
        print(f"==> Upgrading {name}\n  {keg.name} -> {newest()[name]}")
        pour(prefix, name)
        print(f"==> Running `brew cleanup {name}`...\nRemoving: {keg}... (5 files, 20MB)")
        shutil.rmtree(keg)
    return 1 if pinned else 0


def pin(prefix: Path, names: list[str]) -> int:
    """Keep formulae from being upgraded (Homebrew cmd/pin.rb)."""
    status = 0
    for name in names:
        link = pin_of(prefix, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        if name not in installed(prefix):
            print(f"Error: {name} not installed", file=sys.stderr)
            status = 1
        elif link.is_symlink():
            print(f"Warning: {name} already pinned", file=sys.stderr)
        else:
            link.symlink_to(f"../../../Cellar/{name}/{version_of(prefix, name)}")
    return status


def unpin(prefix: Path, names: list[str]) -> int:
    """Let formulae be upgraded again (Homebrew cmd/unpin.rb)."""
    for name in names:
        if pin_of(prefix, name).is_symlink():
            pin_of(prefix, name).unlink()
        else:
            print(f"Warning: {name} not pinned", file=sys.stderr)
    return 0


def list_versions(prefix: Path, words: list[str]) -> int:
    present = installed(prefix)
    names = [word for word in words if not word.startswith("-")] or present
    print("".join(f"{name} {version_of(prefix, name)}\n" for name in names if name in present), end="")
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
    verbs = {"install": install, "upgrade": upgrade, "outdated": show_outdated, "pin": pin, "unpin": unpin}
    if verb in verbs:
        return verbs[verb](prefix, [word for word in rest if not word.startswith("-")])
    raise BrewError(f"Unknown command: brew {verb}")


def main() -> int:
    record(sys.argv)
    prefix = own_path().parent.parent
    try:
        return run(prefix, sys.argv[1:])
    except BrewError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
