"""What a replica has in hand: delivered, and not settled yet.

Settles it once its report is stored, by acknowledging every delivery of it. Decides nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from dalsegno_agents.answers import Answer, Answers, AttemptKey
from dalsegno_agents.attempt import Attempt
from dalsegno_agents.outbox import Outbox, Parcel
from dalsegno_bus.bus import Delivery, Outgoing

RETURN_DELAY_SECONDS: Final = 0.1


@dataclass(slots=True, eq=False)
class InHand:
    """Something delivered and not settled yet; `deliveries` by their sequence, copies and all."""

    key: AttemptKey | int
    """The attempt; of what could not be read, its sequence."""
    deliveries: dict[int, Delivery]
    task: "asyncio.Task[Answer] | None" = None
    attempt: Attempt | None = None
    fate: Literal["answer", "grace", "let_go", "forget", "return", "unwanted"] = "answer"
    """What becomes of it when its task is over; `let_go`: nothing, its report is sent already."""
    grace: asyncio.TimerHandle | None = None
    """Ends the time in which a cancelled attempt may still report."""

    @property
    def is_at_work(self) -> bool:
        return self.task is not None and not self.task.done()


@dataclass(slots=True)
class Tally:
    """What a replica has done since it started."""

    answered: int = 0
    answered_again: int = 0
    cancelled: int = 0
    """Cancellations heard, also of attempts that are not here."""
    dead: int = 0
    returned: int = 0


class Hand:
    """Everything in hand, by its key.

    Args:
        outbox: Where reports go.
        answers: Remembers them.
        on_change: Called whenever something is settled.
    """

    def __init__(self, outbox: Outbox, answers: Answers, *, on_change: Callable[[], None]) -> None:
        self.tally = Tally()
        self._outbox = outbox
        self._answers = answers
        self._on_change = on_change
        self._held: dict[AttemptKey | int, InHand] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[InHand]:
        return iter(list(self._held.values()))

    def get(self, key: AttemptKey) -> InHand | None:
        """What is in hand of this attempt."""
        return self._held.get(key)

    def take(self, key: AttemptKey, delivery: Delivery) -> InHand:
        """Have something more in hand."""
        held = self._held[key] = InHand(key, {delivery.sequence: delivery})
        return held

    def send(self, held: InHand, answer: Answer) -> None:
        """Report, and settle it when that is stored."""
        self._outbox.put(Parcel(answer, partial(self._settle, held, answer)))

    def give_back(self, held: InHand) -> None:
        """Let another replica have it."""
        self._outbox.put(Parcel(Answer(), partial(self._return, held)))

    def bury(self, delivery: Delivery, letter: Callable[[], Outgoing]) -> None:
        """Drop what nobody can use, once the letter about it is stored."""
        if delivery.sequence in self._held:  # its letter is still on the way
            return
        held = self._held[delivery.sequence] = InHand(
            delivery.sequence, {delivery.sequence: delivery}
        )
        self._outbox.put(Parcel(Answer(ending=(letter(),)), partial(self._drop, held)))

    async def keep(self, *, every_seconds: float) -> None:
        """Keep all of it from going to others, for ever: one round for all."""
        while True:
            await asyncio.sleep(every_seconds)
            for held in self:
                for delivery in list(held.deliveries.values()):
                    await delivery.extend()

    def at_work(self) -> Iterator[str]:
        """The attempts that are worked on, as a presence names them."""
        for held in self:
            if isinstance(held.key, tuple) and held.is_at_work:
                run_id, task_id, attempt = held.key
                yield f"{run_id}/{task_id}/{attempt}"

    async def _settle(self, held: InHand, answer: Answer) -> None:
        if isinstance(held.key, tuple) and held.fate != "unwanted":
            self._answers.remember(held.key, answer)
        self._let_go(held)
        self.tally.answered += 1
        for delivery in held.deliveries.values():
            await delivery.ack()

    async def _return(self, held: InHand) -> None:
        self._let_go(held)
        self.tally.returned += 1
        for delivery in held.deliveries.values():
            await delivery.retry(delay_seconds=RETURN_DELAY_SECONDS)

    async def _drop(self, held: InHand) -> None:
        self._let_go(held)
        self.tally.dead += 1
        for delivery in held.deliveries.values():
            await delivery.drop()

    def _let_go(self, held: InHand) -> None:
        self._held.pop(held.key, None)
        self._on_change()
