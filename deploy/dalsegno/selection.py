"""The runs that a command is about: one that is named, or all that fit what is asked for.

Owns the options of such commands, finding the runs, and asking a person before many are touched.
Changes nothing: `steered` does.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from uuid import UUID

import click

from dalsegno.inputs import check_reference, read_labels
from dalsegno.options import as_option, folder_option, json_option, yes_option
from dalsegno.output import clean, counted, say
from dalsegno.session import Session
from dalsegno.shown import short_ids
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.workflow.run import FINAL, RunStatus
from dalsegno_projections.asking import RUNS
from dalsegno_projections.questions import ROWS_MAX, AskRuns, RunSummary

RUNS_MAX: Final = 100_000
"""How many runs one command is about at most."""
SHOWN_MAX: Final = 10
"""So many are named before a person is asked."""

STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus)
OPEN_STATUSES: Final[tuple[RunStatus, ...]] = tuple(
    status for status in STATUSES if status not in FINAL
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person typed: which runs, and how to go about it."""

    reference: str | None
    """One run; None: all that fit the rest."""
    workflow: str | None
    status: RunStatus | None
    labels: Mapping[str, str]
    requested_by: str
    yes: bool
    folder: Path | None
    as_json: bool

    @property
    def words(self) -> str:
        """What the selection asks for."""
        parts = [f"{key}={value}" for key, value in self.labels.items()]
        if self.status is not None:
            parts.insert(0, f"status {self.status}")
        if self.workflow is not None:
            parts.insert(0, f"workflow {self.workflow}")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A run that the command is about."""

    run_id: RunId
    summary: RunSummary | None = None
    """None: it was named, and nobody looked."""


def over_runs(function: Callable[..., int]) -> Callable[..., None]:
    """The options of a command that is about one run or a selection.

    `function` gets what they say as `asked: Asked`, its own options by name, and returns an exit
    code.
    """

    @click.argument("run", required=False)
    @click.option("--workflow", metavar="NAME", help="All of this workflow.")
    @click.option(
        "--status",
        type=click.Choice(STATUSES),
        metavar="STATUS",
        help="All that stand so: running, paused, failed …",
    )
    @click.option("--label", "pairs", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
    @as_option
    @yes_option
    @folder_option
    @json_option
    @click.pass_context
    @functools.wraps(function)
    def command(
        context: click.Context,
        run: str | None,
        workflow: str | None,
        status: RunStatus | None,
        pairs: tuple[str, ...],
        requested_by: str,
        yes: bool,
        folder: Path | None,
        as_json: bool,
        **own: Any,
    ) -> None:
        is_selection = workflow is not None or status is not None or bool(pairs)
        if (run is None) != is_selection:
            wanted = "RUN or a selection (--workflow, --status, --label)"
            mistake = "not both" if is_selection else "to say what this is about"
            raise click.UsageError(f"give {wanted}, {mistake}")
        asked = Asked(
            reference=None if run is None else check_reference(run),
            workflow=workflow,
            status=status,
            labels=read_labels(pairs),
            requested_by=requested_by,
            yes=yes,
            folder=folder,
            as_json=as_json,
        )
        context.exit(function(asked=asked, **own))

    return command


async def find(here: Session, asked: Asked, statuses: Sequence[RunStatus]) -> list[Chosen]:
    """The run that is named, or every run that fits, the newest first.

    Args:
        here: Whom to ask.
        asked: What a person typed.
        statuses: How the runs may stand where the person did not say; none: in any way.

    Raises:
        UsageError: No run, or several, are called so; or more than `RUNS_MAX` fit.
    """
    if asked.reference is not None:
        return [Chosen(run_id=await here.run_id(asked.reference))]
    found: dict[str, Chosen] = {}  # a run that begins meanwhile moves others to the next page
    offset = 0
    while True:
        question = AskRuns(
            workflow=asked.workflow,
            status=asked.status or tuple(statuses) or None,
            labels=dict(asked.labels),
            limit=ROWS_MAX,
            offset=offset,
        )
        page = await here.ask(RUNS, question)
        for summary in page.runs:
            found[summary.run_id] = Chosen(run_id=RunId(UUID(summary.run_id)), summary=summary)
        offset += len(page.runs)
        if len(found) > RUNS_MAX:
            raise UsageError(
                f"more than {RUNS_MAX} runs fit ({asked.words}): narrow it with --label or --status"
            )
        if not page.more or not page.runs:
            return list(found.values())


def tell_which(chosen: Sequence[Chosen], asked: Asked) -> None:
    """Say how many runs fit, of which workflow, how they stand, and name the first of them."""
    summaries = [one.summary for one in chosen if one.summary is not None]
    counts = Counter((summary.workflow, summary.status) for summary in summaries)
    say(f"{counted(len(chosen))} {'fits' if len(chosen) == 1 else 'fit'} ({asked.words}):")
    for (workflow, status), count in sorted(counts.items()):
        say(f"  {count} of {clean(workflow)}, {status}")
    shown = short_ids([str(one.run_id) for one in chosen[:SHOWN_MAX]])
    more = f" and {len(chosen) - SHOWN_MAX} more" if len(chosen) > SHOWN_MAX else ""
    say(f"  {', '.join(shown.values())}{more}")
