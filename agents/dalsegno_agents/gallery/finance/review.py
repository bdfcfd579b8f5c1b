"""The agent `finance.review`: holds the books and their analysis against compliance rules.

Start it with `dalsegno agent dalsegno_agents.gallery.finance.review:agent`. It needs the artifact
store, and neither the sources nor a model. The rules, with how to change
them, are in `compliance/rules.yaml`.
"""

from collections import Counter
from typing import assert_never

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.compliance.review_books import (
    anomalies,
    balance,
    late_postings,
    materiality,
    missing_periods,
    reconciliation,
)
from dalsegno_agents.gallery.finance.compliance.review_case import GRAVITY, Case, Outcome
from dalsegno_agents.gallery.finance.compliance.review_people import (
    approvals,
    personal_data,
    segregation_of_duties,
)
from dalsegno_agents.gallery.finance.compliance.rules import (
    AnomaliesRule,
    ApprovalsRule,
    BalanceRule,
    LatePostingsRule,
    MaterialityRule,
    MissingPeriodsRule,
    PersonalDataRule,
    ReconciliationRule,
    Rule,
    SegregationRule,
    rule_pack,
)
from dalsegno_agents.gallery.finance.model import Finding, Omission, Review, ReviewRequest

agent = Agent(
    "finance-review",
    version="1",
    description="Holds books and their analysis against a pack of compliance rules",
    concurrency=2,
)


@agent.handles("finance.review")
def review(request: ReviewRequest, context: TaskContext[None]) -> Review:
    """Apply every compliance rule to the books and their analysis.

    Raises:
        TaskRejected: The rules of the run have faults; all are listed, each with its path.
    """
    pack = rule_pack(request.request.rules)
    case = Case(
        books=request.books,
        analysis=request.analysis,
        materiality=pack.materiality,
        context=context,
    )
    findings: list[Finding] = []
    applied: list[str] = []
    omitted: list[Omission] = []
    rests: set[str] = set()
    for position, (rule_id, rule) in enumerate(pack.rules.items()):
        context.progress(position / len(pack.rules), rule.title.lower())
        outcome = apply(rule, case)
        if outcome.lacking:
            omitted.append(Omission(id=rule_id, label=rule.title, reason=outcome.lacking))
            continue
        applied.append(rule_id)
        if outcome.in_part:
            label = f"{rule.title} (in part)"
            omitted.append(Omission(id=rule_id, label=label, reason=outcome.in_part))
        numbered = [
            finding.model_copy(update={"id": f"{rule_id}/{number}", "rule": rule_id})
            for number, finding in enumerate(outcome.findings, 1)
        ]
        findings.extend(numbered)
        if outcome.has_rest:
            rests.add(numbered[-1].id)
    findings.sort(
        key=lambda one: (
            GRAVITY.index(one.severity),
            one.id in rests,
            -(one.amount_cents or 0),
        )
    )
    counts = Counter(finding.severity for finding in findings)
    return Review(
        findings=tuple(findings),
        rules=tuple(applied),
        omitted=tuple(omitted),
        critical=counts["critical"],
        high=counts["high"],
        medium=counts["medium"],
        low=counts["low"],
    )


def apply(rule: Rule, case: Case) -> Outcome:  # one line for each kind of rule
    """What one rule comes to."""
    match rule:
        case BalanceRule():
            return balance(rule, case)
        case ReconciliationRule():
            return reconciliation(rule, case)
        case MaterialityRule():
            return materiality(rule, case)
        case MissingPeriodsRule():
            return missing_periods(rule, case)
        case SegregationRule():
            return segregation_of_duties(rule, case)
        case ApprovalsRule():
            return approvals(rule, case)
        case LatePostingsRule():
            return late_postings(rule, case)
        case PersonalDataRule():
            return personal_data(rule, case)
        case AnomaliesRule():
            return anomalies(rule, case)
        case _:
            assert_never(rule)
