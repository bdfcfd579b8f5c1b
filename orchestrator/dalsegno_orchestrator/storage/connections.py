"""A few connections to a database, made when they are needed and thrown away when in doubt.

Made in the thread of whoever asks, so that the reason of a failure reaches the caller at once and
nothing has to be waited for once the database is back. Knows no database and retries nothing.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Condition
from typing import Generic, Protocol, TypeVar

from eventsourcing.persistence import (
    ConnectionPoolClosedError,
    ConnectionUnavailableError,
    IntegrityError,
)

from dalsegno_bus.errors import DalsegnoError


class Closable(Protocol):
    """What a pool keeps."""

    def close(self) -> None:
        """Give back what it holds."""
        ...


_C = TypeVar("_C", bound=Closable)


class Connections(Generic[_C]):
    """At most `count_max` connections at a time, each with one user.

    Args:
        connect: Makes one; what it raises reaches whoever asked for a connection.
        count_max: So many at the same time.
        wait_seconds_max: How long to wait for one that somebody else uses.
        is_alive: Whether an idle one may still be used, as far as shows without asking.
    """

    def __init__(
        self,
        connect: Callable[[], _C],
        *,
        count_max: int,
        wait_seconds_max: float,
        is_alive: Callable[[_C], bool] = lambda _: True,
    ) -> None:
        self._connect = connect
        self._is_alive = is_alive
        self._count_max = count_max
        self._wait_seconds_max = wait_seconds_max
        self._idle: deque[_C] = deque()
        self._in_use = 0
        self._is_closed = False
        self._changed = Condition()

    @contextmanager
    def one(self) -> Generator[_C]:
        """A connection, until the block ends.

        An error of the database throws it away, and all that are idle: they may have died with it,
        or have been made while the database took no writes.

        Raises:
            ConnectionUnavailableError: All are in use, for long.
            ConnectionPoolClosedError: `close` was called.
        """
        connection = self._take()
        is_sound = False
        try:
            yield connection
            is_sound = True
        except (IntegrityError, DalsegnoError, GeneratorExit):
            is_sound = True  # it did what it was asked to, or was not asked
            raise
        finally:
            self._give_back(connection, is_sound=is_sound)

    def close(self) -> None:
        """Close what is idle now, and each other when its user is done."""
        with self._changed:
            self._is_closed = True
            self._clear()

    def _take(self) -> _C:
        with self._changed:
            is_free = self._changed.wait_for(
                lambda: self._is_closed or self._in_use < self._count_max, self._wait_seconds_max
            )
            if self._is_closed:
                raise ConnectionPoolClosedError("the store was closed")
            if not is_free:
                raise ConnectionUnavailableError(
                    f"all {self._count_max} connections were in use for {self._wait_seconds_max} s"
                )
            self._in_use += 1
            while self._idle:
                connection = self._idle.pop()
                if self._is_alive(connection):
                    return connection
                connection.close()
        try:
            return self._connect()
        except BaseException:
            self._leave()
            raise

    def _give_back(self, connection: _C, *, is_sound: bool) -> None:
        with self._changed:
            if is_sound and not self._is_closed:
                self._idle.append(connection)
            else:
                connection.close()
                self._clear()
        self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._in_use -= 1
            self._changed.notify()

    def _clear(self) -> None:
        while self._idle:
            self._idle.pop().close()
