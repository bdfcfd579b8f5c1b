"""How attempts end: with a report, cancelled at once, cancelled with a grace, or handed back.

Touches no stream: what is to be sent or settled goes through the hand.
"""

import asyncio
from typing import Literal

from dalsegno_agents.answers import Answer, Answers
from dalsegno_agents.hand import Hand, InHand
from dalsegno_agents.performer import Performer
from dalsegno_bus.messages import CancelAttempt


class Ending:
    """Ends the attempts in hand of one replica.

    Args:
        hand: What is in hand.
        answers: What was said of attempts that ended; also that some are not to be begun.
        performer: Makes the reports of those that are let go.
    """

    def __init__(self, hand: Hand, answers: Answers, performer: Performer) -> None:
        self._hand = hand
        self._answers = answers
        self._performer = performer

    def on_cancel(self, cancel: CancelAttempt) -> None:
        """Nobody waits for this attempt any more; with a grace, its report still counts."""
        self._hand.tally.cancelled += 1
        key = (cancel.run_id, cancel.task_id, cancel.attempt)
        held = self._hand.get(key)
        if held is None:  # perhaps it is on its way to us: then it is not begun
            answer = Answer()
            if cancel.grace_seconds > 0:
                answer = self._performer.cancelled(key, cancel.reason)
            self._answers.remember(key, answer)
        elif cancel.grace_seconds > 0:
            self._interrupt(held, cancel)
        else:
            self.cancel(held, fate="forget")

    def _interrupt(self, held: InHand, cancel: CancelAttempt) -> None:
        """Have an attempt end by itself within its grace, and report."""
        if not held.is_at_work or held.attempt is None or held.fate != "answer":
            return
        assert held.task is not None
        held.fate = "grace"
        held.attempt.cancel(cancel.reason)
        loop = asyncio.get_running_loop()
        held.grace = loop.call_later(cancel.grace_seconds, self.end_grace, held)
        if held.attempt.may_interrupt:
            held.task.cancel()

    def end_grace(self, held: InHand) -> None:
        """Report for an attempt that has not ended within its grace, and hear no more of it."""
        if held.task is None or held.task.done() or held.attempt is None:
            return
        held.fate = "let_go"
        held.attempt.is_let_go = True
        self._hand.send(held, self._cancelled(held))
        held.task.cancel()

    def _cancelled(self, held: InHand) -> Answer:
        assert held.attempt is not None
        assert isinstance(held.key, tuple)
        return self._performer.cancelled(held.key, held.attempt.cancel_reason, held.attempt)

    def cancel(self, held: InHand, *, fate: Literal["forget", "return"]) -> None:
        """Cancel an attempt at once: to report nothing of it, or for another replica to do it."""
        if held.task is None or held.task.done():
            return
        if held.fate == "answer" or (held.fate, fate) == ("grace", "forget"):
            held.fate = fate
            if held.attempt is not None and fate == "forget":
                held.attempt.is_let_go = True
                held.attempt.cancel("")
            # In its turn: two cancellations at the same moment would reach the handler as one.
            asyncio.get_running_loop().call_soon(held.task.cancel)

    def over(self, held: InHand, task: "asyncio.Task[Answer]") -> None:
        """The task of an attempt is over: send what it says, if anybody is to hear it."""
        if held.grace is not None:
            held.grace.cancel()
        if held.fate == "forget":  # even if its handler would not hear of it
            self._hand.send(held, Answer())
        elif held.fate == "let_go":
            pass  # its report is sent
        elif task.cancelled():
            self._on_cancelled(held)
        elif task.exception() is None:  # else the group ends the replica with it
            self._hand.send(held, task.result())

    def _on_cancelled(self, held: InHand) -> None:
        if held.fate == "return":
            self._hand.give_back(held)
        elif held.fate == "grace":  # before its handler had begun
            self._hand.send(held, self._cancelled(held))
