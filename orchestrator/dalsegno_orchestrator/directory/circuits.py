"""One circuit breaker: whether an agent may be given more of what it lately failed at.

The pattern is that of Nygard, "Release It!" (2007). Closed: it gets work. After
`FAILURES_IN_A_ROW`, or once `FAILURES_SHARE` of its newest `RECENT` outcomes are failures (of at
least `RECENT_MIN`), it opens and gets none, for `OPEN_SECONDS`. Then it is half open: one attempt
at a time is let through, the trial. Any success closes it; if the trial fails it opens again, each
time for twice as long, up to `OPEN_SECONDS_MAX`.

Time and outcomes are arguments; which outcomes count is not decided here.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from dalsegno_orchestrator.workflow.scoring import Skill

FAILURES_IN_A_ROW: Final = 5
FAILURES_SHARE: Final = 0.5
RECENT: Final = 20
RECENT_MIN: Final = 10
OPEN_SECONDS: Final = 30.0
OPEN_SECONDS_MAX: Final = 600.0
TRIAL_SECONDS_MAX: Final = 600.0
"""A trial that has not ended for so long does not keep others from trying."""
REMIND_SECONDS: Final = 30.0
"""How often a half open circuit that nobody tries is told of again."""

AttemptKey: TypeAlias = tuple[str, int]
"""Task and number. Two runs may share one: good enough to tell a trial from what came before."""


class Circuit:
    """The breaker of one agent at one capability; its state is kept in the agent's `Skill`."""

    __slots__ = ("_in_a_row", "_opened", "_recent", "_remind_at", "_skill", "_trial", "_trial_at")

    def __init__(self, skill: Skill) -> None:
        self._skill = skill
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._in_a_row = 0
        self._opened = 0
        """How often since it was closed."""
        self._trial: AttemptKey | None = None
        self._trial_at: datetime | None = None
        self._remind_at: datetime | None = None

    @property
    def is_closed(self) -> bool:
        return self._skill.circuit == "closed"

    def assigned(self, attempt: AttemptKey, now: datetime) -> None:
        """The agent was given an attempt; while half open, it is the trial."""
        if self._skill.circuit == "half_open" and self._trial is None:
            self._trial, self._trial_at = attempt, now
            self._skill.is_trying = True

    def dropped(self, attempt: AttemptKey | None) -> None:
        """An attempt ended, and what became of it says nothing; None: whichever it was."""
        if self._trial is not None and attempt in {None, self._trial}:
            self._end_trial()

    def succeeded(self, now: datetime) -> None:
        """An attempt was a success; while open, that is one from before, and changes nothing."""
        self.advance(now)
        if self._skill.circuit == "half_open":
            self._close()
        elif self._skill.circuit == "closed":
            self._in_a_row = 0
            self._recent.append(True)

    def failed(self, attempt: AttemptKey, now: datetime) -> None:
        """An attempt failed; unless closed, only the trial counts (or any, if nobody tries)."""
        self.advance(now)
        if self._skill.circuit == "half_open" and self._trial in {None, attempt}:
            self._open(now)
        elif self._skill.circuit == "closed":
            self._in_a_row += 1
            self._recent.append(False)
            seen = len(self._recent)
            is_half = seen >= RECENT_MIN and self._recent.count(False) >= FAILURES_SHARE * seen
            if self._in_a_row >= FAILURES_IN_A_ROW or is_half:
                self._open(now)

    def advance(self, now: datetime) -> None:
        """Let time pass: an open circuit becomes half open, a trial that takes for ever is over."""
        skill = self._skill
        if skill.next_try_at is not None and now >= skill.next_try_at:
            skill.circuit, skill.next_try_at = "half_open", None
            self._end_trial()
        limit = timedelta(seconds=TRIAL_SECONDS_MAX)
        if self._trial_at is not None and now - self._trial_at >= limit:
            self._end_trial()

    def is_due(self, now: datetime) -> bool:
        """Whether those that wait for the agent should try now; told again after a while."""
        if self._skill.circuit != "half_open" or self._trial is not None:
            return False
        if self._remind_at is not None and now < self._remind_at:
            return False
        self._remind_at = now + timedelta(seconds=REMIND_SECONDS)
        return True

    def _open(self, now: datetime) -> None:
        seconds = min(OPEN_SECONDS * 2.0 ** min(self._opened, 16), OPEN_SECONDS_MAX)
        self._opened += 1
        self._skill.circuit = "open"
        self._skill.next_try_at = now + timedelta(seconds=seconds)
        self._end_trial()

    def _close(self) -> None:
        self._skill.circuit, self._skill.next_try_at = "closed", None
        self._opened = self._in_a_row = 0
        self._recent.clear()
        self._end_trial()

    def _end_trial(self) -> None:
        self._trial = self._trial_at = self._remind_at = None
        self._skill.is_trying = False
