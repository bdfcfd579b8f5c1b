from typing import Any

import pytest

CLAIM = {"$claim": {"sha256": "0" * 64, "size_bytes": 70_000, "media_type": "application/json"}}


@pytest.fixture
def claim() -> dict[str, Any]:
    """What stands in the history for a value of 70,000 bytes."""
    return CLAIM


@pytest.fixture
def scope() -> dict[str, Any]:
    """A run in which `analyze` is done, `approve` was skipped, and a `foreach` is under way."""
    return {
        "input": {"n": 3, "x": 1.5, "name": "Ada", "list": [1, 2.5], "none": None, "a-b": 1},
        "tasks": {
            "analyze": {
                "rows": [{"id": "a", "n": 1}, {"id": "b", "n": 5}],
                "table": CLAIM,
                "by_name": {"b": 2, "c": 3, "a": 1},
            },
            "approve": None,
            "gather": [{"id": 1, "table": CLAIM}, {"id": 2, "table": CLAIM}],
        },
        "context": {"region": "eu"},
        "run": {"id": "0190", "workflow": "report", "version": 3},
        "item": {"url": "http://x"},
        "index": 4,
    }
