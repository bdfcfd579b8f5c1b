"""Put each fault into a copy of the code, and see which nets catch it.

`uv run poe mutations`: every fault, every net, a table. Exit code 1: a fault got through, or a net
fails without one. The code itself is never touched.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from mutations.faults import FAULTS, ROOT, Fault
from mutations.nets import NETS, Net

PACKAGES: Final = (
    "bus/dalsegno_bus",
    "agents/dalsegno_agents",
    "orchestrator/dalsegno_orchestrator",
    "projections/dalsegno_projections",
)


@contextmanager
def with_fault(fault: Fault | None) -> Generator[dict[str, str]]:
    """The environment in which Python finds a copy of the code that has this fault."""
    with tempfile.TemporaryDirectory(prefix="dalsegno-fault-") as folder:
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__")
            )
        if fault is not None:
            Path(folder, fault.file).write_text(fault.patched())
        paths = [str(Path(folder, package).parent) for package in PACKAGES]
        yield {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT / "tests")])}


def is_caught(net: Net, environment: dict[str, str]) -> bool:
    """Whether this net fails, or hangs."""
    with subprocess.Popen(
        net.argv,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(net.seconds_max) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def catches(fault: Fault | None, nets: Sequence[Net], *, first: bool) -> list[str]:
    """The nets that catch it, by name; with `first`, none is tried after one did."""
    caught: list[str] = []
    with with_fault(fault) as environment:
        for net in nets:
            if is_caught(net, environment):
                caught.append(net.name)
                if first:
                    break
    return caught


def arguments() -> Namespace:
    """What was asked for."""
    parser = ArgumentParser(
        prog="mutations",
        description="Put faults into a copy of the code, and see which nets catch them.",
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="names; all unless given")
    parser.add_argument("--first", action="store_true", help="stop at the first net that catches")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--list", action="store_true", help="what there is, without running it")
    asked = parser.parse_args()
    unknown = set(asked.faults) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; see --list")
    return asked


def show(fault: Fault, caught: Sequence[str], *, as_json: bool) -> None:
    """One line of the table."""
    if as_json:
        print(json.dumps({"fault": fault.name, "room": fault.room, "caught_by": list(caught)}))
    else:
        print(f"{fault.name:28} {fault.room:10} {', '.join(caught) or 'GOT THROUGH'}", flush=True)


def main() -> int:
    """Run it; return the exit code."""
    asked = arguments()
    faults = [fault for fault in FAULTS if not asked.faults or fault.name in asked.faults]
    if asked.list:
        for fault in faults:
            print(f"{fault.name:28} {fault.room:10} {fault.meaning}")
        return 0
    false_alarms = catches(None, NETS, first=False)
    if false_alarms:
        print(f"these fail without a fault: {', '.join(false_alarms)}", file=sys.stderr)
        return 1
    through = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        try_one = partial(catches, nets=NETS, first=asked.first)
        for fault, caught in zip(faults, pool.map(try_one, faults), strict=True):
            through += not caught
            show(fault, caught, as_json=asked.json)
    if not asked.json:
        print(f"{len(faults) - through} of {len(faults)} faults caught")
    return 1 if through else 0


if __name__ == "__main__":
    sys.exit(main())
