"""When a failed task is asked for again: exponential backoff with jitter, as numbers only. Pure."""

from typing import Final

from dalsegno_orchestrator.workflow.grammar.policies import Retry

ASKED_SECONDS_MAX: Final = 30 * 86_400.0
"""No agent puts its task off for longer: what asks for more took milliseconds for seconds."""


def policy_for(retry: Retry, code: str) -> Retry:
    """The policy for one error code: what `by_code` says of it, and else what holds for all.

    A pattern is a code, or the beginning of codes with a `*` behind it. Of those that match only
    the most exact one counts: the code itself, else the longest beginning. A delay that is given
    for a code is not cut by the `max_delay` that holds for all.
    """
    matching = [pattern for pattern in retry.by_code if _matches(pattern, code)]
    if not matching:
        return retry
    # A code with `*` behind it is longer than the code itself, and yet says less.
    best = max(matching, key=lambda pattern: (pattern == code, len(pattern)))
    changes = retry.by_code[best].model_dump(exclude_none=True)
    if "delay" in changes:
        changes.setdefault("max_delay", max(retry.max_delay, changes["delay"]))
    return retry.model_copy(update=changes)


def is_never(retry: Retry, code: str) -> bool:
    """Whether no attempt follows a failure with this code."""
    return any(_matches(pattern, code) for pattern in retry.never)


def delay_seconds(policy: Retry, *, failures: int, chance: float, asked: float | None) -> float:
    """How long to wait after failure number `failures` (from 1), in seconds.

    delay * factor^(failures-1), at most max_delay, then spread by ±jitter so that tasks which
    failed together do not come back together (Brooker, "Exponential Backoff And Jitter", 2015).
    What the agent asked for is a lower bound, up to `ASKED_SECONDS_MAX`.

    Args:
        policy: The task's retry policy, as it is for the code it failed with (`policy_for`).
        failures: How often the task has failed so far.
        chance: 0 to 1, decides the jitter.
        asked: Seconds the agent asked to be left alone, if it did.
    """
    exponent = min(failures - 1, 64)  # 2^64 times any delay is above any max_delay
    backoff = min(policy.delay * policy.factor**exponent, policy.max_delay)
    spread = backoff * (1.0 + policy.jitter * (2.0 * chance - 1.0))
    return max(spread, min(asked or 0.0, ASKED_SECONDS_MAX))


def _matches(pattern: str, code: str) -> bool:
    if pattern.endswith("*"):
        return code.startswith(pattern[:-1])
    return pattern == code
