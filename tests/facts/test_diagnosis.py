"""What the Mac's diagnosis prints, and what the facts make of it; tests/files runs it."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.diagnosis import Diagnosis, DiagnosisState

LINES = [
    "outcome=broken",
    "kind=docker",
    "found=a; b=c",
    "plan=a; b=c. To recover: d",
    "steps=docker job hard",
]


def test_a_diagnosis() -> None:
    assert Diagnosis().process([*LINES, "fatal=x", "end"]) == DiagnosisState(
        "a; b=c", ("docker", "job", "hard"), plan="a; b=c. To recover: d", fatal="x"
    )
    for outcome in ("good", "passing", "refused"):
        found = Diagnosis().process([f"outcome={outcome}", *LINES[1:4], "steps=", "fatal=", "end"])
        assert found is not None
        assert getattr(found, outcome)
        assert (found.steps, found.fatal) == ((), None)


def test_what_is_no_diagnosis() -> None:
    assert Diagnosis().process(["end"]) is None
    for output in (LINES, ["outcome=fine", *LINES[1:], "end"], ["outcome=good", "end"]):
        with pytest.raises(FactProcessError):
            Diagnosis().process(output)
