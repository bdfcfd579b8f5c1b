"""What an author of agents needs: handlers, context, worker."""

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext, offline_context
from dalsegno_bus.errors import TaskRejected, TaskRetry
from dalsegno_bus.messages import Artifact

__all__ = ["Agent", "Artifact", "TaskContext", "TaskRejected", "TaskRetry", "offline_context"]
