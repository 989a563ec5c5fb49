"""The example inventory: what each of its Macs is told, and by whom."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.checkout import PYINFRA, copy_repository

EXAMPLE = "group_data/example/inventory.py"


def data_of(checkout: Path, *arguments: str) -> dict[str, dict[str, object]]:
    """The data that pyinfra has for each host."""
    done = subprocess.run(
        [*PYINFRA, EXAMPLE, "debug-inventory", "--json", *arguments],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {host["name"]: host["data"] for host in json.loads(done.stdout)}


def test_who_counts(tmp_path: Path) -> None:
    """The defaults, then .env, then the group, then the host, then --data."""
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    (checkout / ".env").write_text("HOMEBREW_USER=carol\nCOLIMA_CPUS=3\nCOLIMA_DISK=30\nPULSE_INTERVAL=60\n")
    data = data_of(checkout, "--data", "colima_memory=8")
    first, second, shop = (data[name] for name in ("build1.example.com", "build2.example.com", "shop"))
    assert [each["homebrew_user"] for each in (first, second, shop)] == ["alice", "bob", "alice"]
    assert [each["colima_cpus"] for each in (first, second, shop)] == [4, 4, "3"]
    assert [each["colima_memory"] for each in (first, second, shop)] == [8, 8, 8]
    assert [each["pulse_interval"] for each in (first, second, shop)] == ["60", "60", 10]
    assert {each["colima_disk"] for each in (first, second, shop)} == {"30"}
    for each in (first, second, shop):
        assert (each["_sudo"], each["_shell_executable"]) == (True, "/bin/sh")
        assert each["ssh_strict_host_key_checking"] == "yes"
    assert data_of(checkout)["build2.example.com"]["colima_memory"] == 6
