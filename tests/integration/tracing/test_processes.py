"""One run is one trace, over processes: the orchestrator, an agent, the projections."""

from pathlib import Path

import pytest
from integration.tracing.conftest import Collector, Services, until

from dalsegno_bus import telemetry as t
from dalsegno_bus.bus import Bus
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.nats import connect
from support.world import World

MODULE = """
from opentelemetry import trace
from pydantic import BaseModel
from dalsegno_agents import Agent, TaskContext, TaskRejected

class Text(BaseModel):
    text: str

scribe = Agent("scribe")

@scribe.handles("text.loud")
async def loud(text: Text, context: TaskContext) -> Text:
    with trace.get_tracer("scribes").start_as_current_span("shout"):
        return Text(text=text.text.upper())

@scribe.handles("text.fail")
def fail(text: Text, context: TaskContext) -> Text:
    raise TaskRejected("too quiet", code="text.quiet")
"""

TASKS = {
    "loud": {"capability": "text.loud", "input": {"text": "${ input }"}},
    "fail": {
        "capability": "text.fail",
        "input": "${ tasks.loud }",
        "on_error": "continue",
    },
    "again": {"capability": "text.loud", "input": {"text": "x"}, "after": ["fail"]},
}


@pytest.mark.slow
async def test_spans_of_all_processes_make_one_trace(
    tmp_path: Path,
    namespace: str,
    nats_server: EmbeddedServer,
    collector: Collector,
    services: Services,
) -> None:
    opened: list[Bus] = []

    async def open_one() -> Bus:
        opened.append(await connect(nats_server.url, name="test"))
        return opened[-1]

    world = World(open_one, namespace, tmp_path, await open_one())
    (tmp_path / "scribes.py").write_text(MODULE)
    services.environment = {
        "DALSEGNO_NATS_URL": nats_server.url,
        "DALSEGNO_NAMESPACE": namespace,
        "DALSEGNO_PARTITIONS": str(world.settings.partitions),
        "DALSEGNO_STORE_URL": world.settings.store_url,
        "DALSEGNO_ARTIFACTS_URL": world.settings.artifacts_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    agent = services.start("dalsegno_agents", "scribes:scribe")
    projections = services.start("dalsegno_projections")
    async with world.orchestrator():
        await world.register("talk", TASKS)
        await world.until_known("scribe")
        accepted = await world.client.start("talk", "hello")
        await world.result(accepted.run_id)
    await until(lambda: len(collector.spans) >= 9)
    assert services.stop(agent) == services.stop(projections) == 0

    run_id = accepted.run_id
    assert collector.names() == [
        "handle text.fail",
        "handle text.loud",
        "handle text.loud",
        "run talk",
        "shout",
        "shout",
        "task again",
        "task fail",
        "task loud",
    ]
    assert {span["trace"] for span in collector.spans} == {run_id.hex}
    by_id = {span["id"]: span for span in collector.spans}
    root = collector.named("run talk")
    assert root["parent"] is None
    for task in ("loud", "fail", "again"):
        attempt = collector.named(f"task {task}")
        assert attempt["parent"] == root["id"]
        assert attempt["id"] == f"{t.attempt_span_id(run_id, task, 1):016x}"
        (handled,) = [span for span in collector.spans if span["parent"] == attempt["id"]]
        assert handled["service"] == "dalsegno-agent-scribe"
        assert attempt["service"] == "dalsegno-orchestrator"
        assert attempt["start_ns"] <= handled["start_ns"] <= handled["end_ns"]
        assert handled["attributes"][t.TASK_ID] == task
    for shout in (span for span in collector.spans if span["name"] == "shout"):
        assert by_id[shout["parent"]]["name"] == "handle text.loud"
    for name in ("task fail", "handle text.fail"):
        failed = collector.named(name)
        assert (failed["status"], failed["message"]) == ("STATUS_CODE_ERROR", "too quiet")
        assert failed["attributes"][t.ERROR_TYPE] == "text.quiet"
    assert root["status"] == "STATUS_CODE_UNSET"

    world.store.close()
    for bus in opened:
        await bus.close()
