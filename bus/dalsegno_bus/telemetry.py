"""Names and ids of traces, and the one place that knows OpenTelemetry.

Ids are a function of the history: the trace is the run, a span is a hash of run, task and attempt.
So orchestrator, agents and the trace projection agree without talking, and a run of any age can be
sent again from its history. Names and ids cost string work only; the SDK and its exporter are
imported by `start_tracing`, and never in a process that has no endpoint.

Attribute names follow OpenTelemetry's conventions for messaging and generative AI where they fit,
and are `dalsegno.*` where they do not.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Thread
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import TaskCommand

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Span

# --- names ------------------------------------------------------------------------------------

SERVICE_PREFIX: Final = "dalsegno-"
"""A service is called `dalsegno-orchestrator`, `dalsegno-agent-<name>` and so on."""
SCOPE: Final = "dalsegno"
"""The instrumentation scope of every span that Dalsegno makes itself."""

RUN_SPAN: Final = "run"
"""Span of a run: `run <workflow>`; the root of its trace."""
ATTEMPT_SPAN: Final = "task"
"""Span of an attempt, from its assignment to its end: `task <task>`."""
HANDLE_SPAN: Final = "handle"
"""Span of a handler at work, made by its replica: `handle <capability>`."""

RUN_ID: Final = "dalsegno.run.id"
RUN_STATUS: Final = "dalsegno.run.status"
WORKFLOW_VERSION: Final = "dalsegno.workflow.version"
TASK_ID: Final = "dalsegno.task.id"
ATTEMPT: Final = "dalsegno.task.attempt"
TASK_STATUS: Final = "dalsegno.task.status"
CAPABILITY: Final = "dalsegno.capability"
REPLICA: Final = "dalsegno.agent.replica"
REASON: Final = "dalsegno.assignment.reason"
QUEUE_SECONDS: Final = "dalsegno.queue.duration_seconds"
WORK_SECONDS: Final = "dalsegno.work.duration_seconds"
COST_USD: Final = "dalsegno.usage.usd"
TOKENS: Final = "dalsegno.usage.tokens"
WORKFLOW: Final = "gen_ai.workflow.name"
AGENT: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
OPERATION: Final = "gen_ai.operation.name"
INVOKE_AGENT: Final = "invoke_agent"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_OPERATION: Final = "messaging.operation.type"
MESSAGE_ID: Final = "messaging.message.id"
ERROR_TYPE: Final = "error.type"
LINK: Final = "dalsegno.link"
"""What a link leads to: `child` or `parent`."""

# --- ids --------------------------------------------------------------------------------------


def trace_id(run_id: RunId) -> int:
    """The trace of a run: its id, 128 bits."""
    return run_id.int


def run_span_id(run_id: RunId) -> int:
    """The root span of a run: 64 bits, never 0."""
    return _span_id(f"run\n{run_id}")


def attempt_span_id(run_id: RunId, task_id: str, attempt: int) -> int:
    """The span of one attempt (from 1): 64 bits, never 0, the same in every process."""
    return _span_id(f"attempt\n{run_id}\n{task_id}\n{attempt}")


def traceparent(run_id: RunId, task_id: str, attempt: int) -> str:
    """The header that names the attempt's span as the parent (W3C trace context, sampled)."""
    return f"00-{run_id.hex}-{attempt_span_id(run_id, task_id, attempt):016x}-01"


def _span_id(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") or 1


# --- spans ------------------------------------------------------------------------------------

Attribute: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[str, Attribute]
Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]

_EXPORT_SPANS_MAX: Final = 512
"""In one request, so that it stays below what collectors accept (4 MiB)."""
_FLUSH_SECONDS_MAX: Final = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanEvent:
    """Something that happened within a span; `at_ns` counts from 1970 (UTC)."""

    name: str
    at_ns: int
    attributes: Attributes = field(default_factory=dict[str, Attribute])


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanLink:
    """Leads to a span of this or another trace that is no parent; that one need not exist yet."""

    trace_id: int
    span_id: int
    attributes: Attributes = field(default_factory=dict[str, Attribute])


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedSpan:
    """A span with all it will ever say, made from the history; times count from 1970 (UTC)."""

    name: str
    trace_id: int
    span_id: int
    parent_span_id: int | None
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict[str, Attribute])
    error: str | None = None
    """Why it failed; None: it did not."""
    events: Sequence[SpanEvent] = ()
    links: Sequence[SpanLink] = ()
    kind: Kind = "internal"


class HandlerSpan:
    """The span of one handler at work."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    def failed(self, code: str, message: str, error: BaseException | None = None) -> None:
        """Record how the handler failed: the report's code and sentence, and the exception."""
        from opentelemetry.trace import StatusCode

        if error is not None:
            self._span.record_exception(error)
        self._span.set_attribute(ERROR_TYPE, code)
        self._span.set_status(StatusCode.ERROR, message)


class Tracing:
    """Sends spans to one endpoint. Built by `start_tracing`; whoever built it shuts it down."""

    def __init__(self, provider: "TracerProvider", exporter: "OTLPSpanExporter") -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer(SCOPE)

    def adopt(self) -> None:
        """Let `opentelemetry.trace.get_tracer` in this process make spans that go the same way.

        Meant for a process that runs other people's handlers. The first in a process wins.
        """
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    @contextmanager
    def attempt_scope(
        self, command: TaskCommand, *, replica: str, parent: str | None = None
    ) -> Generator[HandlerSpan, None, None]:
        """Make the span of a handler, and every span made inside, children of the attempt's span.

        Args:
            command: What the handler works on.
            replica: Who works.
            parent: The `traceparent` header of the command; absent or broken, it is derived.
        """
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(
            f"{HANDLE_SPAN} {command.capability}",
            context=_parent_of(command, parent),
            kind=SpanKind.CONSUMER,
            attributes={
                OPERATION: INVOKE_AGENT,
                AGENT: command.agent,
                WORKFLOW: command.workflow,
                REPLICA: replica,
                CAPABILITY: command.capability,
                RUN_ID: str(command.run_id),
                TASK_ID: command.task_id,
                ATTEMPT: command.attempt,
                MESSAGING_SYSTEM: "nats",
                MESSAGING_OPERATION: "process",
            },
        ) as span:
            yield HandlerSpan(span)

    def export(self, spans: Sequence[FinishedSpan]) -> None:
        """Send finished spans with the ids that they carry. Blocks; call it from a thread.

        Sending a span again overwrites or repeats it, as the backend does; ids do not change.

        Raises:
            Unavailable: The endpoint did not take them all; send them all again later.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        readable = [_readable(span, self._provider) for span in spans]
        for start in range(0, len(readable), _EXPORT_SPANS_MAX):
            result = self._exporter.export(readable[start : start + _EXPORT_SPANS_MAX])
            if result is not SpanExportResult.SUCCESS:
                raise Unavailable(
                    "the trace endpoint did not take the spans; "
                    "check OTEL_EXPORTER_OTLP_ENDPOINT and that a collector listens there"
                )

    def shutdown(self) -> None:
        """Send what is buffered (for a few seconds at most), then disconnect. Blocks."""
        flush = Thread(target=self._provider.force_flush, daemon=True)
        flush.start()  # in a thread of its own: the SDK's flush keeps no time limit
        flush.join(_FLUSH_SECONDS_MAX)
        if flush.is_alive():
            # Ends its retries. The SDK leaves its keyword arguments without a type.
            self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType]
        self._provider.shutdown()


def start_tracing(endpoint: str | None, service_name: str) -> Tracing | None:
    """Begin to send spans to `endpoint` (OTLP over gRPC); None without one.

    `http://` means an open channel, `https://` an encrypted one. Nothing is connected yet: an
    endpoint that is away costs its spans, never a task.
    """
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    insecure = True if endpoint.startswith("http://") else None
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
    provider = TracerProvider(
        resource=Resource.create({"service.name": service_name}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, exporter)


def _parent_of(command: TaskCommand, parent: str | None) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    if parent is not None:
        context = propagator.extract({"traceparent": parent}, context=Context())
        if get_current_span(context).get_span_context().is_valid:
            return context
    derived = traceparent(command.run_id, command.task_id, command.attempt)
    return propagator.extract({"traceparent": derived}, context=Context())


def _readable(span: FinishedSpan, provider: "TracerProvider") -> "ReadableSpan":
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: int, trace_id: int = span.trace_id) -> SpanContext:
        sampled = TraceFlags(TraceFlags.SAMPLED)
        is_remote = trace_id != span.trace_id
        return SpanContext(trace_id, span_id, is_remote=is_remote, trace_flags=sampled)

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=None if span.parent_span_id is None else context(span.parent_span_id),
        resource=provider.resource,
        attributes=dict(span.attributes),
        events=[Event(event.name, dict(event.attributes), event.at_ns) for event in span.events],
        links=[
            Link(context(link.span_id, link.trace_id), dict(link.attributes)) for link in span.links
        ],
        kind=SpanKind[span.kind.upper()],
        status=Status() if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope(SCOPE),
    )
