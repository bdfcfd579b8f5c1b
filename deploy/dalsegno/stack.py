"""A local stack: NATS, one orchestrator, one projections service and agents, each its own process.

Owns the order in which they start and stop, and that none is left behind. Ready means: they answer.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter

from dalsegno.layout import Layout
from dalsegno.lock import alone_in
from dalsegno.processes import Processes, Program, python
from dalsegno_bus.bus import Bus
from dalsegno_bus.client import Client
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import decode
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import RunRejected, SettingsError, Unavailable
from dalsegno_bus.messages import Presence
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of
from dalsegno_bus.waiting import WAITS
from dalsegno_projections.asking import LAG, ask
from dalsegno_projections.questions import AskLag

READY_SECONDS_MAX: Final = 60.0
"""How long everything together may take until it answers."""
_LOOK_SECONDS: Final = 0.1
_DEFAULTS: Final = {"DALSEGNO_LOG_FORMAT": "text", "DALSEGNO_DRAIN_SECONDS": "5"}
"""Of the services of a local stack: logs are for people, and nobody waits long for a stop."""
_AGENT: Final = "agent-"
_ASK_SECONDS: Final = 1.0
_KNOCK: Final = {"workflow": "knock"}
"""No definition: it has no tasks."""
_PRESENCE: TypeAdapter[Presence] = TypeAdapter(Presence)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack that runs: everything in it has answered once."""

    layout: Layout
    nats_url: str
    environment: Mapping[str, str]
    """Everything that a further process needs to belong to this stack."""
    processes: Processes
    services: Mapping[str, Program]
    """What was started, by name, to be started again if need be."""
    bus: Bus

    @property
    def subjects(self) -> Subjects:
        return Subjects(namespace=self.layout.namespace, partitions=self.layout.partitions)

    @property
    def client(self) -> Client:
        return Client(self.bus, self.subjects, source="cli")


@asynccontextmanager
async def running(layout: Layout, *, tell: Callable[[str], None]) -> AsyncGenerator[Stack]:
    """Start a stack, hand it over when everything in it answers, stop it at the end in any case.

    Args:
        layout: What to start, and where its files go.
        tell: Hears what is being done, for people.

    Raises:
        UsageError: A stack runs in this folder already.
        SettingsError: The port for NATS is in use, a folder cannot be written, …
        Unavailable: A service ended at once (with the end of its log), or does not answer.
    """
    async with contextlib.AsyncExitStack() as cleanup:
        await cleanup.enter_async_context(alone_in(layout.folder))
        nats_url = await _nats(layout, cleanup, tell)
        layout.write_note(nats_url)
        environment = {**_DEFAULTS, **layout.environment, "DALSEGNO_NATS_URL": nats_url}
        processes = Processes(layout.logs)
        cleanup.push_async_callback(_stop, processes)
        bus = await connect(nats_url, name="stack")
        cleanup.push_async_callback(bus.close)
        subjects = Subjects(namespace=layout.namespace, partitions=layout.partitions)
        await bus.provision(topology_of(subjects))
        began = utc_now()
        services = {program.name: program for program in _services(layout, environment)}
        stack = Stack(
            layout=layout,
            nats_url=nats_url,
            environment=environment,
            processes=processes,
            services=services,
            bus=bus,
        )
        tell(f"starting {len(services)} services")
        for program in services.values():
            processes.start(program)
        await _until_ready(stack, began, tell)
        yield stack


async def _nats(
    layout: Layout, cleanup: contextlib.AsyncExitStack, tell: Callable[[str], None]
) -> str:
    """The address of NATS: of a server that is started, or of the one that is there."""
    if layout.nats_port is None:
        return layout.nats_url
    tell("starting NATS")
    server = EmbeddedServer(layout.nats_data, port=layout.nats_port)
    cleanup.callback(server.stop)  # also if it is interrupted before it is ready
    try:
        await server.__aenter__()
    except SettingsError as error:
        raise SettingsError(
            f"{error} (DALSEGNO_NATS_URL=nats://127.0.0.1:{layout.nats_port + 1}, for example; "
            "with --folder DIR, a free one is taken)"
        ) from error
    return server.url


def _services(layout: Layout, environment: Mapping[str, str]) -> list[Program]:
    """Everything but NATS, in order of start."""
    programs = [
        Program(
            name="orchestrator",
            arguments=python("dalsegno_orchestrator"),
            environment=environment,
        ),
        Program(
            name="projections", arguments=python("dalsegno_projections"), environment=environment
        ),
    ]
    names: dict[str, int] = {}
    for target in layout.agents:
        word = target.partition(":")[0].rpartition(".")[2]
        names[word] = names.get(word, 0) + 1
        number = "" if names[word] == 1 else f"-{names[word]}"
        arguments = python("dalsegno_agents", target)
        programs.append(
            Program(name=f"{_AGENT}{word}{number}", arguments=arguments, environment=environment)
        )
    return programs


async def _until_ready(stack: Stack, began: datetime, tell: Callable[[str], None]) -> None:
    """Wait until everybody answers; give up as soon as somebody has ended."""
    missing: set[str] = set()
    try:
        async with asyncio.timeout(READY_SECONDS_MAX), asyncio.TaskGroup() as group:
            watcher = group.create_task(nobody_ends(stack.processes))
            teller = group.create_task(_tell_who_waits(stack.processes, tell))
            async with asyncio.TaskGroup() as waiting:
                for name, answered in (
                    ("the orchestrator", _orchestrator_answers(stack)),
                    ("the projections", _projections_answer(stack)),
                    ("an agent", _agents_are_present(stack, began, tell)),
                ):
                    missing.add(name)
                    waiting.create_task(_struck(name, answered, missing))
            watcher.cancel()
            teller.cancel()
    except TimeoutError as error:
        waiting_for = _who_waits(stack.processes).values()
        raise Unavailable(
            f"{' and '.join(sorted(missing))} did not answer within {READY_SECONDS_MAX:g} s; "
            + "".join(f"{words}; " for words in waiting_for)
            + f"see the logs in {stack.layout.logs}"
        ) from error


async def _tell_who_waits(processes: Processes, tell: Callable[[str], None]) -> None:
    told: dict[str, str] = {}
    while True:
        for name, words in _who_waits(processes).items():
            if told.get(name) != words:
                told[name] = words
                tell(f"  {words}")
        await asyncio.sleep(_LOOK_SECONDS)


def _who_waits(processes: Processes) -> dict[str, str]:
    """What keeps services from beginning, by their names, as the last lines of their logs say."""
    waiting: dict[str, str] = {}
    for child in processes.children:
        last = "".join(child.last_lines(1))
        if WAITS in last:
            reason = last.partition("reason=")[2].strip("'\"")
            waiting[child.name] = f"{child.name} waits: {reason or last}"
    return waiting


async def _stop(processes: Processes) -> None:
    """The agents first and all at once, then what they report to."""
    agents = [child for child in processes.children if child.name.startswith(_AGENT)]
    await processes.stop(*agents)
    await processes.stop(*processes.children)


async def _struck(name: str, answered: Coroutine[Any, Any, None], missing: set[str]) -> None:
    """Strike a name off the list of the missing once it has answered."""
    await answered
    missing.discard(name)


async def nobody_ends(processes: Processes) -> None:
    """Watch, for ever, that every service goes on.

    Raises:
        Unavailable: One has ended; says how, and what it wrote last.
    """
    while True:
        processes.check()
        await asyncio.sleep(_LOOK_SECONDS)


async def _orchestrator_answers(stack: Stack) -> None:
    """Ask for something that is refused: nothing is recorded, and a refusal is an answer."""
    with contextlib.suppress(RunRejected):
        await stack.client.register(_KNOCK, timeout_seconds=READY_SECONDS_MAX)


async def _projections_answer(stack: Stack) -> None:
    while True:
        try:
            await ask(stack.bus, stack.subjects, LAG, AskLag(), timeout_seconds=_ASK_SECONDS)
        except Unavailable:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return


async def _agents_are_present(stack: Stack, began: datetime, tell: Callable[[str], None]) -> None:
    """Wait until as many replicas as were started say that they are here, since we began."""
    wanted = len(stack.layout.agents)
    present: set[str] = set()
    if not wanted:
        return
    async with stack.bus.bucket(stack.subjects.agents_bucket).watch() as entries:
        async for entry in entries:
            if entry is None or entry.value is None or not entry.key.startswith("live."):
                continue
            presence = decode(_PRESENCE, entry.value)
            if presence.started_at >= began and entry.key not in present:
                present.add(entry.key)
                tell(f"  {presence.agent} is here")
            if len(present) >= wanted:
                return
