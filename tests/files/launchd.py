"""A launchd for the tests of commands: what it answers, one answer after another, and what that leads to."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path

from tests.files.conftest import FIELDS, LABEL, Mac

# A line of LABEL.jobs is an answer to `print`, the last one stays: STATE|PID|RUNS|LAST EXIT|PATH, or absent.
# A verb takes the first line of VERB.codes for its exit status, and puts VERB.jobs in place when that is 0.
LAUNCHCTL = r"""cd {root}/launchd || exit 64
verb=$1 label=${{2#system/}}
if [ "$verb" = bootstrap ]; then label=${{3##*/}} label=${{label%.plist}}; fi
next() {{
    [ -s "$1" ] || return 1
    IFS= read -r line <"$1"
    if [ "$2" = all ] || [ "$(wc -l <"$1")" -gt 1 ]; then perl -ni -e 'print if $. > 1' "$1"; fi
}}
case $verb in
print)
    next "$label.jobs" last || line=absent
    case $line in
    absent) echo "Could not find service \"$label\" in domain for system" >&2; exit 113 ;;
    broken) echo "launchd had a bad day"; exit 0 ;;
    esac
    IFS='|' read -r state pid runs exited path <<END
$line
END
    printf 'system/%s = {{\n\tpath = %s\n\tstate = %s\n\n\targuments = {{\n\t\tpid = 1\n\t}}\n\truns = %s\n' \
        "$label" "${{path:-{root}/Library/LaunchDaemons/$label.plist}}" "$state" "$runs"
    if [ "$pid" != 0 ]; then printf '\tpid = %s\n' "$pid"; fi
    printf '\tlast exit code = %s\n\n' "${{exited:-(never exited)}}"
    printf '\tresource coalition = {{\n\t\tstate = active\n\t}}\n}}\n'
    ;;
print-disabled)
    printf '\n\tdisabled services = {{\n'
    cat disabled 2>/dev/null
    printf '\t}}\n\n\tlogin item associations = {{\n\t}}\n'
    ;;
*)
    if next "$verb.codes" all && [ "$line" != 0 ]; then
        printf '%s\n%s failed: %s: because\n' "$3" "$verb" "$line" >&2
        exit "$line"
    fi
    case $verb in enable | disable) printf '\t\t"%s" => %sd\n' "$label" "$verb" >disabled ;; esac
    if [ -f "$verb.jobs" ]; then cp "$verb.jobs" "$label.jobs"; fi
    ;;
esac
"""

# plutil says what is wrong on stdout, and -lint is all that it is asked here.
PLUTIL = f"""[ "$1" = -lint ] && exec '{sys.executable}' -ISc '
import plistlib, sys
try: plistlib.load(open(sys.argv[1], "rb"))
except Exception as error: sys.exit(print(f"{{sys.argv[1]}}: {{error}}") or 1)
print(sys.argv[1] + ": OK")' "$2" """

RUNS = "running|312|1|"
IDLE = "not running|0|1|1"
NEVER = "not running|0|0|"
ENDING = "SIGTERMed|312|1|"
PLIST = plistlib.dumps({"Label": LABEL, "KeepAlive": True}).decode()


class Launchd:
    """launchctl(1), plutil(1) and a clock of its own."""

    def __init__(self, mac: Mac, factor: int = 1) -> None:
        self.mac = mac
        self.directory = mac.root / "launchd"
        for path in (self.directory, mac.root / "Library/LaunchDaemons", mac.root / "var/log"):
            path.mkdir(exist_ok=True, parents=True)
        self.plist = mac.root / f"Library/LaunchDaemons/{LABEL}.plist"
        self.state = mac.root / f"Library/ColimaPulse/state/{LABEL}"
        self.log = mac.root / "var/log/colima.log"
        mac.tool("/bin/launchctl", LAUNCHCTL.format(root=mac.root))
        mac.tool("/usr/bin/plutil", PLUTIL)
        mac.tool("/usr/sbin/chown", ":")
        self.after("bootout", "absent")
        self.after("bootstrap", RUNS)
        self.hurry(factor)
        mac.tool(
            "/usr/bin/stat",
            FIELDS
            + """for path; do :; done
            case $2 in
            '%z') fields -L size "$path" ;;
            '%HT %l %Su') [ -e "$path" ] && echo "Regular File 1 alice" ;;
            '%HT %u %g' | '%HT %u %g %Lp')
                [ -e "$path" ] || exit 1
                printf '%s' "$([ -L "$path" ] && echo Symbolic Link || echo Regular File) 0 0"
                case $2 in *Lp) printf ' %s' "$(fields mode "$path")" ;; esac
                echo ;;
            '%HT:%u:%Su:%Lp') echo Directory:0:root:755 ;;
            *) exit 64 ;;
            esac""",
        )

    def hurry(self, factor: int) -> None:
        """Let a second of sleep be `factor` seconds from now on; it takes no time."""
        clock = self.mac.root / "clock"
        clock.write_text("10000\n")
        add = f'$(printf %.0f "${{1}}e1") * {factor}'
        self.mac.tool("/bin/sleep", f"read t <{clock}; echo $((t + {add})) >{clock}")
        self.mac.tool("/bin/date", f'[ "$*" = +%s ] || exec date "$@"; read t <{clock}; echo $((t / 10))')

    @property
    def now(self) -> float:
        """Seconds that passed."""
        return int((self.mac.root / "clock").read_text()) / 10 - 1000

    def job(self, *answers: str, label: str = LABEL) -> None:
        """What `print` answers from now on, one after another."""
        (self.directory / f"{label}.jobs").write_text("".join(f"{each}\n" for each in answers))

    def after(self, verb: str, *answers: str) -> None:
        """What `print` answers when `verb` succeeded."""
        (self.directory / f"{verb}.jobs").write_text("".join(f"{each}\n" for each in answers))

    def codes(self, verb: str, *codes: int) -> None:
        """The exit statuses of a verb; 0 when they run out."""
        (self.directory / f"{verb}.codes").write_text("".join(f"{each}\n" for each in codes))

    @property
    def verbs(self) -> list[str]:
        """What launchctl was told, without questions."""
        return [call[0] for call in self.mac.calls("launchctl") if not call[0].startswith("print")]

    def notes(self) -> dict[str, str]:
        """The milestones."""
        if not self.state.exists():
            return {}
        return {path.name: path.read_text().removesuffix("\n") for path in self.state.iterdir()}

    def holder(self) -> Path:
        """The lock's file."""
        return self.mac.root / f"var/run/colima-pulse/{LABEL}/lock"
