"""No bytes make a decoder fail in a way that nobody foresaw; hypothesis shrinks those that do."""

from collections.abc import Callable, Sequence
from random import Random

import orjson
import pytest
from fuzz.decoders import TARGETS, Target
from fuzz.garbage import NESTED, NUMBERS, Garbage
from fuzz.strategies import bad_bytes
from hypothesis import HealthCheck, given, settings

CASES = 100
SEEDED = 150
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("name", TARGETS)]


def target_of(name: str) -> tuple[Target, Callable[[], Sequence[bytes]]]:
    return TARGETS[name]


def test_random_bytes_and_random_json(name: str) -> None:
    target, samples = target_of(name)

    @settings(
        max_examples=CASES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(bad_bytes(samples()))
    def hold(body: bytes) -> None:
        target(body)

    hold()


def test_valid_messages_gone_wrong(name: str) -> None:
    target, samples = target_of(name)
    garbage = Garbage(Random(name))
    for _ in range(SEEDED):
        target(garbage.body(samples()))


def test_deep_nesting_and_huge_numbers(name: str) -> None:
    target, samples = target_of(name)
    garbage = Garbage(Random(name))
    for raw in (b"[" * NESTED, b'{"a":' * NESTED, b"[" * NESTED + b"]" * NESTED, *NUMBERS):
        target(raw)
        try:
            nested = garbage._with(samples(), raw)  # pyright: ignore[reportPrivateUsage] - the part that is wanted here
        except orjson.JSONDecodeError:  # no JSON even when it is valid
            continue
        target(nested)
