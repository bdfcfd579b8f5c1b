"""What is broken, when, and for how long: a list drawn from a seed before anything runs.

Pure. The same seed and the same shape of a stand give the same list. How a fault is done stands in
`faults`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, TypeAlias, get_args

from chaos.stand import AGENTS, CUSTOMERS, DATABASE, SKEW_SECONDS_MAX, Shape

Kind: TypeAlias = Literal[
    "kill", "terminate", "skew", "pause", "cut", "freeze", "hold", "slow", "full disk",
    "kill nats", "pause nats", "wipe nats", "delete streams", "restore nats", "truncate nats",
    "full nats", "kill database", "pause database", "read-only database",
]  # fmt: skip
KINDS: Final[Sequence[Kind]] = get_args(Kind)

GAP_SECONDS: Final = (1.0, 4.0)
"""From one fault's beginning to the next one's: several overlap."""
LASTS_SECONDS: Final = (0.5, 8.0)
REST_SECONDS: Final = 2.0
"""What was hurt is left alone for so long before it is hurt again."""
CALM_SECONDS: Final = 5.0
"""At the beginning nothing is broken, so that everything has once been there."""
_OF_DATA: Final = frozenset({"wipe nats", "delete streams", "restore nats", "truncate nats"})


@dataclass(frozen=True)
class Fault:
    """One harm: what it is, to whom, from when to when (seconds since the beginning)."""

    kind: Kind
    target: str
    at: float
    seconds: float
    part: str = "nats"
    """Of a network fault: to which servers, `nats` or `database`."""
    skew: float = 0.0
    """Of a skew: how many seconds the clock is ahead from then on; negative: behind."""

    @property
    def ends_at(self) -> float:
        return self.at + self.seconds


def schedule(seed: int, seconds: float, shape: Shape) -> list[Fault]:
    """All faults of a run, in order; each has ended by `seconds`.

    Every kind that this shape knows comes once before one comes a second time.
    """
    random = Random(seed)
    free_at: dict[str, float] = {}
    faults: list[Fault] = []
    now = CALM_SECONDS
    for kind in _kinds(random, shape):
        if now >= seconds - LASTS_SECONDS[0]:
            break
        lasts = min(random.uniform(*LASTS_SECONDS), seconds - now)
        targets = [
            target
            for target in _targets(kind, shape)
            if all(free_at.get(one, 0.0) <= now for one in touched(kind, target, shape))
        ]
        if targets:
            target = _choice(random, targets)
            part = "database" if _has_network(target, shape) and random.random() < 0.4 else "nats"
            skew = _skew(random) if kind == "skew" else 0.0
            faults.append(Fault(kind, target, now, lasts, part, skew))
            for one in touched(kind, target, shape):
                free_at[one] = now + lasts + REST_SECONDS
        now += random.uniform(*GAP_SECONDS)
    return faults


def clocks(shape: Shape) -> dict[str, float]:
    """By how many seconds whose clock is ahead at first (negative: behind)."""
    random = Random(shape.seed)
    return {name: _skew(random) for name in shape.skewable}


def touched(kind: Kind, target: str, shape: Shape) -> Sequence[str]:
    """Whom a fault concerns: nobody else may hurt them meanwhile."""
    return shape.nodes if kind in _OF_DATA else (target,)


def _skew(random: Random) -> float:
    return round(random.uniform(-SKEW_SECONDS_MAX, SKEW_SECONDS_MAX), 2)


def _choice(random: Random, targets: Sequence[str]) -> str:
    """One of these; there are many agents, and yet they are hurt no more often than the others."""
    roles = {name: name.partition("-")[0] for name in targets}
    roles |= {name: "agent" for name in targets if roles[name] in AGENTS}
    role = random.choice(sorted(set(roles.values())))
    return random.choice([name for name in targets if roles[name] == role])


def _kinds(random: Random, shape: Shape) -> Iterator[Kind]:
    known = [kind for kind in KINDS if _targets(kind, shape)]
    while True:
        bag = list(known)
        random.shuffle(bag)
        yield from bag


def _targets(kind: Kind, shape: Shape) -> Sequence[str]:
    services = shape.services
    working = [name for name in services if name != CUSTOMERS]
    orchestrators = [name for name in services if name.startswith("orchestrator")]
    database = (DATABASE,) if shape.store == "postgres" else ()
    targets: Mapping[Kind, Sequence[str]] = {
        "kill": services,
        "terminate": working,  # customers take it as the end of the day
        "skew": shape.skewable,
        "pause": services,
        "cut": services,
        "freeze": services,
        "hold": services,
        "slow": services,
        "full disk": orchestrators if shape.store == "sqlite" else (),
        "kill nats": shape.nodes,
        "pause nats": shape.nodes,
        "wipe nats": shape.nodes[:1],
        "delete streams": shape.nodes[:1],
        "restore nats": shape.nodes[:1],
        "truncate nats": shape.nodes,
        "full nats": shape.nodes,
        "kill database": database,
        "pause database": database,
        "read-only database": database,
    }
    return targets[kind]


def _has_network(target: str, shape: Shape) -> bool:
    return shape.store == "postgres" and target.startswith(("orchestrator", "projections"))
