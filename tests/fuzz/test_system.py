"""Bad bytes on every subject of a system at work: no crash, nothing stuck, all accounted for."""

from pathlib import Path

import pytest
from fuzz.system import system

MESSAGES = 120
TARGETS = (
    "inbox", "task commands", "agents bucket", "leases bucket", "control", "live questions",
    "wanted", "live", "replies", "queries", "hints",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
async def test_after_bad_bytes_a_sane_run_completes(tmp_path: Path, name: str) -> None:
    async with system(tmp_path, seed=1) as under_fire:
        assert set(TARGETS) == set(under_fire.targets)
        await under_fire.fire(name, MESSAGES)
