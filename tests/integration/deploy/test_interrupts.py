"""Ctrl-C and SIGTERM: what was opened is closed, and the exit code says which signal it was."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

WAIT_SECONDS = 20.0
SCRIPT = """
import asyncio, sys
import click
from dalsegno import __main__ as command_line, interrupts

async def work():
    try:
        print("open", flush=True)
        await asyncio.sleep(600)
    finally:
        print("closing", flush=True)
        await asyncio.sleep(0.3)
        print("closed", flush=True)

@click.command
def command():
    interrupts.run(work())

command_line.command_line = lambda: command
sys.argv = ["dalsegno"]
sys.exit(command_line.main())
"""


async def ended_by(*numbers: signal.Signals, script: str = SCRIPT) -> tuple[int, list[str]]:
    """Exit code and words of the script, sent each signal after a line that it wrote."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=PIPE)
    said: list[str] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            assert child.stdout is not None
            for number in numbers:
                said.append((await child.stdout.readline()).decode().strip())
                child.send_signal(number)
            said += (await child.stdout.read()).decode().split()
            return await child.wait(), said
    finally:
        if child.returncode is None:
            child.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_closes_what_is_open(number: signal.Signals) -> None:
    assert await ended_by(number) == (128 + number, ["open", "closing", "closed"])


@pytest.mark.slow
async def test_a_second_ctrl_c_does_not_cut_the_closing_short() -> None:
    code, said = await ended_by(signal.SIGINT, signal.SIGINT)
    assert (code, said) == (130, ["open", "closing", "closed"])


@pytest.mark.slow
async def test_a_later_ctrl_c_ends_a_closing_that_hangs() -> None:
    hangs = SCRIPT.replace("sleep(0.3)", "sleep(600)").replace(
        "async def work", "interrupts.PATIENCE_SECONDS = 0.0\nasync def work"
    )
    code, said = await ended_by(signal.SIGINT, signal.SIGTERM, script=hangs)
    assert (code, said) == (130, ["open", "closing"])
