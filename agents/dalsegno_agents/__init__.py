"""What an author of agents needs: handlers, context, worker."""

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.errors import QuestionFailed, ReplanRefused
from dalsegno_agents.offline import offline_context
from dalsegno_agents.outcomes import Handoff, LastProgress, Plan
from dalsegno_agents.replanning import Replan
from dalsegno_bus.errors import TaskRejected, TaskRetry
from dalsegno_bus.messages import Artifact

__all__ = [
    "Agent",
    "Artifact",
    "Handoff",
    "LastProgress",
    "Plan",
    "QuestionFailed",
    "Replan",
    "ReplanRefused",
    "TaskContext",
    "TaskRejected",
    "TaskRetry",
    "offline_context",
]
