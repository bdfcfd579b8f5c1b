"""What the tests of the deploy folder share: the folders and files that they look at."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root() -> Path:
    return ROOT
