"""What may be a key of a bucket: the same on every bus."""

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
