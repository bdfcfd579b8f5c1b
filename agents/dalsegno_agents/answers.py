"""What a replica said of the attempts it finished, so that none is worked twice.

A redelivered attempt is answered again with the very same messages: model calls cost money. The
memory is bounded by number and by bytes; an attempt that it has forgotten is worked again, which is
allowed, only dear. Lives in one event loop and needs no lock.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.ids import RunId

AttemptKey: TypeAlias = tuple[RunId, str, int]
"""Run, task, attempt: the name of an attempt, for good."""

ANSWERS_MAX: Final = 10_000
ANSWERS_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is said of one attempt. Empty: it was cancelled, and nobody waits for a word."""

    shared: tuple[Outgoing, ...] = ()
    """Stored before `ending` is sent."""
    ending: tuple[Outgoing, ...] = ()

    @property
    def body_bytes(self) -> int:
        return sum(len(message.body) for message in (*self.shared, *self.ending))


class Answers:
    """The last answers, oldest forgotten first.

    Args:
        count_max: How many to remember (1 or more).
        bytes_max: How many bytes their bodies may take together.
    """

    def __init__(self, *, count_max: int = ANSWERS_MAX, bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._answers: OrderedDict[AttemptKey, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: AttemptKey) -> Answer | None:
        """What was said of this attempt; None: nothing that is remembered."""
        return self._answers.get(key)

    def remember(self, key: AttemptKey, answer: Answer) -> None:
        """Keep an answer. The first one about an attempt stays: it may have been heard."""
        if key in self._answers:
            return
        self._answers[key] = answer
        self._bytes += answer.body_bytes
        while len(self._answers) > self._count_max or self._bytes > self._bytes_max:
            _, forgotten = self._answers.popitem(last=False)
            self._bytes -= forgotten.body_bytes
