"""`uv run poe fuzz`: bad bytes by the hundred thousand, at every decoder and every subject.

Every case follows from the seed: `--seed` with the number that is printed gives the same ones. With
the dependency group `fuzz` (atheris) decoders are also searched by coverage.
"""

import argparse
import asyncio
import importlib.util
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from fuzz.decoders import TARGETS
from fuzz.garbage import Garbage
from fuzz.strategies import bad_bytes
from fuzz.system import system
from hypothesis import HealthCheck, Phase, given, seed, settings

SLOW: Final = {"workflow file": 0.05}
"""Targets that read some fifty cases a second get so much of a fair share."""
BATCH: Final = 500
"""So many messages are thrown at a system at work before a sane run has to end."""
BATCHES_OF_ONE_SYSTEM: Final = 4
UNHURRIED: Final = (HealthCheck.too_slow, HealthCheck.data_too_large)
ATHERIS_SECONDS_MAX: Final = 300


def main() -> int:
    """0: nothing failed; else a traceback, the target and the seed are printed."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many, over all targets")
    parser.add_argument("--seed", type=int, default=None, help="repeat what this seed gave")
    parser.add_argument("--target", default=None, help="only this one")
    arguments = parser.parse_args()
    chosen: int = time.time_ns() % 2**32 if arguments.seed is None else arguments.seed
    logging.disable(logging.CRITICAL)
    print(f"seed {chosen}")
    print(f"{'target':<24}{'cases':>9}{'seconds':>9}{'cases/s':>9}  by")
    began, cases = time.perf_counter(), 0
    for name, count, by, seconds in _all(arguments.cases, chosen, arguments.target):
        print(f"{name:<24}{count:>9}{seconds:>9.1f}{count / seconds:>9.0f}  {by}", flush=True)
        cases += count
    seconds = time.perf_counter() - began
    print(f"{cases} cases in {seconds:.0f} s ({cases / seconds:.0f}/s): all held, seed {chosen}")
    return 0


def _all(cases: int, chosen: int, only: str | None) -> Iterator[tuple[str, int, str, float]]:
    """Half of the cases at the decoders, half at a system at work."""
    names = _subjects()
    decoders = {name: SLOW.get(name, 1.0) for name in TARGETS if only in (None, name)}
    live = [name for name in names if only in (None, name)]
    halves = 2 if decoders and live else 1
    for name, share in decoders.items():
        count = max(1, int(cases / halves * share / sum(decoders.values())) + 1)
        for by, run in (("seeded", _seeded), ("hypothesis", _hypothesis)):
            began = time.perf_counter()
            run(name, count - count // 4 if by == "seeded" else count // 4, chosen)
            done = count - count // 4 if by == "seeded" else count // 4
            yield name, done, by, time.perf_counter() - began
        if importlib.util.find_spec("atheris") is not None:
            began = time.perf_counter()
            yield name, _covered(name, count, chosen), "atheris", time.perf_counter() - began
    for name in live:
        count = cases // halves // len(live) + 1
        began = time.perf_counter()
        asyncio.run(_live(name, count, chosen))
        yield name, count, "system at work", time.perf_counter() - began


def _seeded(name: str, count: int, chosen: int) -> None:
    target, samples = TARGETS[name]
    garbage = Garbage(Random(f"{name} {chosen}"))
    for number in range(count):
        body = garbage.body(samples())
        try:
            target(body)
        except BaseException:
            print(f"{name}: case {number} of seed {chosen} failed: {body[:2_000]!r}")
            raise


def _hypothesis(name: str, count: int, chosen: int) -> None:
    target, samples = TARGETS[name]

    @seed(chosen)
    @settings(
        max_examples=max(1, count), database=None, deadline=None,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=UNHURRIED,
    )  # fmt: skip
    @given(bad_bytes(samples()))
    def hold(body: bytes) -> None:
        target(body)

    hold()


def _covered(name: str, count: int, chosen: int) -> int:
    """The same decoder, searched by coverage, in a process of its own."""
    arguments = [sys.executable, "-m", "fuzz.atheris_decoders", name, str(count), str(chosen)]
    done = subprocess.run(
        arguments, check=False, timeout=ATHERIS_SECONDS_MAX, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout, done.stderr)
        raise SystemExit(f"{name}: atheris found what is printed above, seed {chosen}")
    return count


async def _live(name: str, count: int, chosen: int) -> None:
    """Batch after batch; a new system now and then, for histories grow."""
    left, number = count, 0
    while left > 0:
        with tempfile.TemporaryDirectory(prefix="dalsegno-fuzz-") as folder:
            async with system(Path(folder), seed=chosen + number) as under_fire:
                for _ in range(BATCHES_OF_ONE_SYSTEM):
                    await under_fire.fire(name, min(BATCH, left))
                    left -= BATCH
                    if left <= 0:
                        break
        number += 1


def _subjects() -> list[str]:
    from fuzz.test_system import TARGETS as NAMES

    return list(NAMES)


if __name__ == "__main__":
    sys.exit(main())
