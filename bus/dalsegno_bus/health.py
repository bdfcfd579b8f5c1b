"""Whether this process is alive and ready, for whoever watches over it: three pages over HTTP.

`GET /healthz` says that the event loop turns; `GET /readyz` says what is missing, as JSON, with
status 503 while there is something. `python -m dalsegno_bus.health PORT` asks the latter.
`GET /countz` says what was counted since the start, such as messages that were refused.
"""

import asyncio
import http.client
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

import orjson

from dalsegno_bus.errors import SettingsError

REQUEST_SECONDS_MAX: Final = 5.0
REQUEST_BYTES_MAX: Final = 16 * 1024
_ARGUMENTS: Final = 2

Ready = Callable[[], Sequence[str]]
"""What keeps this process from working, each a sentence; nothing: it is ready."""
Counts = Callable[[], Mapping[str, int]]
"""What was counted since the start, by name."""


@asynccontextmanager
async def serve_health(
    port: int,
    ready: Ready,
    *,
    host: str = "0.0.0.0",  # noqa: S104  # for probes from outside the container
    counts: Counts = dict,
) -> AsyncGenerator[int, None]:
    """Answer while the context lasts; gives the port (of use if `port` was 0).

    Raises:
        SettingsError: The port cannot be used; names the variable that sets it.
    """

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, ready, counts))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    try:
        server = await asyncio.start_server(respond, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        raise SettingsError(
            f"DALSEGNO_HEALTH_PORT: port {port} cannot be used ({error.strerror}); give another"
        ) from error
    async with server:
        yield server.sockets[0].getsockname()[1]


def check(port: int, *, host: str = "127.0.0.1") -> list[str]:
    """What keeps the process on this port from working; nothing: it is ready."""
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS_MAX)
    try:
        connection.request("GET", "/readyz")
        answer: dict[str, Any] = orjson.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        return [f"nothing answers on port {port} ({error})"]
    finally:
        connection.close()
    return list(answer.get("problems", []))


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if the process on the port `arguments[1]` is ready, 1 if not, 2: usage."""
    if len(arguments) != _ARGUMENTS or not arguments[1].isdigit():
        sys.stderr.write("usage: python -m dalsegno_bus.health PORT\n")
        return 2
    problems = check(int(arguments[1]))
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


def _response(head: bytes, ready: Ready, counts: Counts) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in {b"GET", b"HEAD"}:
        return _page(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "use GET"}, method)
    if path == b"/healthz":
        return _page(HTTPStatus.OK, {"status": "alive"}, method)
    if path == b"/readyz":
        problems = list(ready())
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        said = "not ready" if problems else "ready"
        return _page(status, {"status": said, "problems": problems}, method)
    if path == b"/countz":
        return _page(HTTPStatus.OK, dict(counts()), method)
    return _page(HTTPStatus.NOT_FOUND, {"error": "use /healthz, /readyz or /countz"}, method)


def _page(status: HTTPStatus, content: dict[str, Any], method: bytes) -> bytes:
    body = orjson.dumps(content)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else body)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
