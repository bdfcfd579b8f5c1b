"""A replica: what it takes, how often it works, what it answers."""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from dalsegno_agents.returned import BEGUN_MAX
from dalsegno_agents.worker import UNSENT_MAX
from dalsegno_bus.bus import Outcome, Outgoing
from dalsegno_bus.codec import MESSAGE_ID, TRACEPARENT
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.memory import Faults, MemoryBroker, MemoryBus
from dalsegno_bus.messages import CompletedReport, FailedReport, TaskCommand
from dalsegno_bus.telemetry import traceparent
from dalsegno_bus.topology import agent_consumer
from tests.unit.agents.conftest import Scribe, Stage, until


class CountingBus(MemoryBus):
    """Writes down what goes into the streams, call by call."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.stored: list[list[Outgoing]] = []

    async def store(self, messages: Sequence[Outgoing]) -> Sequence[Outcome]:
        self.stored.append(list(messages))
        return await super().store(messages)


async def redeliver(stage: Stage) -> None:
    """Let the broker hand out again what nobody has acknowledged."""
    consumer = agent_consumer(stage.subjects, "scribe")
    reader = stage.broker.streams["T_TASKS"].readers[consumer.name]
    for sequence in list(stage.broker.streams["T_TASKS"].held):
        reader.postpone(sequence, stage.broker.clock.now())
    stage.broker.ring()


async def test_reports_carry_a_stable_id_and_the_trace_of_their_attempt(stage: Stage) -> None:
    scribe, bus = Scribe(), CountingBus(stage.broker)
    async with stage.worker(scribe.agent, bus=bus) as worker:
        await stage.command("text.echo")
        await stage.report()

    (message,) = bus.stored[0]
    assert message.subject == stage.subjects.report("scribe", stage.run_id)
    assert message.headers[MESSAGE_ID] == f"{stage.run_id}.a.1.{worker.replica}"
    assert message.headers[TRACEPARENT] == traceparent(stage.run_id, "a", 1)


async def test_attempts_are_worked_on_together_up_to_the_concurrency(stage: Stage) -> None:
    scribe = Scribe(concurrency=3)
    async with stage.worker(scribe.agent):
        for task in range(10):
            await stage.command("text.wait", task_id=f"t{task}")
        await until(lambda: scribe.at_work == 3)
        scribe.gate.set()
        reports = await stage.reports(10)

    assert scribe.most_at_work == 3
    assert len({report.task_id for report in reports}) == 10


async def test_the_settings_override_the_agents_concurrency(stage: Stage) -> None:
    scribe = Scribe(concurrency=3)
    async with stage.worker(scribe.agent, concurrency=1):
        for task in range(4):
            await stage.command("text.wait", task_id=f"t{task}")
        await until(lambda: scribe.at_work == 1)
        scribe.gate.set()
        await stage.reports(4)

    assert scribe.most_at_work == 1


async def test_what_finishes_together_goes_out_together(stage: Stage) -> None:
    scribe, bus = Scribe(concurrency=50), CountingBus(stage.broker)
    async with stage.worker(scribe.agent, bus=bus):
        for task in range(50):
            await stage.command("text.wait", task_id=f"t{task}")
        await until(lambda: scribe.at_work == 50)
        scribe.gate.set()
        await stage.reports(50)

    assert len(bus.stored) <= 2


async def test_nothing_is_acknowledged_before_its_report_is_stored(stage: Stage) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        stage.fill_inbox(full=True)
        await stage.command("text.echo")
        await until(lambda: scribe.worked == ["a"])
        await until(lambda: not stage.held("T_INBOX"))
        assert len(stage.held("T_TASKS")) == 1
        stage.fill_inbox(full=False)
        report = await stage.report()
        await stage.settled()

    assert isinstance(report, CompletedReport)
    assert scribe.worked == ["a"]


async def test_while_no_report_can_be_stored_only_so_many_attempts_are_taken(stage: Stage) -> None:
    scribe = Scribe(concurrency=4)
    count = UNSENT_MAX + 50
    async with stage.worker(scribe.agent):
        stage.fill_inbox(full=True)
        for task in range(count):
            await stage.command("text.echo", task_id=f"t{task}")
        await until(lambda: len(scribe.worked) >= UNSENT_MAX)
        assert len(scribe.worked) <= UNSENT_MAX + 4
        stage.fill_inbox(full=False)
        reports = await stage.reports(count)

    assert len({report.task_id for report in reports}) == count
    assert len(scribe.worked) == count


async def test_an_attempt_delivered_again_after_its_report_is_answered_and_not_worked_again(
    stage: Stage,
) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent) as worker:
        command = await stage.command("text.echo", {"text": "la"})
        first = await stage.report()
        await stage.settled()
        await stage.publish(command)
        second = await stage.report()
        await stage.settled()

    assert first == second
    assert scribe.worked == ["a"]
    assert worker.tally.answered_again == 1


async def test_a_failure_is_answered_again_as_it_was(stage: Stage) -> None:
    scribe = Scribe()
    async with stage.worker(scribe.agent):
        command = await stage.command("text.echo", {"text": 3})
        first = await stage.report()
        await stage.settled()
        await stage.publish(command)
        second = await stage.report()

    assert isinstance(first, FailedReport)
    assert first == second


async def test_an_attempt_delivered_again_while_it_is_worked_on_is_not_begun_twice(
    stage: Stage,
) -> None:
    scribe = Scribe(concurrency=2)
    async with stage.worker(scribe.agent):
        await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        await redeliver(stage)
        await stage.command("text.echo", task_id="b")  # it comes behind the second copy
        assert (await stage.report()).task_id == "b"
        scribe.gate.set()
        assert (await stage.report()).task_id == "a"
        await stage.settled()
        assert not stage.held("T_INBOX")

    assert scribe.worked == ["a", "b"]


async def test_a_copy_from_before_the_servers_lost_their_bytes_is_acknowledged_with_the_other(
    stage: Stage,
) -> None:
    scribe = Scribe(concurrency=2)
    async with stage.worker(scribe.agent):
        command = await stage.command("text.wait")
        await until(lambda: scribe.at_work == 1)
        stage.broker.forget()
        await stage.publish(command)
        await stage.command("text.echo", task_id="b")
        assert (await stage.report()).task_id == "b"
        scribe.gate.set()
        assert (await stage.report()).task_id == "a"
        await stage.settled()

    assert scribe.worked == ["a", "b"]


async def die_at_work(stage: Stage, scribe: Scribe) -> None:
    """A replica begins what is there, and is gone."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stage.build(scribe.agent).run())
        await until(lambda: scribe.at_work == 1)
        running.cancel()
    await redeliver(stage)


@pytest.mark.parametrize(("deaths", "poison"), [(BEGUN_MAX - 1, False), (BEGUN_MAX, True)])
async def test_an_attempt_that_ended_so_many_replicas_is_reported_as_poison(
    stage: Stage, deaths: int, poison: bool
) -> None:
    scribe = Scribe()
    command = await stage.command("text.wait")
    for _ in range(deaths):
        await die_at_work(stage, scribe)
    scribe.gate.set()
    async with stage.worker(scribe.agent):
        report = await stage.report()
        await stage.settled()
        await stage.publish(command)
        assert report == await stage.report()

    assert isinstance(report, FailedReport if poison else CompletedReport)
    assert len(scribe.worked) == BEGUN_MAX
    if isinstance(report, FailedReport):
        assert (report.error.code, report.retryable) == ("task.poison", False)


async def test_an_attempt_that_was_only_handed_on_is_no_poison(stage: Stage) -> None:
    scribe = Scribe()
    await stage.bus.provision(stage.topology("scribe"))
    await stage.command("text.echo")
    async with stage.bus.pull([agent_consumer(stage.subjects, "scribe")], ahead=1) as pull:
        for count in range(1, 21):
            (delivery,) = await pull.batch(limit=1)
            assert delivery.deliveries == count
            await redeliver(stage)

    async with stage.worker(scribe.agent):
        report = await stage.report()

    assert isinstance(report, CompletedReport)


def other_task() -> bytes:
    command = TaskCommand(
        run_id=new_run_id(),
        task_id="No Token",
        attempt=1,
        agent="scribe",
        capability="text.echo",
        workflow="w",
    )
    return command.model_dump_json().encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "Invalid JSON"),
        (b'{"kind":"task-command.v9"}', "kind"),
        (b'{"kind":"task-command.v1"}', "run_id"),
        (other_task(), "task_id"),
    ],
)
async def test_what_is_no_command_goes_to_the_dead_letters_and_stops_nothing(
    stage: Stage, body: bytes, reason: str
) -> None:
    scribe = Scribe()
    subject = stage.subjects.task("scribe", stage.run_id, "z", 1)
    async with stage.worker(scribe.agent) as worker:
        for _ in range(2):
            await stage.bus.store([Outgoing(subject, body, {"ce-id": "7"})])
            await stage.settled()
        await stage.command("text.echo")
        report = await stage.report()

    letters = stage.dead()
    assert isinstance(report, CompletedReport)
    assert worker.tally.dead == len(letters) == 2
    assert letters[0].subject == subject
    assert reason in letters[0].reason
    assert b64decode(letters[0].body_base64) == body
    assert letters[0].headers == {"ce-id": "7"}


@pytest.mark.slow
async def test_a_long_attempt_keeps_its_delivery(stage: Stage) -> None:
    scribe, other = Scribe(), Scribe()
    async with (
        stage.worker(scribe.agent, ack_wait_seconds=0.6),
        stage.worker(other.agent, ack_wait_seconds=0.6),
    ):
        await stage.command("text.wait")
        await until(lambda: scribe.at_work + other.at_work == 1)
        first = stage.due("scribe")
        await until(lambda: stage.due("scribe") >= first + timedelta(seconds=1.2))
        scribe.gate.set()
        other.gate.set()
        await stage.report()
        await stage.settled()

    assert len(scribe.worked + other.worked) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_over_an_unreliable_bus_every_attempt_is_answered(seed: int, stage: Stage) -> None:
    stage.broker.faults = Faults(seed=seed, lose=0.15, double=0.2, shuffle=0.3)
    scribe = Scribe(concurrency=8)
    answered: set[Any] = set()
    async with stage.worker(scribe.agent, ack_wait_seconds=0.3):
        for task in range(40):
            await stage.command("text.echo", task_id=f"t{task}")
        async with asyncio.timeout(30):
            while len(answered) < 40:
                answered.add((await stage.report()).task_id)
        await stage.settled()

    assert sorted(scribe.worked) == sorted(f"t{task}" for task in range(40))
