"""The workflows under chaos, and how each run of them has to end whatever happened meanwhile.

Pure: documents, inputs drawn from a generator that is handed in, and what must come of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
SIGNAL: Final = "go"

_PATIENT: Final = {
    "max_attempts": 50, "delay": "100ms", "factor": 1.5, "max_delay": "1s", "jitter": 0.2,
}  # fmt: skip
"""An attempt whose replica is killed is a failed attempt, and chaos kills many."""


@dataclass(frozen=True)
class Outcome:
    """How a run has to end."""

    status: str
    output: Json = None


@dataclass(frozen=True)
class Play:
    """One workflow: its document, an input for it, and what has to come of that."""

    document: Mapping[str, Any]
    outcome: Callable[[Json], Outcome]
    draw: Callable[[Random], Json] = lambda random: {"value": random.randrange(1_000)}
    waits_for_signal: bool = False

    @property
    def name(self) -> str:
        return str(self.document["workflow"])


def _task(capability: str, value: Json, **more: Any) -> dict[str, Any]:
    return {"capability": capability, "input": {"value": value}, "retry": _PATIENT, **more}


def _document(name: str, tasks: Mapping[str, Any], output: Json) -> dict[str, Any]:
    return {"workflow": name, "version": 1, "tasks": dict(tasks), "output": output}


_CHAIN: Final = Play(
    _document(
        "chain",
        {
            "one": _task("add", "${ input.value }"),
            "two": _task("add", "${ tasks.one.value }"),
            "slow": _task("nap", "${ tasks.two.value }"),
            "last": _task("add", "${ tasks.slow.value }"),
        },
        "${ tasks.last.value }",
    ),
    lambda given: Outcome("completed", given["value"] + 3),
)
_FAN: Final = Play(
    _document(
        "fan",
        {
            "square": _task("square", "${ item }", foreach="${ input.items }", max_parallel=3),
            "all": _task("add", "${ size(tasks.square) }"),
        },
        {"squares": "${ tasks.square.map(one, one.value) }", "count": "${ tasks.all.value }"},
    ),
    lambda given: Outcome(
        "completed",
        {"squares": [item * item for item in given["items"]], "count": len(given["items"]) + 1},
    ),
    lambda random: {"items": [random.randrange(100) for _ in range(random.randint(1, 6))]},
)
_UPHILL: Final = Play(
    _document(
        "uphill",
        {
            "stumble": _task("stumble", "${ input.value }"),
            "elsewhere": _task(
                "capricious",
                "${ tasks.stumble.value }",
                retry={"max_attempts": 2, "delay": "100ms", "jitter": 0.2},
                reroute=[
                    "other_agent",
                    {"capability": "add"},
                    {"wait": "1s"},
                    {"capability": "add"},
                ],
            ),
        },
        "${ tasks.elsewhere.value }",
    ),
    lambda given: Outcome("completed", given["value"] + 2),
)
_SIGN_OFF: Final = Play(
    _document(
        "sign-off",
        {
            "before": _task("add", "${ input.value }"),
            "pause": {"sleep": "700ms", "after": ["before"]},
            "approval": {"wait": {"signal": SIGNAL}, "after": ["pause"]},
            "after": _task("add", "${ tasks.before.value + tasks.approval.bonus }"),
        },
        "${ tasks.after.value }",
    ),
    lambda given: Outcome("completed", given["value"] + 12),
    waits_for_signal=True,
)
_TRIP: Final = Play(
    _document(
        "trip",
        {
            "flight": _task(
                "add",
                "${ input.value }",
                compensate={
                    "capability": "undo",
                    "input": {"value": "${ tasks.flight.value }"},
                    "retry": _PATIENT,
                },
            ),
            "hotel": _task(
                "add",
                "${ tasks.flight.value }",
                compensate={
                    "capability": "undo",
                    "input": {"value": "${ tasks.hotel.value }"},
                    "retry": _PATIENT,
                },
            ),
            "car": _task("refuse", "${ tasks.hotel.value }"),
        },
        "${ tasks.car.value }",
    ),
    lambda given: Outcome("failed", ["hotel", "flight"]),
)
_FAMILY: Final = Play(
    _document(
        "family",
        {
            "child": {
                "workflow": "chain",
                "foreach": "${ input.items }",
                "input": {"value": "${ item }"},
            },
            "sum": _task("add", "${ size(tasks.child) }"),
        },
        {"children": "${ tasks.child }", "count": "${ tasks.sum.value }"},
    ),
    lambda given: Outcome(
        "completed",
        {"children": [item + 3 for item in given["items"]], "count": len(given["items"]) + 1},
    ),
    lambda random: {"items": [random.randrange(100) for _ in range(random.randint(1, 2))]},
)

PLAYS: Final[Mapping[str, Play]] = {
    play.name: play for play in (_CHAIN, _FAN, _UPHILL, _SIGN_OFF, _TRIP, _FAMILY)
}
"""By the name of the workflow; one that is a part of another comes before it."""

SIGNAL_PAYLOAD: Final = {"bonus": 10}
