"""The agents of the example workflows: `ada`, `bob` and `cyd`, and what each of them can do.

The handlers stand beside the workflows that they serve, in `tests/workflows/<example>/agents.py`.
In a story the three are in the directory; in the end-to-end test each is a process of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])

EXAMPLES: Final = Path(__file__).parents[1] / "workflows"
LABELS: Final = {
    "ada": {"region": "eu", "tier": "fast"},
    "bob": {"region": "us", "tier": "fast"},
    "cyd": {"region": "eu", "tier": "thorough"},
}


@dataclass(frozen=True)
class Part:
    """One capability, who has it, and the function that does it."""

    capability: str
    by: tuple[str, ...]
    function: Callable[..., Any]


@dataclass
class Cast:
    """The capabilities that one example needs."""

    parts: list[Part] = field(default_factory=list[Part])

    def handles(
        self, capability: str, *, by: tuple[str, ...] = ("ada",)
    ) -> Callable[[HandlerT], HandlerT]:
        """Have these agents do `capability` with a function; see `Agent.handles`."""

        def register(function: HandlerT) -> HandlerT:
            self.parts.append(Part(capability, by, function))
            return function

        return register


def example_names() -> list[str]:
    """Every example, by the name of its folder."""
    return sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.yaml"))


def module_of(example: str, name: str) -> Any:
    """A Python file of an example."""
    return import_module(f"workflows.{example}.{name}")


def parts_of(example: str) -> list[Part]:
    """What the agents can do for one example."""
    cast: Cast = module_of(example, "agents").cast
    return cast.parts


def all_parts() -> Iterator[Part]:
    """What the agents can do, for all examples together."""
    for example in example_names():
        yield from parts_of(example)
