"""What one seed chooses: who takes part, what is asked of them, and what goes wrong when.

A plan is plain data, so that it can be printed, made smaller and played again.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from simulation.repertoire import PIECES

FaultKind = Literal[
    "kill", "pause", "wipe", "store_away", "die_before_commit", "die_after_commit",
    "commit_unanswered", "commit_refused", "conflict", "die_sending", "die_after_sending",
    "die_before_ack", "stop",
]  # fmt: skip
AT_ORCHESTRATORS: Final[tuple[FaultKind, ...]] = (
    "die_before_commit", "die_after_commit", "commit_unanswered", "commit_refused", "conflict",
    "store_away", "stop",
)  # fmt: skip
AT_ANYBODY: Final[tuple[FaultKind, ...]] = (
    "kill", "kill", "pause", "die_sending", "die_after_sending", "die_before_ack",
)  # fmt: skip
HEALED_AT: Final = 12.0
"""From this second on nothing more goes wrong."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    at: float
    what: FaultKind
    who: str = ""
    seconds: float = 0.0
    """Until the process is back, or whatever it is is over."""
    number: int = 1
    """The how manieth commit, message or acknowledgement from then on."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One run that a client asks for."""

    at: float
    piece: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it."""

    seed: int
    partitions: int
    orchestrators: tuple[str, ...]
    replicas: tuple[str, ...]
    """`agent/number`."""
    runs: tuple[Asked, ...]
    faults: tuple[Fault, ...] = ()
    lose: float = 0.0
    double: float = 0.0
    shuffle: float = 0.0
    lag_seconds: float = 0.0
    """A message takes up to so long."""
    skew_seconds: float = 0.0
    """Clocks are up to so far off."""
    is_store_local: bool = True


def plan_of(seed: int) -> Plan:
    """What this seed chooses."""
    dice = Random(seed)
    orchestrators = tuple(f"orchestrator-{n}" for n in range(dice.choice([1, 1, 2, 2, 3])))
    agents = dice.sample(["ada", "bob", "cyd"], dice.choice([1, 2, 2, 3]))
    replicas = tuple(f"{name}/{n}" for name in agents for n in range(dice.choice([1, 1, 2])))
    runs = tuple(
        Asked(
            at=round(dice.uniform(0.0, HEALED_AT * 0.6), 2),
            piece=dice.choice(list(PIECES)),
            number=number,
        )
        for number in range(dice.choice([1, 2, 3, 4]))
    )
    is_noisy = dice.random() < 0.5
    return Plan(
        seed=seed,
        partitions=dice.choice([1, 2, 4]),
        orchestrators=orchestrators,
        replicas=replicas,
        runs=runs,
        faults=_faults(dice, orchestrators, replicas),
        lose=dice.choice([0.0, 0.02, 0.1]) if is_noisy else 0.0,
        double=dice.choice([0.0, 0.05, 0.2]) if is_noisy else 0.0,
        shuffle=dice.choice([0.0, 0.1, 0.3]) if is_noisy else 0.0,
        lag_seconds=dice.choice([0.0, 0.0, 0.02, 0.3]),
        skew_seconds=dice.choice([0.0, 0.0, 0.5, 5.0]),
        is_store_local=dice.random() < 0.5,
    )


def _faults(
    dice: Random, orchestrators: tuple[str, ...], replicas: tuple[str, ...]
) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    for _ in range(dice.choice([0, 1, 1, 2, 2, 3, 5])):
        chance = dice.random()
        what: FaultKind
        if chance < 0.1:
            what, who = "wipe", ""
        elif chance < 0.5:
            what, who = dice.choice(AT_ORCHESTRATORS), dice.choice(orchestrators)
        else:
            what = dice.choice(AT_ANYBODY)
            who = dice.choice((*orchestrators, *replicas))
        faults.append(
            Fault(
                at=round(dice.uniform(0.0, HEALED_AT - 2.0), 2),
                what=what,
                who=who,
                seconds=dice.choice([0.0, 0.1, 1.0, 4.0, 8.0, 15.0]),
                number=dice.choice([1, 1, 1, 2, 3, 5]),
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))


def shown(plan: Plan) -> dict[str, Any]:
    """The plan as it is printed."""
    from dataclasses import asdict

    return asdict(plan)
