"""`uv run poe chaos`: a system of real processes, broken again and again, and a table at the end.

Exit code 0: clean. 1: something is wrong, and the table says what. 130: interrupted.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from chaos.performance import perform
from chaos.stand import Shape
from chaos.table import show

_INTERRUPTED = 130


def main() -> int:
    """Run, print, and say by the exit code whether all was well."""
    options = _parser().parse_args()
    shape = Shape(
        store=options.store,
        nats=options.nats,
        orchestrators=options.orchestrators,
        replicas=options.replicas,
        rate=options.rate,
        seed=options.seed,
    )
    kept: Path | None = options.keep
    folder = kept or Path(tempfile.mkdtemp(prefix="dalsegno-chaos-"))
    console = Console(stderr=options.json)
    try:
        told = asyncio.run(
            perform(
                shape,
                folder,
                seconds=options.minutes * 60,
                tell=lambda words: console.print(words, highlight=False, markup=False),
            )
        )
    except KeyboardInterrupt:
        console.print("interrupted: everything that was started has been stopped")
        return _INTERRUPTED
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)
    show(told, console)
    if options.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0 if told["clean"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="poe chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long things are broken")
    parser.add_argument("--seed", type=int, default=1, help="what is broken follows from it")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--nats", type=int, choices=(1, 3), default=1, help="servers of NATS")
    parser.add_argument("--orchestrators", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--replicas", type=int, default=1, help="of each of the four agents")
    parser.add_argument("--rate", type=float, default=4.0, help="runs asked for in a second")
    parser.add_argument("--json", action="store_true", help="the findings as JSON on stdout")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep store, lists and logs here"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
