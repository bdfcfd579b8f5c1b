"""Who answers a command that only reads: the projections, or the files of a stack that rests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from dalsegno.lock import is_running
from dalsegno.session import Reading, session


@asynccontextmanager
async def reading(folder: Path | None) -> AsyncGenerator[Reading]:
    """Whoever can answer questions about what was recorded.

    Raises:
        UsageError: No stack has ever run in `folder`.
        Unavailable: No stack is running, and no folder was named.
    """
    if folder is None or is_running(folder):
        async with session(folder) as here:
            yield here
        return
    from dalsegno.rest import rest  # opens databases itself: other commands need not load that

    async with rest(folder) as files:
        yield files
