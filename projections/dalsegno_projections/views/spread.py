"""How times are spread: how many there were of about each length. Pure, and of bounded size.

Lengths double every eight buckets, so that each bucket is narrow for its length, and a row keeps a
few dozen counts instead of a million times. Which bucket a time falls into is exact arithmetic: a
rebuild gives the same counts.
"""

from collections.abc import Mapping
from math import frexp, ldexp
from typing import Final

SECONDS_MIN: Final = 2.0**-10
"""What is shorter counts as this: a millisecond."""
SECONDS_MAX: Final = 2.0**24
"""What is longer counts as this: half a year."""
_PER_DOUBLING: Final = 8


def counted(spread: Mapping[str, int], seconds: float) -> Mapping[str, int]:
    """The counts with one more time; what is not above 0 was not measured."""
    if seconds <= 0.0:
        return spread
    bucket = str(_bucket(min(max(seconds, SECONDS_MIN), SECONDS_MAX)))
    return {**spread, bucket: spread.get(bucket, 0) + 1}


def percentile(spread: Mapping[str, int], percent: int) -> float | None:
    """The time (in seconds, to about 6 %) that `percent` (1 to 100) do not exceed; None: none."""
    left = -(-percent * sum(spread.values()) // 100)  # nearest rank, rounded up
    for bucket in sorted(map(int, spread)):
        left -= spread[str(bucket)]
        if left <= 0:
            return _middle(bucket)
    return None


def _bucket(seconds: float) -> int:
    part, exponent = frexp(seconds)  # the part is from 0.5 to below 1
    return exponent * _PER_DOUBLING + int((part - 0.5) * 2 * _PER_DOUBLING)


def _middle(bucket: int) -> float:
    exponent, step = divmod(bucket, _PER_DOUBLING)
    return ldexp(0.5 + (step + 0.5) / (2 * _PER_DOUBLING), exponent)
