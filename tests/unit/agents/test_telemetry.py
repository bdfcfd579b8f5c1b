"""Ids of traces, and spans that arrive at a collector."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import TaskCommand
from dalsegno_bus.telemetry import (
    FinishedSpan,
    SpanEvent,
    attempt_span_id,
    run_span_id,
    start_tracing,
    trace_id,
    traceparent,
)
from tests.unit.agents.conftest import Stage, Text

RUN = RunId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))


def test_ids_follow_from_names_alone_and_never_change() -> None:
    assert trace_id(RUN) == RUN.int
    assert run_span_id(RUN) == 0xCF22DEF22A73BF3B
    assert attempt_span_id(RUN, "gather-3", 2) == 0x41A3B5874779833F
    assert traceparent(RUN, "gather-3", 2) == (
        "00-01890a5dac96774bbcceb302099a8057-41a3b5874779833f-01"
    )


def test_every_attempt_has_a_span_of_its_own() -> None:
    ids = {attempt_span_id(RUN, task, attempt) for task in ("a", "a1", "b") for attempt in (1, 11)}

    assert len(ids | {run_span_id(RUN)}) == 7


def test_without_an_endpoint_nothing_is_built() -> None:
    assert start_tracing(None, "x") is None
    assert start_tracing("", "x") is None


@pytest.mark.slow
def test_names_and_ids_load_no_tracing_library() -> None:
    code = (
        "import sys; from uuid import UUID; import dalsegno_agents.__main__\n"
        "from dalsegno_bus.telemetry import traceparent; traceparent(UUID(int=1), 'a', 1)\n"
        "loaded = [m for m in ('opentelemetry', 'grpc', 'obstore') if m in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans over OTLP and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self._server = grpc.server(ThreadPoolExecutor(1))
        add: Any = getattr(trace_service_pb2_grpc, "add_TraceServiceServicer_to_server")  # noqa: B009  # generated code without types
        add(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        del context
        for resource in request.resource_spans:
            found = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            self.services.add(found["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def span(self, name: str) -> Any:
        return next(span for span in self.spans if span.name == name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def attributes(span: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in span.attributes}


def big(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


@pytest.mark.slow
def test_a_finished_span_arrives_with_the_ids_it_carries(collector: Collector) -> None:
    tracing = start_tracing(collector.endpoint, "dalsegno-projections")
    assert tracing is not None
    child = FinishedSpan(
        name="task a",
        trace_id=trace_id(RUN),
        span_id=attempt_span_id(RUN, "a", 1),
        parent_span_id=run_span_id(RUN),
        start_ns=1_000,
        end_ns=3_000,
        attributes={"dalsegno.task.id": "a", "tries": 1},
        error="it broke",
        events=[SpanEvent(name="assigned", at_ns=2_000)],
        kind="producer",
    )
    root = FinishedSpan(
        name="run w",
        trace_id=trace_id(RUN),
        span_id=run_span_id(RUN),
        parent_span_id=None,
        start_ns=0,
        end_ns=4_000,
    )

    tracing.export([root, child] * 400)
    tracing.shutdown()

    arrived, start = collector.span("task a"), collector.span("run w")
    assert len(collector.spans) == 800
    assert collector.services == {"dalsegno-projections"}
    assert (arrived.trace_id, arrived.span_id) == (RUN.bytes, big(child.span_id, 8))
    assert arrived.parent_span_id == start.span_id == big(run_span_id(RUN), 8)
    assert start.parent_span_id == b""
    assert (arrived.start_time_unix_nano, arrived.end_time_unix_nano) == (1_000, 3_000)
    assert (arrived.status.code, arrived.status.message) == (2, "it broke")
    assert (arrived.events[0].name, arrived.events[0].time_unix_nano) == ("assigned", 2_000)
    assert (arrived.kind, attributes(arrived)["dalsegno.task.id"]) == (4, "a")


@pytest.mark.slow
def test_spans_that_nobody_takes_are_reported_as_not_taken(collector: Collector) -> None:
    tracing = start_tracing(collector.endpoint, "x")
    assert tracing is not None
    tracing.shutdown()

    span = FinishedSpan(name="x", trace_id=1, span_id=1, parent_span_id=None, start_ns=0, end_ns=1)
    with pytest.raises(Unavailable, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        tracing.export([span])


@pytest.mark.slow
@pytest.mark.parametrize("parent", [traceparent(RUN, "a", 1), None, "nonsense"])
def test_the_span_of_a_handler_and_those_within_are_below_the_attempts_span(
    collector: Collector, parent: str | None
) -> None:
    tracing = start_tracing(collector.endpoint, "dalsegno-agent-scribe")
    assert tracing is not None
    command = TaskCommand(
        run_id=RUN, task_id="a", attempt=1, agent="scribe", capability="text.echo", workflow="w"
    )

    with tracing.attempt_scope(command, replica="r1", parent=parent) as scope:
        scope.failed("task.exception", "ValueError: no", ValueError("no"))
    tracing.shutdown()

    span = collector.span("handle text.echo")
    assert span.trace_id == RUN.bytes
    assert span.parent_span_id == big(attempt_span_id(RUN, "a", 1), 8)
    assert (span.status.code, span.status.message) == (2, "ValueError: no")
    assert span.events[0].name == "exception"
    assert attributes(span)["gen_ai.agent.name"] == "scribe"
    assert attributes(span)["dalsegno.agent.replica"] == "r1"
    assert attributes(span)["error.type"] == "task.exception"


@pytest.mark.slow
async def test_a_handlers_own_spans_are_children_of_its_span(
    collector: Collector, stage: Stage
) -> None:
    from opentelemetry import trace

    tracing = start_tracing(collector.endpoint, "dalsegno-agent-scribe")
    assert tracing is not None
    tracing.adopt()
    agent = Agent("scribe")

    @agent.handles("text.think")
    def think(text: Text, context: TaskContext[None]) -> Text:
        del context
        with trace.get_tracer("handlers").start_as_current_span("chat"):
            return text

    async with stage.worker(agent, tracing=tracing):
        await stage.command("text.think")
        await stage.report()
    tracing.shutdown()

    inner, outer = collector.span("chat"), collector.span("handle text.think")
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id == stage.run_id.bytes
    assert outer.parent_span_id == big(attempt_span_id(stage.run_id, "a", 1), 8)
