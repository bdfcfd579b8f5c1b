"""`uv run poe simulate`: many seeds on all cores, or one of them with its trace.

Exit code 0: nothing is wrong; 1: something is, and the shortest trace of it was printed; 130:
broken off. A long run may be broken off and called again: it goes on where it was, if the code is
the same.
"""

import json
import logging
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from simulation.company import Portion, play_seed, played
from simulation.plan import shown
from simulation.shrink import shrunk
from simulation.theatre import Outcome

ROOT: Final = Path(__file__).parents[2]
SEEDS: Final = 2_000
RESUMED_FROM: Final = 10_000
"""With so many seeds or more, it is kept how far we are."""
TELL_SECONDS: Final = 5.0
FAILURES_MAX: Final = 20
TRACE_LINES_MAX: Final = 400


def arguments() -> Namespace:
    """What was asked for."""
    parser = ArgumentParser(prog="simulate", description="Play seeds; say what went wrong.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: show all that happened")
    parser.add_argument("--shrink", action="store_true", help="with --seed: make it smaller first")
    parser.add_argument("--first-failure", action="store_true", help="stop at the first failure")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--progress", type=Path, help="where it is kept how far we are")
    return parser.parse_args()


class Progress:
    """How far a long run has come; a file that another call goes on from."""

    def __init__(self, asked: Namespace) -> None:
        self.path: Path | None = asked.progress
        if self.path is None and asked.seeds >= RESUMED_FROM:
            self.path = ROOT / ".dalsegno" / f"simulate-{asked.first}-{asked.seeds}.json"
        self._of = {"first": asked.first, "seeds": asked.seeds, "code": _code()}
        self._done: set[int] = set()
        self.next = asked.first
        self.failed: list[int] = []
        if self.path is not None and self.path.exists():
            kept = json.loads(self.path.read_text())
            if kept.get("of") == self._of:
                self.next, self.failed = kept["next"], kept["failed"]

    def add(self, portion: Portion) -> None:
        """These are done."""
        self._done.update(portion.seeds)
        self.failed += [seed for seed, _ in portion.failures]
        while self.next in self._done:
            self._done.discard(self.next)
            self.next += 1

    def keep(self) -> None:
        """Write it down, whole or not at all."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"of": self._of, "next": self.next, "failed": self.failed}))
        fresh.replace(self.path)


def _code() -> str:
    """A digest of all that a seed's outcome depends on."""
    digest = blake2b(digest_size=8)
    for folder in ("bus", "agents", "orchestrator", "tests/simulation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def play_one(asked: Namespace) -> int:
    """One seed, for people or for machines."""
    outcome = play_seed(asked.seed)
    if asked.shrink and outcome.problems:
        outcome = shrunk(outcome)
    if asked.json:
        print(json.dumps(_as_json(outcome, trace=asked.trace)))
    else:
        _show(outcome, trace=asked.trace)
    return 1 if outcome.problems else 0


def play_many(asked: Namespace) -> int:
    """Many seeds; the shortest trace of the first that failed."""
    progress = Progress(asked)
    begun, told_at, cpu, events, count = time.monotonic(), time.monotonic(), 0.0, 0, 0
    left = range(progress.next, asked.first + asked.seeds)
    is_broken_off = False
    try:
        with closing(played(left, jobs=asked.jobs)) as portions:
            for portion in portions:
                progress.add(portion)
                cpu, events = cpu + portion.cpu_seconds, events + portion.events
                count += len(portion.seeds)
                for seed, problems in portion.failures:
                    _say(f"seed {seed}: {problems[0]}")
                if time.monotonic() - told_at > TELL_SECONDS:
                    told_at = time.monotonic()
                    progress.keep()
                    pace = count / (told_at - begun)
                    _say(f"{count} of {len(left)} seeds, {pace:.0f} seeds/s, "
                         f"{len(progress.failed)} failed")  # fmt: skip
                if progress.failed and (
                    asked.first_failure or len(progress.failed) >= FAILURES_MAX
                ):
                    break
    except KeyboardInterrupt:
        is_broken_off = True
    progress.keep()
    seconds = time.monotonic() - begun
    result: dict[str, Any] = {
        "seeds": count, "next": progress.next, "failed": sorted(progress.failed),
        "seconds": round(seconds, 1), "seeds_per_second": round(count / max(seconds, 1e-9), 1),
        "cpu_ms_per_seed": round(1000 * cpu / max(count, 1), 1), "events": events,
    }  # fmt: skip
    if asked.json:
        print(json.dumps(result))
    else:
        print(
            f"{count} seeds in {seconds:.1f} s ({result['seeds_per_second']} seeds/s, "
            f"{result['cpu_ms_per_seed']} ms of CPU each), {events} events, "
            f"{len(progress.failed)} failed"
        )
        if is_broken_off and progress.path is not None:
            print(f"broken off; call it again to go on from seed {progress.next}")
    if is_broken_off:
        return 130
    if progress.failed and not (asked.json or asked.first_failure):
        explain(min(progress.failed))
    return 1 if progress.failed else 0


def explain(seed: int) -> None:
    """The shortest trace that can be found of what fails with this seed."""
    outcome = play_seed(seed)
    if outcome.problems:
        _show(shrunk(outcome), trace=True)
        print(f"\nplay it again: uv run poe simulate --seed {seed} --shrink --trace")


def _show(outcome: Outcome, *, trace: bool) -> None:
    plan = shown(outcome.plan)
    faults = plan.pop("faults")
    print(" ".join(f"{key}={value}" for key, value in plan.items()))
    for fault in faults:
        print("fault", " ".join(f"{key}={value}" for key, value in fault.items()))
    lines = outcome.lines() if trace else []
    for line in lines[:TRACE_LINES_MAX]:
        print(line)
    if len(lines) > TRACE_LINES_MAX:
        print(f"… {len(lines) - TRACE_LINES_MAX} more lines")
    print(f"{outcome.seconds:.1f} virtual seconds, {outcome.steps} steps, {outcome.events} events, "
          f"trace {outcome.digest}")  # fmt: skip
    for problem in outcome.problems or ["nothing is wrong"]:
        print(problem)


def _as_json(outcome: Outcome, *, trace: bool) -> dict[str, Any]:
    lines: Sequence[str] = outcome.lines() if trace else ()
    return {
        "plan": shown(outcome.plan), "problems": outcome.problems, "digest": outcome.digest,
        "steps": outcome.steps, "events": outcome.events, "trace": list(lines),
    }  # fmt: skip


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run it; return the exit code."""
    logging.disable(logging.CRITICAL)
    asked = arguments()
    return play_one(asked) if asked.seed is not None else play_many(asked)


if __name__ == "__main__":
    sys.exit(main())
