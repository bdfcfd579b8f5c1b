"""What may be a key of a bucket, and how long it may live: the same on every bus."""

import re
from typing import Final

from dalsegno_bus.errors import UsageError

_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(?:\.[-/_=a-zA-Z0-9]+)*")


def check_key(key: str) -> None:
    """Do nothing, unless `key` cannot be one.

    Raises:
        UsageError: It has other characters than letters, digits and `-/_=`, dots between them.
    """
    if _KEY.fullmatch(key) is None:
        raise UsageError(f"{key!r} is no key: use letters, digits and - / _ = with dots between")


def check_ttl(seconds: int | None) -> None:
    """Do nothing, unless a key cannot live so long.

    Raises:
        UsageError: It is less than a second.
    """
    if seconds is not None and seconds < 1:
        raise UsageError(f"ttl_seconds must be 1 or more, not {seconds!r}")
