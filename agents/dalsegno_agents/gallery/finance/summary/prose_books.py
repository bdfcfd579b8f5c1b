"""The second half of the executive summary: what is anomalous, what to do, what it rests on.

Owns the advice for each kind of anomaly. The same analysis gives the same text; every number in it
is one that the analysis states.
"""

from collections.abc import Sequence
from typing import Final

from dalsegno_agents.gallery.finance.model import Analysis, Anomaly, AnomalyKind
from dalsegno_agents.gallery.finance.summary.facts import counted, in_words, listed

GRAVEST_TOLD: Final = 3
ACTIONS_MAX: Final = 5

_ORDINALS: Final = ("First", "Second", "Third", "Fourth", "Fifth")
_GRAVITY: Final = ("critical", "high", "medium", "low")
_ACTIONS: Final[dict[AnomalyKind, str]] = {
    "unknown_counterparty": "hold further payments to {who} until somebody has confirmed who that "
    "is and why money went there",
    "duplicate": "recover or block what was entered or paid twice ({where})",
    "unbalanced": "correct the entries whose debits and credits differ ({where})",
    "wrong_sign": "reverse and re-post what was booked with the wrong sign ({where})",
    "source_mismatch": "settle with the entities where sources disagree, and correct whichever is "
    "wrong ({where})",
    "late_posting": "have the postings made after the close approved or moved to an open month "
    "({where})",
    "gap": "find out what is missing where a regular entry did not come, and accrue it ({where})",
    "outlier": "ask the budget owner to explain the unusual amounts ({where})",
    "round_amounts": "ask for the contract and the invoices behind the payments of round amounts "
    "to {who}",
    "benford": "draw a sample of the documents whose first digits look unnatural ({where})",
}
"""The most urgent first: what may still cost money comes before what only has to be explained."""


def gravest(analysis: Analysis) -> Sequence[Anomaly]:
    """The anomalies that are told in full."""
    return analysis.anomalies[:GRAVEST_TOLD]


def anomalous(analysis: Analysis) -> str:
    """How many anomalies there are, how grave, and the gravest of them."""
    anomalies = analysis.anomalies
    if not anomalies:
        return (
            f"The {counted(len(analysis.checks), 'check')} of the books raised no anomaly."
            if analysis.checks
            else ""
        )
    grave = [
        f"{in_words(number)} {'is' if number == 1 else 'are'} {severity}"
        for severity in ("critical", "high")
        if (number := sum(each.severity == severity for each in anomalies))
    ]
    which = f", of which {listed(grave)}" if grave else ", none of them critical or high"
    found = counted(len(anomalies), "anomaly", "anomalies")
    sentences = [f"The checks of the books raised {found}{which}.", "The gravest first:"]
    sentences.extend(each.explanation for each in gravest(analysis))
    return " ".join(sentences)


def actions(analysis: Analysis) -> str:
    """What to do about each kind of anomaly: the gravest first, then the most urgent."""
    by_kind: dict[AnomalyKind, list[Anomaly]] = {}
    for anomaly in analysis.anomalies:
        by_kind.setdefault(anomaly.kind, []).append(anomaly)
    urgent = list(_ACTIONS)
    ranked = sorted(
        by_kind,
        key=lambda kind: (_GRAVITY.index(by_kind[kind][0].severity), urgent.index(kind)),
    )
    steps = [_action(kind, by_kind[kind]) for kind in ranked[:ACTIONS_MAX]]
    if not steps:
        return ""
    sentences = [f"{ordinal}, {step}." for ordinal, step in zip(_ORDINALS, steps, strict=False)]
    return f"What to do: {' '.join(sentences)}"


def _action(kind: AnomalyKind, anomalies: Sequence[Anomaly]) -> str:
    parties = dict.fromkeys(
        reference.counterparty
        for anomaly in anomalies
        for reference in anomaly.evidence
        if reference.counterparty
    )
    entities = dict.fromkeys(anomaly.entity for anomaly in anomalies if anomaly.entity)
    return _ACTIONS[kind].format(
        who=listed(list(parties)[:GRAVEST_TOLD]) or "these counterparties",
        where=listed(list(entities)) or "see the list",
    )


def basis(analysis: Analysis) -> str:
    """What the report rests on: rows, comparisons, and what could not be computed."""
    coverage = analysis.coverage
    rows = sum(coverage.rows.values())
    entities = counted(len(coverage.entities), "entity", "entities")
    months = counted(len(coverage.periods), "month")
    text = f"The report rests on {rows:,} rows of {entities} over {months}."
    made = [each for each in analysis.reconciliations if each.compared]
    off = [each.label[0].lower() + each.label[1:] for each in made if each.differences]
    if made and not off:
        text += f" All {counted(len(made), 'comparison')} between the sources agree to the cent."
    elif made:
        agree = len(made) - len(off)
        start = f"{counted(agree, 'comparison')} between the sources"
        text += (
            f" {start[0].upper()}{start[1:]} {'agrees' if agree == 1 else 'agree'} to the cent; "
            f"differences remain in: {listed(off)}."
            if agree
            else f" Between the sources differences remain in: {listed(off)}."
        )
    if analysis.omitted:
        missing = [omission.label for omission in analysis.omitted[:ACTIONS_MAX]]
        text += f" The books do not suffice for: {', '.join(missing)}."
    return text
