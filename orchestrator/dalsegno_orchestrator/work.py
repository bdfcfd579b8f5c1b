"""What one batch has to be decided on, and what of it could not be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import RegisterWorkflow, SetLimit
from dalsegno_orchestrator.heard import Heard
from dalsegno_orchestrator.workflow.facts import AgentsChanged
from dalsegno_orchestrator.workflow.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one batch is about: messages, runs whose time has come, a change among the agents."""

    heard: Sequence[Heard] = ()
    due: Sequence[RunId] = ()
    changed: AgentsChanged | None = None
    refused: Sequence[tuple[Heard, str]] = ()
    """Messages found to be undecidable, with the reason."""
    ended: Mapping[RunId, Run] = field(default_factory=dict[RunId, Run])
    """Runs that messages ask about, though they have ended."""
    left_alone: frozenset[RunId] = frozenset()
    """Runs whose time or agents cannot be decided on; a message may still move them."""
    undecided: frozenset[RunId] = frozenset()
    """Runs that a decision broke off on: thrown out of memory, they have to be loaded again."""

    def without(self, fault: "Undecidable") -> "Work":
        """The same work, less what could not be decided."""
        if fault.heard is None:
            left_alone = self.left_alone | {fault.run_id}
            return replace(self, left_alone=left_alone, undecided=self.undecided | left_alone)
        undecided = self.undecided
        if not isinstance(fault.heard.message, RegisterWorkflow | SetLimit):
            undecided |= {fault.run_id}
        return replace(
            self,
            undecided=undecided,
            heard=[heard for heard in self.heard if heard is not fault.heard],
            refused=(*self.refused, (fault.heard, str(fault))),
        )


class Undecidable(Exception):
    """`decide` itself failed: a fault of ours, kept to one message of one run."""

    def __init__(self, run_id: RunId, heard: Heard | None, error: Exception) -> None:
        super().__init__(run_id, heard, error)
        self.run_id = run_id
        self.heard = heard
        self._error = error

    def __str__(self) -> str:
        return f"internal fault while deciding on run {self.run_id}: {self._error!r}"
