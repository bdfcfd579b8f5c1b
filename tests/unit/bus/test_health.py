"""What a container's probes see."""

import asyncio
import sys

import pytest

from dalsegno_bus.errors import SettingsError
from dalsegno_bus.health import REQUEST_BYTES_MAX, check, main, serve_health

SECONDS_MAX = 20.0


async def get(port: int, request: bytes) -> tuple[int, bytes]:
    async with asyncio.timeout(SECONDS_MAX):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return (int(answer.split(b" ", 2)[1]) if answer else 0), answer.partition(b"\r\n\r\n")[2]


async def test_what_was_counted_can_be_read() -> None:
    counted = {"reports_late": 3}
    async with serve_health(0, list, host="127.0.0.1", counts=lambda: counted) as port:
        assert await get(port, b"GET /countz HTTP/1.1\r\n\r\n") == (200, b'{"reports_late":3}')


async def test_a_process_is_alive_and_ready_or_says_what_is_missing() -> None:
    problems: list[str] = []
    async with serve_health(0, lambda: problems, host="127.0.0.1") as port:
        assert await get(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == (
            200,
            b'{"status":"alive"}',
        )
        assert await get(port, b"GET /readyz?x=1 HTTP/1.1\r\n\r\n") == (
            200,
            b'{"status":"ready","problems":[]}',
        )
        assert await asyncio.to_thread(main, ["health", str(port)]) == 0
        problems.append("no connection to NATS")
        assert await get(port, b"GET /readyz HTTP/1.1\r\n\r\n") == (
            503,
            b'{"status":"not ready","problems":["no connection to NATS"]}',
        )
        assert (await get(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
        assert await asyncio.to_thread(check, port) == ["no connection to NATS"]
        assert await asyncio.to_thread(main, ["health", str(port)]) == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /readyz HTTP/1.1\r\n\r\n", 405),
        (b"\r\n\r\n", 405),
        (b"GET /" + b"x" * 2 * REQUEST_BYTES_MAX, 0),
    ],
)
async def test_other_requests_do_no_harm(request_bytes: bytes, status: int) -> None:
    async with serve_health(0, list, host="127.0.0.1") as port:
        assert (await get(port, request_bytes))[0] == status
        assert (await get(port, b"HEAD /healthz HTTP/1.1\r\n\r\n")) == (200, b"")


async def test_a_port_that_is_in_use_is_told_with_the_variable_to_change() -> None:
    async with serve_health(0, list, host="127.0.0.1") as port:
        with pytest.raises(SettingsError, match=f"DALSEGNO_HEALTH_PORT: port {port} cannot be"):
            async with serve_health(port, list, host="127.0.0.1"):
                pass


async def test_the_check_fails_when_nobody_answers() -> None:
    async with serve_health(0, list, host="127.0.0.1") as port:
        pass
    (problem,) = await asyncio.to_thread(check, port)
    assert f"port {port}" in problem


async def test_the_check_is_a_program() -> None:
    async with serve_health(0, lambda: ["not yet"], host="127.0.0.1") as port:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dalsegno_bus.health", str(port), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(SECONDS_MAX):
            _, errors = await program.communicate()
    assert (program.returncode, errors) == (1, b"not yet\n")


@pytest.mark.parametrize("arguments", [["health"], ["health", "x"], ["health", "1", "2"]])
def test_wrong_usage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
