"""What is wrong with a profile's Docker, and what would help; and all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record, plain, read_lines
from files import script

OUTCOMES = ("good", "passing", "refused", "broken")


@dataclass(frozen=True)
class DiagnosisState(Record):
    """What was found, in words, and the steps that can help: docker, kick, job, hard, the smallest first.

    Without steps Docker is `good`, or will be so without help (`passing`), or only a person or a deploy may
    help (`refused`). `plan` is what was found with what `recover` would do about it; `fatal` the last fatal
    line of Colima's log, None where its last start has succeeded.
    """

    found: str
    steps: tuple[str, ...] = ()
    good: bool = False
    passing: bool = False
    refused: bool = False
    plan: str = ""
    fatal: str | None = None


class Diagnosis(FactBase["DiagnosisState | None"]):
    """
    Returns what is wrong with a profile's Docker and what would help; None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon's label
    + log: Colima's log
    + start_seconds: how long a start may take

    .. code:: python

        DiagnosisState(found="Docker is not working: ..", steps=("docker", "job", "hard"), ..)
    """

    def command(self, user: str, profile: str, label: str, log: str, start_seconds: int) -> StringCommand:
        return script("facts/diagnosis", user, profile, label, log, start_seconds)

    def process(self, output: list[str]) -> DiagnosisState | None:
        lines = read_lines(output)
        outcome = lines.values.get("outcome")
        if outcome is None:
            return None
        if outcome not in OUTCOMES:
            raise FactProcessError(f"no outcome of a diagnosis: {outcome!r}")
        return DiagnosisState(
            found=lines.required("found"),
            steps=tuple(lines.required("steps").split()),
            good=outcome == "good",
            passing=outcome == "passing",
            refused=outcome == "refused",
            plan=lines.required("plan"),
            fatal=lines.values.get("fatal") or None,
        )


@dataclass(frozen=True)
class Part(Record):
    """One thing that was asked, and what was answered."""

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join([f"== {self.title} ==", *self.lines, ""])


class Diagnostics(FactBase["list[Part]"]):
    """
    Returns all that helps to find out why a profile's Docker does not work, also where nothing is deployed;
    empty when unreadable. It may hold secrets: never show it as it is.

    + user: who runs Colima
    + profile: the profile's short name
    + label: the LaunchDaemon's label
    + log: Colima's log

    .. code:: python

        [Part("docker version", ("Client: ...",)), ...]
    """

    def command(self, user: str, profile: str, label: str, log: str) -> StringCommand:
        # Of a command that fails pyinfra would show all that it said.
        return StringCommand(*script("bin/diagnose", label, user, profile, log).bits, "2>&1", "||", "true")

    default = list

    def process(self, output: list[str]) -> list[Part]:
        parts: list[tuple[str, list[str]]] = []
        for line in map(plain, output):
            if line.startswith("  ") and parts:
                parts[-1][1].append(line[2:])
            elif line.startswith("== ") and line.endswith(" =="):
                parts.append((line[3:-3], []))
        if output[-1:] != ["end"]:
            parts.append(("the answer is incomplete", []))
        return [Part(title, tuple(lines)) for title, lines in parts]
