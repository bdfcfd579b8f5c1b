"""When a failed task is tried again, and how that depends on what went wrong."""

import pytest

from dalsegno_orchestrator.workflow.grammar.policies import Retry, RetryOf
from dalsegno_orchestrator.workflow.retry import delay_seconds, is_never, policy_for


def delay(
    policy: Retry, failures: int, *, chance: float = 0.5, asked: float | None = None
) -> float:
    return delay_seconds(policy, failures=failures, chance=chance, asked=asked)


def test_delays_grow_by_the_factor_up_to_the_longest() -> None:
    policy = Retry(delay=1.0, factor=2.0, max_delay=10.0, jitter=0.0)
    assert [delay(policy, number) for number in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_delay_is_spread_by_its_jitter_and_no_further() -> None:
    policy = Retry(delay=10.0, jitter=0.2)
    assert delay(policy, 1, chance=0.0) == pytest.approx(8.0)
    assert delay(policy, 1, chance=1.0) == pytest.approx(12.0)


def test_what_the_agent_asked_for_is_the_least_but_not_more_than_a_month() -> None:
    policy = Retry(delay=1.0, jitter=0.0)
    assert delay(policy, 1, asked=30.0) == 30.0
    assert delay(policy, 1, asked=0.1) == 1.0
    assert delay(policy, 1, asked=1e12) == 30 * 86_400.0


def test_so_many_failures_that_no_number_could_hold_the_delay_give_the_longest() -> None:
    assert delay(Retry(factor=100.0, max_delay=60.0, jitter=0.0), 10_000) == 60.0


def test_a_code_that_nothing_is_said_of_has_the_policy_of_all() -> None:
    policy = Retry(by_code={"model.*": RetryOf(max_attempts=9)})
    assert policy_for(policy, "books.unreachable") is policy


def test_a_code_of_its_own_goes_before_the_beginning_of_codes_and_the_longer_beginning_first() -> (
    None
):
    policy = Retry(
        by_code={
            "*": RetryOf(max_attempts=2),
            "model.*": RetryOf(max_attempts=3),
            "model.rate*": RetryOf(max_attempts=4),
            "model.rate": RetryOf(max_attempts=5),
        }
    )
    found = {
        code: policy_for(policy, code).max_attempts
        for code in ("other", "model", "model.", "model.down", "model.rate", "model.rate.limit")
    }
    assert found == {
        "other": 2,
        "model": 2,
        "model.": 3,
        "model.down": 3,
        "model.rate": 5,
        "model.rate.limit": 4,
    }


def test_what_is_not_said_for_a_code_stays_as_it_is_for_all() -> None:
    policy = Retry(max_attempts=7, factor=3.0, jitter=0.1, by_code={"slow": RetryOf(delay=5.0)})
    found = policy_for(policy, "slow")
    assert (found.delay, found.max_attempts, found.factor) == (5.0, 7, 3.0)
    assert (found.max_delay, found.jitter) == (60.0, 0.1)


def test_only_the_most_exact_pattern_counts() -> None:
    policy = Retry(by_code={"a*": RetryOf(max_attempts=9), "ab": RetryOf(delay=2.0)})
    assert policy_for(policy, "ab").max_attempts == 3


def test_a_delay_for_a_code_is_not_cut_by_the_longest_delay_of_all() -> None:
    policy = Retry(max_delay=60.0, jitter=0.0, by_code={"quota": RetryOf(delay=300.0)})
    assert delay(policy_for(policy, "quota"), 1) == 300.0
    cut = Retry(jitter=0.0, by_code={"quota": RetryOf(delay=300.0, max_delay=100.0)})
    assert delay(policy_for(cut, "quota"), 1) == 100.0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("model.refused", True),
        ("model.", True),
        ("model", False),
        ("exact", True),
        ("exactly", False),
    ],
)
def test_some_codes_are_never_tried_again(code: str, expected: bool) -> None:
    assert is_never(Retry(never=("model.*", "exact")), code) is expected


def test_nothing_is_never_tried_again_unless_somebody_says_so() -> None:
    assert not is_never(Retry(), "")
