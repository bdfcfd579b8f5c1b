"""Whether the event store answers: said once, again every half minute, and when it does again.

Owns the words for people, in the log and for `/readyz`; retries nothing and decides nothing.
"""

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_bus.logs import log

_logger = logging.getLogger("dalsegno.store")

SAY_AGAIN_SECONDS: Final = 30.0
SLOW_SECONDS: Final = 5.0
"""A call that takes longer is trouble, though it may end well."""


class Answering:
    """Watches the calls to one store, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[int, float] = {}
        self._calls = 0
        self._reason: str | None = None
        self._away_since = 0.0
        self._said_at = 0.0

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored now, for people; None: it answered the last call, in time."""
        with self._lock:
            if self._reason is not None:
                return self._reason
            now = time.monotonic()
            seconds = now - min(self._under_way.values(), default=now)
        return f"no answer for {seconds:.0f} s" if _is_slow(seconds) else None

    @contextmanager
    def call(self) -> Generator[None]:
        """One call; how it ends tells whether the store answers."""
        started_at = time.monotonic()
        with self._lock:
            self._calls += 1
            number = self._calls
            self._under_way[number] = started_at
        try:
            yield
        except (Unavailable, SettingsError) as error:
            self._failed(str(error))
            raise
        except BaseException:
            self._answered(started_at)  # it may say no, too
            raise
        else:
            self._answered(started_at)
        finally:
            with self._lock:
                del self._under_way[number]

    def _failed(self, reason: str) -> None:
        now = time.monotonic()
        with self._lock:
            if self._reason is None:
                self._away_since = now
            elif now - self._said_at < SAY_AGAIN_SECONDS:
                self._reason = reason
                return
            self._reason = reason
            self._said_at = now
            seconds = now - self._away_since
        log(_logger, "warning", "store_away", reason=reason, away_seconds=round(seconds))

    def _answered(self, started_at: float) -> None:
        now = time.monotonic()
        with self._lock:
            was_away, self._reason = self._reason is not None, None
            seconds = now - self._away_since
        if was_away:
            log(_logger, "info", "store_back", away_seconds=round(seconds, 1))
        elif _is_slow(now - started_at):
            log(_logger, "warning", "store_slow", call_seconds=round(now - started_at, 1))


def _is_slow(seconds: float) -> bool:
    return seconds >= SLOW_SECONDS
