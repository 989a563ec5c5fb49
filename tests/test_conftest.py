"""A skip is a failure in CI, with its reason; elsewhere it is a skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "test_one.py": 'import pytest\n@pytest.mark.skip(reason="no Docker")\ndef test_it(): ...\n',
    "test_all.py": 'import pytest\npytest.skip("no sshd", allow_module_level=True)\n',
    "test_good.py": "def test_it(): ...\n",
}


@pytest.mark.parametrize(("ci", "outcomes"), [("true", "1 passed, 2 errors"), ("", "1 passed, 2 skipped")])
def test_skip_in_ci(tmp_path: Path, ci: str, outcomes: str) -> None:
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-rs", "--continue-on-collection-errors"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
    )
    assert outcomes in done.stdout
    assert bool(done.returncode) == bool(ci)
    assert "no Docker" in done.stdout
    assert "no sshd" in done.stdout
