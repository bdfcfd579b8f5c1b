"""Every scenario of the core's tests ends with a replay and with copies of what it heard."""

from collections.abc import Iterator

import pytest

from support.scenario import Scenario


@pytest.fixture(autouse=True)
def every_scenario_is_sound() -> Iterator[None]:
    Scenario.watched.clear()
    yield
    for made in Scenario.watched:
        made.assert_sound()
    Scenario.watched.clear()
