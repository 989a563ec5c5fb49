"""A LaunchDaemon of no use, and what launchd answers about it."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facts.launchd import JobState, LaunchdJob, plist_path
from files import HERE
from tests.host import Host

LABEL = "com.example.colima-pulse.contract"

LIBRARIES = "".join((HERE / "lib" / name).read_text() for name in ("text", "run", "launchd", "plist"))

# Place a plist as a deploy does; give launchctl verbs; and ask launchd as a fact does, and as a command does:
# LABEL PLIST FACT VERB... A verb is launchctl's, or "await CONDITION", with a minute's patience.
TELL = f"""{LIBRARIES}
label=$1 plist=$2 fact=$3
shift 3
now() {{ read_job "$label" && [ "$job" = "$1" ]; }}
ran() {{ now "$1" && [ "$runs" -ge "$2" ]; }}
says() {{ [ -s "/var/log/$label.log" ]; }}
if [ -n "$plist" ]; then
    : >"/var/log/$label.log" && /usr/sbin/chown "$SUDO_USER" "/var/log/$label.log" || exit
    printf '%s\\n' "$plist" | (receive_plist "$label" && place_plist "$label") || exit
fi
set -f
for verb; do
    case $verb in
        await*) said=$(await 60 "$label" ${{verb#await}} 2>&1) ;;
        *) said=$(launchctl $verb 2>&1) ;;
    esac
    printf '{{%s}}\\n' "$?"
    printf '%s\\n' "$said" | quoted
done
eval "$fact"
read_job "$label"
printf '{{%s}}\\n' "$job" "$job_pid" "$runs" "$last_exit" "$job_path" "$(disabled "$label")"
"""

# launchd would remember for ever that it was disabled.
REMOVE = f"""{LIBRARIES}
boot_out "$1" 60 || exit
if [ "$(disabled "$1")" = yes ]; then launchctl enable "system/$1"; fi
/bin/rm -f "/Library/LaunchDaemons/$1.plist" "/var/log/$1.log"
"""


@dataclass(frozen=True)
class Keep:
    """Where what a Mac said is kept, in the form of tests/recordings; without a directory nothing is."""

    directory: Path | None
    macos: str = ""
    arch: str = ""
    verbs: list[str] = field(default_factory=list)

    def __call__(self, path: str, text: str) -> None:
        """Keep a text at a path such as launchctl/running.txt; the Mac's version is put behind its name."""
        if self.directory is None:
            return
        name = Path(path)
        file = self.directory / name.with_name(
            f"{name.stem}-macos{self.macos.partition('.')[0]}{name.suffix}"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        (self.directory / "README.md").write_text(f"What macOS {self.macos} on {self.arch} said.\n")

    def verb(self, verb: str, said: str, status: int) -> None:
        """Keep what launchctl said."""
        if verb.startswith("await"):
            return
        self.verbs.append(f"$ launchctl {verb}\n{said}\n(exit status {status})\n")
        self("launchctl/verbs.txt", "\n".join(self.verbs))


@dataclass(frozen=True)
class Told:
    """What each verb came to, and how the job was in the end: for the fact, and for the commands' shell."""

    statuses: tuple[int, ...]
    said: tuple[str, ...]
    job: JobState
    shell: tuple[str, ...]
    printed: str

    def shows(self, word: str, **fields: Any) -> None:
        """Assert that both saw the job alike, in this state (the shell's word), with these fields."""
        job = self.job
        seen = (str(job.pid or 0), str(job.runs), job.last_exit or "(never exited)", job.path or "")
        if not job.loaded:
            seen = ("0", "0", "unknown", "")
        assert self.shell == (word, *seen, "yes" if job.disabled else "no"), self.printed
        assert {key: getattr(job, key) for key in fields} == fields, self.printed


def _unquoted(text: str) -> str:
    return re.sub(r"(?m)^\|", "", text)


@dataclass(frozen=True)
class Daemon:
    """A job of ours in launchd's system domain; what it prints is in `log`."""

    host: Host
    keep: Keep
    label: str = LABEL

    @property
    def path(self) -> str:
        return plist_path(self.label)

    @property
    def target(self) -> str:
        return f"system/{self.label}"

    @property
    def log(self) -> str:
        return f"/var/log/{self.label}.log"

    @property
    def bootstrap(self) -> str:
        """The verb that loads it."""
        return f"bootstrap system {self.path}"

    def plist(self, *arguments: str, **keys: Any) -> dict[str, Any]:
        """Its property list."""
        return {"Label": self.label, "ProgramArguments": list(arguments), "StandardOutPath": self.log, **keys}

    def tell(self, *verbs: str, plist: Mapping[str, Any] | None = None, name: str = "") -> Told:
        """Place `plist`, and give launchctl these verbs, one after the other.

        "await now STATE", "await ran STATE RUNS" and "await says" (anything, in its log) wait for it. How
        launchctl prints the job in the end is kept as `name`.
        """
        fact = LaunchdJob().command(self.label).get_raw_value()
        text = plistlib.dumps(plist).decode().rstrip("\n") if plist else ""
        output = self.host.run(TELL, self.label, text, fact, *verbs).stdout
        answers, label, rest = output.partition("[label ")
        job, end, shell = (label + rest).partition("[end 0]\n")
        _, *found = re.split(r"(?m)^\{(\d+)\}\n", answers)
        statuses = tuple(map(int, found[::2]))
        said = tuple(_unquoted(each).strip("\n") for each in found[1::2])
        printed = _unquoted(re.sub(r"(?s).*^\[print \d+\]\n(.*?)^\[disabled .*", r"\1", job, flags=re.M))
        for verb, text, status in zip(verbs, said, statuses, strict=True):
            assert status == 0 or not verb.startswith("await"), f"{verb}: {printed}"
            self.keep.verb(verb, text, status)
        if name:
            self.keep(f"launchctl/{name}.txt", printed)
        state = LaunchdJob().process((job + end).splitlines())
        assert state is not None, f"the fact cannot read it:\n{job}"
        return Told(statuses, said, state, tuple(line[1:-1] for line in shell.splitlines()), printed)

    def remove(self) -> None:
        """Leave nothing of it, whatever it is doing."""
        self.host.run(REMOVE, self.label)
