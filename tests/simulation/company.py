"""Plays many seeds on all cores, in portions that each worker takes when it has nothing to do."""

import gc
import logging
import signal
import time
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from simulation.plan import plan_of
from simulation.theatre import Outcome, play

PORTION: Final = 25
"""Seeds that a worker takes at a time."""


@dataclass(frozen=True)
class Portion:
    """What came of some seeds."""

    seeds: Sequence[int]
    failures: Sequence[tuple[int, Sequence[str]]]
    cpu_seconds: float
    events: int


def play_seed(seed: int) -> Outcome:
    """One seed; whatever goes wrong with the simulation itself is a failure, too."""
    try:
        return play(plan_of(seed))
    except Exception as error:  # noqa: BLE001 - told with its seed
        return Outcome(plan_of(seed), [f"the simulation itself failed: {error!r}"])


def play_portion(seeds: Sequence[int]) -> Portion:
    """These, one after the other. Collecting garbage waits for the end: it costs a third."""
    begun = time.process_time()
    failures: list[tuple[int, Sequence[str]]] = []
    events = 0
    gc.disable()
    try:
        for seed in seeds:
            outcome = play_seed(seed)
            events += outcome.events
            if outcome.problems:
                failures.append((seed, outcome.problems))
    finally:
        gc.enable()
        gc.collect()
    return Portion(seeds, failures, time.process_time() - begun, events)


def played(seeds: range, *, jobs: int) -> Generator[Portion]:
    """All of them, in the order in which they are done."""
    portions = iter([seeds[at : at + PORTION] for at in range(0, len(seeds), PORTION)])
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet)
    open_now: set[Future[Portion]] = set()
    try:
        while True:
            for portion in portions:
                open_now.add(pool.submit(play_portion, portion))
                if len(open_now) >= 2 * jobs:
                    break
            if not open_now:
                return
            done, open_now = wait(open_now, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """Ctrl-C is for whoever waits for us; what the services log is nobody's concern here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
