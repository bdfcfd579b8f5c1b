"""All tests of the books in order, and what they found: numbered, ranked, each thing told once.

Owns the order: tests of documents come first, because what they explain must not count again as a
month out of line. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dalsegno_agents.gallery.finance.analysis.benford import benford
from dalsegno_agents.gallery.finance.analysis.detect_documents import (
    duplicate_invoices,
    duplicate_payments,
    late_postings,
    round_payments,
    unknown_counterparties,
    wrong_signs,
)
from dalsegno_agents.gallery.finance.analysis.detect_gaps import gaps
from dalsegno_agents.gallery.finance.analysis.detect_series import large_invoices, outliers
from dalsegno_agents.gallery.finance.analysis.evidence import (
    Detected,
    Evidence,
    documents_of,
    left_out,
    passed,
)
from dalsegno_agents.gallery.finance.model import (
    Anomaly,
    AnomalyKind,
    Books,
    Check,
    Difference,
    Omission,
    Reconciliation,
    Reference,
    Series,
)

SINGLE_MAX: Final = 10
"""More differences of one comparison than this are told as one anomaly."""
_RANK: Final = ("critical", "high", "medium", "low")
_KINDS: Final[dict[str, AnomalyKind]] = {"ledger-documents": "unbalanced"}
_TABLES: Final = {"debits": "ledger", "credits": "ledger", "income": "ledger", "costs": "ledger"}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the tests came to."""

    anomalies: tuple[Anomaly, ...]
    checks: tuple[Check, ...]
    omitted: tuple[Omission, ...]
    series: tuple[Series, ...]


def examined(evidence: Evidence, books: Books, tell: Callable[[str], None]) -> Findings:
    """Make every test.

    Args:
        evidence: The books; `explained` grows as tests find documents.
        books: For its reconciliations.
        tell: Hears which test is on.
    """
    outcomes: list[Detected] = []
    tests: tuple[Callable[[Evidence], Detected], ...] = (
        duplicate_invoices,
        duplicate_payments,
        wrong_signs,
        unknown_counterparties,
        round_payments,
        late_postings,
        lambda evidence: mismatches(evidence, books.reconciliations, books.differences),
        gaps,
        outliers,
        large_invoices,
    )
    for test in tests:
        outcome = test(evidence)
        evidence.explained.update(documents_of(outcome.anomalies))
        outcomes.append(outcome)
        if outcome.check is not None:
            tell(outcome.check.label)
    digits, series = benford(evidence)
    outcomes.append(digits)
    return Findings(
        anomalies=_numbered([one for outcome in outcomes for one in outcome.anomalies]),
        checks=tuple(outcome.check for outcome in outcomes if outcome.check is not None),
        omitted=tuple(outcome.omission for outcome in outcomes if outcome.omission is not None),
        series=tuple(series),
    )


def mismatches(
    evidence: Evidence,
    reconciliations: Sequence[Reconciliation],
    differences: Sequence[Difference],
) -> Detected:
    """What the reconciliations found and no test of documents has explained already."""
    check, label = "mismatches", "Sources that disagree"
    made = [one for one in reconciliations if one.compared]
    if not made:
        return left_out(check, label, "no two sources could be compared")
    found: list[Anomaly] = []
    for reconciliation in made:
        own = [one for one in differences if one.check == reconciliation.check]
        told = [one for one in own if one.document not in evidence.explained]
        if len(told) > SINGLE_MAX:
            found.append(_many(evidence, reconciliation, told))
        else:
            found.extend(_mismatch(evidence, reconciliation, one) for one in told)
    return passed(
        check,
        label,
        "sums of two sources are equal to the cent, compared by entity, month, account or document",
        sum(one.compared for one in made),
        found,
    )


def _mismatch(evidence: Evidence, reconciliation: Reconciliation, one: Difference) -> Anomaly:
    cents = abs(one.amount_cents)
    place = ", ".join(filter(None, (one.entity, one.period, one.account, one.document)))
    # exchanging two digits changes a number by a multiple of 9: the accountants' old test
    swapped = cents % 9 == 0 and bool(one.left_cents) and bool(one.right_cents)
    hint = "; the difference is a multiple of 9, as when two digits are swapped" if swapped else ""
    return evidence.anomaly(
        _KINDS.get(one.check, "source_mismatch"),
        reconciliation.check,
        f"{reconciliation.label} ({place}): {one.left.replace('_', ' ')} "
        f"{evidence.money(one.left_cents)}, {one.right.replace('_', ' ')} "
        f"{evidence.money(one.right_cents)}{hint}.",
        _references(one),
        cents=cents,
        score=cents / max(1, evidence.trivial_cents),
        entity=one.entity,
        period=one.period,
        at_least="medium",
    )


def _references(one: Difference) -> list[Reference]:
    return [
        Reference(
            table=_TABLES.get(side, side),
            document=one.document,
            entity=one.entity,
            period=one.period,
            account=one.account,
        )
        for side in dict.fromkeys((one.left, one.right))
    ]


def _many(
    evidence: Evidence, reconciliation: Reconciliation, differences: Sequence[Difference]
) -> Anomaly:
    cents = sum(abs(one.amount_cents) for one in differences)
    return evidence.anomaly(
        _KINDS.get(reconciliation.check, "source_mismatch"),
        reconciliation.check,
        f"{reconciliation.label}: {reconciliation.differences} of {reconciliation.compared} "
        f"differ, the {len(differences)} largest by {evidence.money(cents)} together. So many "
        "point at the way a source is read or kept, and not at single errors.",
        [reference for one in differences for reference in _references(one)[:1]],
        cents=cents,
        score=float(len(differences)),
        at_least="high",
    )


def _numbered(anomalies: Sequence[Anomaly]) -> tuple[Anomaly, ...]:
    """The gravest first; ids count within a kind."""
    ranked = sorted(
        anomalies,
        key=lambda one: (
            _RANK.index(one.severity),
            -(one.amount_cents or 0),
            one.kind,
            one.explanation,
        ),
    )
    counts: dict[str, int] = {}
    numbered: list[Anomaly] = []
    for anomaly in ranked:
        counts[anomaly.kind] = counts.get(anomaly.kind, 0) + 1
        numbered.append(anomaly.model_copy(update={"id": f"{anomaly.kind}/{counts[anomaly.kind]}"}))
    return tuple(numbered)
