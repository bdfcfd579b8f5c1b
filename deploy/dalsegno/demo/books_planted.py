"""What was planted into the demo company's books, and whether the agents found it.

Owns the record of a planted anomaly and the rule by which a finding counts as that anomaly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dalsegno_agents.gallery.finance.model import Analysis, Anomaly, Finding, Reference


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One thing that is wrong, and where a reader finds it."""

    id: str
    kind: str
    entity: str
    table: str
    why: str
    found_by: Literal["finance.analyze", "finance.review"] = "finance.analyze"
    period: str = ""
    account: str = ""
    counterparty: str = ""
    documents: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it stands in `anomalies.json`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well the agents did on books with known anomalies."""

    found: tuple[str, ...]
    missed: tuple[str, ...]
    """Ids of what is planted and was not found."""
    false_alarms: tuple[Anomaly, ...]
    """Anomalies that point at nothing planted."""


def score(analysis: Analysis, planted: Sequence[Planted]) -> Score:
    """Hold the anomalies of an analysis against what is planted for `finance.analyze`."""
    hidden = [one for one in planted if one.found_by == "finance.analyze"]
    found = [
        one.id
        for one in hidden
        if any(
            anomaly.kind == one.kind and points_at(anomaly.evidence, one)
            for anomaly in analysis.anomalies
        )
    ]
    return Score(
        found=tuple(found),
        missed=tuple(one.id for one in hidden if one.id not in found),
        false_alarms=tuple(
            anomaly
            for anomaly in analysis.anomalies
            if not any(points_at(anomaly.evidence, one) for one in planted)
        ),
    )


def missed_by_review(findings: Sequence[Finding], planted: Sequence[Planted]) -> tuple[str, ...]:
    """Ids of what is planted for `finance.review` and that no finding points at."""
    return tuple(
        one.id
        for one in planted
        if one.found_by == "finance.review"
        and not any(points_at(finding.evidence, one) for finding in findings)
    )


def points_at(evidence: Iterable[Reference], one: Planted) -> bool:
    """Whether some evidence names a planted document, or its entity with account and month.

    Where an anomaly has neither, its entity and counterparty or table decide.
    """
    return any(_names(reference, one) for reference in evidence)


def _names(reference: Reference, one: Planted) -> bool:
    if reference.document and reference.document in one.documents:
        return True
    if reference.entity != one.entity:
        return False
    if one.account and one.period:
        return (reference.account, reference.period) == (one.account, one.period)
    if reference.counterparty and reference.counterparty == one.counterparty:
        return True
    return not one.documents and not reference.document and reference.table == one.table


def _digits(cents: int) -> tuple[str, int]:
    """The whole euros, and where two neighbouring digits differ (from the left); -1: nowhere."""
    euros = str(abs(cents) // 100)
    for position in range(len(euros) - 1):
        if euros[position] != euros[position + 1] and position > 0:
            return euros, position
    return euros, -1


def swappable(cents: int) -> bool:
    """Whether two neighbouring digits of the whole euros differ, other than the first."""
    return _digits(cents)[1] > 0


def swapped(cents: int) -> int:
    """The amount with two neighbouring digits exchanged; the difference is a multiple of 9."""
    euros, at = _digits(cents)
    swapped = euros[:at] + euros[at + 1] + euros[at] + euros[at + 2 :]
    return (1 if cents >= 0 else -1) * (int(swapped) * 100 + abs(cents) % 100)
