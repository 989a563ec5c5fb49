"""What the fact makes of what is installed."""

from __future__ import annotations

import pytest
from pyinfra.api import FactProcessError

from facts.toolkit import Toolkit, ToolkitState


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (["end"], ToolkitState(None)),
        (["digest=5f2b", "end"], ToolkitState("5f2b")),
        (
            ["digest=5f2b", "settings=Regular File 0 0 644", "|user=alice", "|log=/a=b", "|digest=x", "end"],
            ToolkitState("5f2b", {"user": "alice", "log": "/a=b", "digest": "x"}, safe=True),
        ),
        *(
            ([f"settings={owner}", "|user=eve", "end"], ToolkitState(None, {"user": "eve"}))
            for owner in ("Regular File 501 0 644", "Regular File 0 0 664", "Symbolic Link 0 0 755")
        ),
    ],
)
def test_toolkit(output: list[str], found: ToolkitState) -> None:
    assert Toolkit().process(output) == found


def test_an_answer_cut_off_is_not_believed() -> None:
    with pytest.raises(FactProcessError):
        Toolkit().process(["digest=5f2b"])
