"""The agents of the example workflows as processes: `dalsegno agent support.example_agents:ada`."""

from dalsegno_agents import Agent
from support.cast import LABELS, all_parts

CONCURRENCY = 16


def agent_named(name: str) -> Agent[str]:
    """An agent with every capability that the examples say it has; its handlers know its name."""
    agent: Agent[str] = Agent(
        name,
        deps=name,
        description="plays its part in the example workflows",
        labels=LABELS[name],
        concurrency=CONCURRENCY,
    )
    for part in all_parts():
        if name in part.by:
            agent.handles(part.capability)(part.function)
    return agent


ada = agent_named("ada")
bob = agent_named("bob")
cyd = agent_named("cyd")
