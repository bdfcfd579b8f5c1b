"""What an agent is: a name, capabilities, and a typed function for each.

Holds no connection and starts nothing: a `Worker` runs it.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from dalsegno_agents.context import TaskContext
from dalsegno_agents.outcomes import Handoff
from dalsegno_agents.values import NotJson, as_json
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import is_token
from dalsegno_bus.messages import AgentCard, CapabilityCard, Json

DepsT = TypeVar("DepsT")
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


class InThread(Protocol):
    """Calls a function in a thread; `asyncio.to_thread` is one."""

    async def __call__(self, function: Callable[..., Any], /, *arguments: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Handler:
    """One capability with the function that does it."""

    capability: str
    function: Callable[..., Any]
    input_type: TypeAdapter[BaseModel]
    output_type: TypeAdapter[Any] | None
    """None: it only ever hands its task on."""
    may_hand_off: bool
    card: CapabilityCard
    is_async: bool

    def read(self, value: Json) -> BaseModel:
        """The function's argument, from what a workflow says.

        Raises:
            pydantic.ValidationError: It does not fit the model.
        """
        # As JSON, so that a strict model takes dates, ids and tuples as JSON says them.
        return self.input_type.validate_json(to_json(value, inf_nan_mode="constants"))

    async def __call__(
        self,
        argument: BaseModel,
        context: TaskContext[Any],
        *,
        in_thread: InThread = asyncio.to_thread,
    ) -> Json:
        """Call the function (a plain one in a thread) and return its output as JSON has it.

        A `Handoff` comes back as one, with its input as JSON.

        Raises:
            NotJson: The output is not what the function promised, or nothing that JSON can say.
        """
        if self.is_async:
            output = self.function(argument, context)
        else:
            output = await in_thread(self.function, argument, context)
        if inspect.isawaitable(output):  # also of a plain wrapper around an async function
            output = await output
        if isinstance(output, Handoff) and self.may_hand_off:
            return output.model_copy(update={"input": as_json(output.input)})
        if isinstance(output, Handoff):
            raise NotJson("a Handoff is not what it promised: annotate it `-> ... | Handoff`")
        if self.output_type is None:
            raise NotJson("it promised a Handoff, and nothing else")
        return as_json(output, self.output_type)


class Agent(Generic[DepsT]):
    """Binds capabilities to handlers.

    Args:
        name: A token; replicas with the same name compete for the same tasks.
        deps: Reaches every handler as `context.deps`.
        version: For people; shown wherever the agent is.
        labels: What workflows may require or prefer (`region: eu`).
        concurrency: How many attempts one replica works on at a time (1 or more).

    Raises:
        UsageError: The name cannot be part of a subject, or the concurrency is below 1.
    """

    def __init__(
        self,
        name: str,
        *,
        deps: DepsT = None,
        version: str = "0",
        description: str = "",
        labels: Mapping[str, str] | None = None,
        concurrency: int = 1,
    ) -> None:
        if not is_token(name):
            raise UsageError(f"an agent's name must match [a-z0-9][a-z0-9_-]*, not {name!r}")
        if concurrency < 1:
            raise UsageError(f"concurrency must be 1 or more, not {concurrency!r}")
        self.name = name
        self.deps = deps
        self.concurrency = concurrency
        self._version = version
        self._description = description
        self._labels = dict(labels or {})
        self._handlers: dict[str, Handler] = {}

    def handles(self, capability: str, *, cost_usd: float = 0.0) -> Callable[[HandlerT], HandlerT]:
        """Register the handler of `capability`. The function comes back unchanged.

        Its first parameter is a pydantic model, its second the `TaskContext`; it may be `async`
        or plain (plain ones run in threads). What it returns is checked against its annotation,
        of which a `Handoff` may be one part.

        Raises:
            UsageError: The capability has a handler already, or the function does not fit.
        """

        def register(function: HandlerT) -> HandlerT:
            if capability in self._handlers:
                raise UsageError(f"agent {self.name!r} handles {capability!r} already")
            self._handlers[capability] = _handler(capability, function, cost_usd)
            return function

        return register

    def handler(self, capability: str) -> Handler | None:
        """Who does `capability` here; None: nobody."""
        return self._handlers.get(capability)

    @property
    def card(self) -> AgentCard:
        """What this agent tells the others about itself."""
        return AgentCard(
            agent=self.name,
            version=self._version,
            description=self._description,
            capabilities=tuple(handler.card for handler in self._handlers.values()),
            labels=self._labels,
            concurrency=self.concurrency,
        )


def _handler(capability: str, function: Callable[..., Any], cost_usd: float) -> Handler:
    parameters = list(inspect.signature(function).parameters)
    hints = get_type_hints(function)
    model = hints.get(parameters[0]) if parameters else None
    if len(parameters) != 2 or not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise UsageError(
            f"the handler of {capability!r} must take two parameters: "
            "a pydantic model (annotated as such) and the TaskContext"
        )
    if "return" not in hints:
        raise UsageError(f"the handler of {capability!r} must say what it returns (`-> Model`)")
    input_type: TypeAdapter[BaseModel] = TypeAdapter(model)
    output, may_hand_off = _promised(hints["return"])
    output_type: TypeAdapter[Any] | None = None if output is Handoff else TypeAdapter(output)
    card = CapabilityCard(
        name=capability,
        description=(inspect.getdoc(function) or "").split("\n", 1)[0],
        input_schema=input_type.json_schema(mode="validation"),
        output_schema=output_type.json_schema(mode="serialization") if output_type else {},
        cost_usd=cost_usd,
    )
    return Handler(
        capability=capability,
        function=function,
        input_type=input_type,
        output_type=output_type,
        may_hand_off=may_hand_off,
        card=card,
        is_async=inspect.iscoroutinefunction(function),
    )


def _promised(annotation: Any) -> tuple[Any, bool]:
    """What a handler returns if it does not hand its task on, and whether it may."""
    if annotation is Handoff or annotation is Any:
        return annotation, True
    if get_origin(annotation) not in {Union, UnionType}:
        return annotation, False
    members = get_args(annotation)
    outputs = tuple(member for member in members if member is not Handoff)
    return Union[outputs], len(outputs) < len(members)  # noqa: UP007  # members known only now
