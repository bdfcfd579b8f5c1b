"""`python -m fuzz.atheris_decoders TARGET CASES SEED`: one decoder, searched by coverage.

Needs the dependency group `fuzz`; there are wheels of atheris for Linux only, and not at once for
every new Python. Bytes go in as they are and, with an odd first byte, as the seed of garbage that
is nearer to a valid message.
"""

import sys
import tempfile
from random import Random

import atheris  # pyright: ignore[reportMissingImports, reportMissingModuleSource] - an optional group

OURS = ["dalsegno", "dalsegno_bus", "dalsegno_agents", "dalsegno_orchestrator",
        "dalsegno_projections"]  # fmt: skip

with atheris.instrument_imports(include=OURS):  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    from fuzz.decoders import TARGETS
    from fuzz.garbage import Garbage


def main() -> None:
    """Ends the process: 0 if every case held."""
    name, cases, seed = sys.argv[1:]
    target, samples = TARGETS[name]

    def one(body: bytes) -> None:
        if body and body[0] % 2:
            body = Garbage(Random(body)).body(samples())
        target(body)

    options = [
        sys.argv[0],
        f"-runs={cases}",
        f"-seed={int(seed) or 1}",
        "-verbosity=0",
        f"-artifact_prefix={tempfile.gettempdir()}/",
    ]
    atheris.Setup(options, one)  # pyright: ignore[reportUnknownMemberType]
    atheris.Fuzz()  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
