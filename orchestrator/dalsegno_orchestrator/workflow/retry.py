"""When a failed task is asked for again: exponential backoff with jitter, as numbers only."""

from typing import Final

from dalsegno_orchestrator.workflow.definition import Retry

ASKED_SECONDS_MAX: Final = 30 * 86_400.0
"""No agent puts its task off for longer: what asks for more took milliseconds for seconds."""


def delay_seconds(policy: Retry, *, failures: int, chance: float, asked: float | None) -> float:
    """How long to wait after failure number `failures` (from 1), in seconds.

    delay * factor^(failures-1), at most max_delay, then spread by ±jitter so that tasks which
    failed together do not come back together (Brooker, "Exponential Backoff And Jitter", 2015).
    What the agent asked for is a lower bound, up to `ASKED_SECONDS_MAX`.

    Args:
        policy: The task's retry policy.
        failures: How often the task has failed so far.
        chance: 0 to 1, decides the jitter.
        asked: Seconds the agent asked to be left alone, if it did.
    """
    exponent = min(failures - 1, 64)  # 2^64 times any delay is above any max_delay
    backoff = min(policy.delay * policy.factor**exponent, policy.max_delay)
    spread = backoff * (1.0 + policy.jitter * (2.0 * chance - 1.0))
    return max(spread, min(asked or 0.0, ASKED_SECONDS_MAX))
