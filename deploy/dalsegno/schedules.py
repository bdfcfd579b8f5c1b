"""Schedules as the command line shows them: with the next tick, which follows from the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table

from dalsegno.output import cell, moment, status, table
from dalsegno.shown import short_ids
from dalsegno_orchestrator.workflow.schedule import ticks
from dalsegno_projections.questions import ScheduleSummary


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A schedule, and when it starts a run next."""

    schedule: ScheduleSummary
    next_tick: datetime | None
    """UTC; None: it is paused or removed, or has no tick any more."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        next_tick = None if self.next_tick is None else self.next_tick.isoformat()
        return {**self.schedule.model_dump(mode="json"), "next_tick": next_tick}


def planned(schedule: ScheduleSummary, now: datetime) -> Planned:
    """The schedule with its first tick after `now`, in its own time zone."""
    next_tick = None
    if schedule.state == "active":
        next_tick = next(ticks(schedule.cron, schedule.timezone, after=now), None)
    return Planned(schedule=schedule, next_tick=next_tick)


def schedules_table(found: Sequence[Planned]) -> Table:
    """A line for each schedule; its next tick as clocks show it in its zone."""
    ids = short_ids([one.schedule.last_run for one in found if one.schedule.last_run])
    rows = [
        (
            cell(one.schedule.workflow),
            status(one.schedule.state),
            cell(one.schedule.cron),
            _local(one),
            cell(_note(one.schedule, ids)),
        )
        for one in found
    ]
    return table("Workflow", "State", "Cron", "Next", "*Newest run", rows=rows)


def _local(one: Planned) -> str:
    if one.next_tick is None:
        return "-"
    zone = ZoneInfo(one.schedule.timezone)
    return f"{one.next_tick.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _note(schedule: ScheduleSummary, ids: dict[str, str]) -> str:
    if schedule.state == "paused" and schedule.paused_reason:
        return f"paused: {schedule.paused_reason}"
    if schedule.last_run is None:
        skipped = f", {schedule.skipped} skipped" if schedule.skipped else ""
        return f"none yet{skipped}"
    ended = schedule.last_run_status or "goes on"
    return f"{ids[schedule.last_run]} {ended} (tick of {moment(schedule.last_tick)} UTC)"
