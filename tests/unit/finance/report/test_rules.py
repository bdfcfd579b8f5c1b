"""The rule pack: what ships, what a run may change, and how faults are told."""

import pytest

from dalsegno_agents import TaskRejected
from dalsegno_agents.gallery.finance.compliance.rules import ApprovalsRule, rule_pack


def faults(changes: object) -> str:
    with pytest.raises(TaskRejected) as caught:
        rule_pack(changes)
    assert caught.value.reason_code == "rules"
    return str(caught.value)


def test_the_pack_that_ships_is_whole() -> None:
    assert list(rule_pack().rules) == [
        "balance",
        "reconciliation",
        "materiality",
        "missing-periods",
        "segregation-of-duties",
        "approvals",
        "late-postings",
        "personal-data",
        "anomalies",
    ]


def test_a_change_replaces_only_what_it_names() -> None:
    pack = rule_pack({"rules": {"approvals": {"limits": {"payments": 2500}}}})
    rule = pack.rules["approvals"]
    assert isinstance(rule, ApprovalsRule)
    assert list(rule.limits) == ["payments"]
    assert rule.critical_above == 100_000
    assert len(pack.rules) == len(rule_pack().rules)


def test_a_rule_can_be_switched_off_added_and_all_replaced() -> None:
    large = {
        "check": "approvals",
        "title": "Large order",
        "severity": "critical",
        "limits": {"purchase_orders": 250_000},
    }
    pack = rule_pack({"rules": {"late-postings": False, "large-orders": large}})
    assert "late-postings" not in pack.rules
    assert pack.rules["large-orders"].title == "Large order"
    assert list(rule_pack({"replace": True, "rules": {"large": large}}).rules) == ["large"]


def test_the_materiality_can_be_changed_alone() -> None:
    pack = rule_pack({"materiality": {"share": 0.01}})
    assert (pack.materiality.basis, pack.materiality.share) == ("revenue", 0.01)


def test_rules_may_come_as_a_text_with_yaml() -> None:
    assert "anomalies" not in rule_pack("rules: {anomalies: false}").rules


def test_every_fault_is_told_at_once_with_its_path() -> None:
    told = faults(
        {
            "materialty": {},
            "materiality": {"share": 2},
            "rules": {
                "approvals": {"limits": {"payments": -1}, "abov": 3, "severity": "bad"},
                "aproval": {"severity": "low"},
                "mine": {"check": "nope"},
                "personal-data": {"columns": {"ledger": ["txt"]}},
                "nothing-such": False,
            },
        }
    )
    for path in (
        "rules.materialty: there is no such field (did you mean 'materiality'?)",
        "rules.materiality.share: ",
        "rules.rules.approvals.limits.payments: ",
        "rules.rules.approvals.abov: there is no such field",
        "rules.rules.approvals.severity: ",
        "rules.rules.aproval: says no `check`",
        "did you mean 'approvals'?",
        "rules.rules.mine: ",
        "rules.rules.personal-data.columns: ledger has no text column 'txt'",
        "rules.rules.nothing-such: there is no such rule to switch off",
    ):
        assert path in told


def test_faults_are_there_for_programs_too() -> None:
    with pytest.raises(TaskRejected) as caught:
        rule_pack({"rules": {"approvals": {"severity": "bad"}}})
    assert caught.value.detail == [
        {
            "message": "Input should be 'critical', 'high', 'medium' or 'low'",
            "path": "rules.approvals.severity",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (3, "an object, or a text with YAML"),
        ("rules: [1", "line 1, column"),
        ({"replace": True}, "at least 1 item"),
        ({"replace": "yes", "rules": 3}, "rules.replace: true or false"),
        ({"rules": {"Bad Id": {"check": "balance"}}}, "Bad Id"),
    ],
)
def test_what_is_no_rule_pack_is_refused(changes: object, told: str) -> None:
    assert told in faults(changes)
