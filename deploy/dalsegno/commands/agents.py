"""`dalsegno agents`: which agents there are, who is here now, and what each has done."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from pydantic import TypeAdapter

from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, console, print_json, say, seconds, table, typed
from dalsegno.session import Session, session
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DalsegnoError, DecodeFailed
from dalsegno_bus.messages import AgentCard, Presence
from dalsegno_projections.asking import AGENTS
from dalsegno_projections.questions import AgentSummary, AskAgents

_CARD: Final[TypeAdapter[AgentCard]] = TypeAdapter(AgentCard)
_PRESENCE: Final[TypeAdapter[Presence]] = TypeAdapter(Presence)


@dataclass
class Known:
    """All that is known of one agent."""

    name: str
    card: AgentCard | None = None
    replicas: list[Presence] = field(default_factory=list[Presence])
    record: AgentSummary | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "agent": self.name,
            "card": self.card.model_dump(mode="json") if self.card else None,
            "replicas": [replica.model_dump(mode="json") for replica in self.replicas],
            "record": self.record.model_dump(mode="json") if self.record else None,
        }


@click.group(
    help="""Which agents there are.

    \b
    Examples:
      dalsegno agents list
      dalsegno agents list --json
    """
)
def agents() -> None:
    """Which agents there are."""


@agents.command("list")
@folder_option
@json_option
def list_agents(folder: Path | None, as_json: bool) -> None:
    r"""List agents: who is here now, what each can do, and what it has done.

    \b
    Examples:
      dalsegno agents list
    """
    known = asyncio.run(_known(folder))
    if as_json:
        print_json([agent.as_json() for agent in known])
    elif not known:
        say(f"no agents; start one: {typed('agent MODULE:AGENT', folder)}")
    else:
        rows = [_row(agent) for agent in known]
        headers = ("Agent", ">Here", ">Busy", ">Done", ">Failed", ">Mean work", "*Capabilities")
        console().print(table(*headers, rows=rows))


async def _known(folder: Path | None) -> list[Known]:
    async with session(folder) as here:
        known = await _present(here)
        try:
            records = (await here.ask(AGENTS, AskAgents())).agents
        except DalsegnoError as error:
            say(f"what they have done is not known: {error}")
            records = []
        for record in records:
            known.setdefault(record.agent, Known(record.agent)).record = record
    return [known[name] for name in sorted(known)]


async def _present(here: Session) -> dict[str, Known]:
    """Cards and presences, as they stand."""
    known: dict[str, Known] = {}
    async with here.bus.bucket(here.subjects.agents_bucket).watch() as entries:
        async for entry in entries:
            if entry is None:
                return known
            if entry.value is None:
                continue
            kind, _, rest = entry.key.partition(".")
            agent = known.setdefault(rest.partition(".")[0], Known(rest.partition(".")[0]))
            try:
                if kind == "card":
                    agent.card = decode(_CARD, entry.value)
                elif kind == "live":
                    agent.replicas.append(decode(_PRESENCE, entry.value))
            except DecodeFailed as error:
                say(f"{entry.key} is not understood: {error}")
    return known


def _row(agent: Known) -> tuple[Any, ...]:
    record = agent.record
    capabilities = [one.name for one in agent.card.capabilities] if agent.card else []
    busy = sum(len(replica.working) for replica in agent.replicas)
    here = str(len(agent.replicas)) if agent.replicas else cell("none", "yellow")
    return (
        cell(agent.name),
        here,
        str(busy) if busy else "",
        str(record.completed) if record else "",
        str(record.failed + record.timed_out) if record else "",
        seconds(record.work_seconds_mean) if record else "",
        cell(", ".join(capabilities)),
    )
