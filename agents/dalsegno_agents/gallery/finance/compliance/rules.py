"""The compliance rules: their form, the pack that ships with us, and what a run changes in it.

Owns `rules.yaml` and the reading of the workflow's input `rules`. Tests nothing: `review` does.
Every fault of a pack is told at once, with its path.
"""

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from dalsegno_agents.gallery.finance.model import AnomalyKind, Severity
from dalsegno_agents.gallery.finance.sources import TABLES, Frozen, Role
from dalsegno_bus.errors import TaskRejected
from dalsegno_bus.messages import Json, Problem

Amount: TypeAlias = Annotated[Decimal, Field(ge=0, max_digits=17, decimal_places=2)]
"""In whole units of the report's currency."""
Approvable: TypeAlias = Literal["purchase_orders", "payments", "invoices"]
Attributable: TypeAlias = Literal["ledger", "invoices", "payments", "purchase_orders"]
"""Tables that say who entered and who approved."""
Monthly: TypeAlias = Literal[
    "ledger", "balances", "budget", "payroll", "invoices", "payments", "purchase_orders", "bank"
]
PersonalKind: TypeAlias = Literal["iban", "email", "phone", "card", "national_id"]
MoneyKpi: TypeAlias = Literal[
    "revenue", "gross_profit", "operating_income", "ebitda", "net_income", "budget_revenue"
]

FAULTS_MAX: Final = 50
_PACKAGE: Final = "dalsegno_agents.gallery.finance.compliance"
_PACK: Final = "rules.yaml"


class Materiality(Frozen):
    """From which amount on something is material to the whole."""

    basis: MoneyKpi = "revenue"
    """Of the group, over the last four quarters."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.005


class _Rule(Frozen):
    """What every rule says."""

    title: Annotated[str, Field(min_length=1, max_length=80)]
    severity: Severity
    severity_if_material: Severity | None = None
    findings_max: Annotated[int, Field(ge=1, le=500)] = 20


class BalanceRule(_Rule):
    """Debits equal credits."""

    check: Literal["balance"]
    tolerance: Amount = Decimal(0)


class ReconciliationRule(_Rule):
    """Sources that should agree do."""

    check: Literal["reconciliation"]
    tolerance: Amount = Decimal(0)
    except_checks: Annotated[tuple[str, ...], Field(alias="except")] = ()


class MaterialityRule(_Rule):
    """All that is wrong in money, together, is not material."""

    check: Literal["materiality"]
    kinds: tuple[AnomalyKind, ...]


class MissingPeriodsRule(_Rule):
    """No month is missing."""

    check: Literal["missing_periods"]
    tables: tuple[Monthly, ...]


class SegregationRule(_Rule):
    """Nobody approves what they entered."""

    check: Literal["segregation_of_duties"]
    tables: tuple[Attributable, ...]
    above: Amount = Decimal(0)
    except_people: tuple[str, ...] = ()


class ApprovalsRule(_Rule):
    """What is large has an approval."""

    check: Literal["approvals"]
    limits: Annotated[dict[Approvable, Amount], Field(min_length=1)]
    critical_above: Amount | None = None
    own_approvals: bool = False


class LatePostingsRule(_Rule):
    """Nothing is posted into a month after its close."""

    check: Literal["late_postings"]
    grace_days: Annotated[int, Field(ge=0, le=366)] = 0
    above: Amount = Decimal(0)


class PersonalDataRule(_Rule):
    """Free text holds no personal data."""

    check: Literal["personal_data"]
    kinds: Annotated[tuple[PersonalKind, ...], Field(min_length=1)]
    columns: Annotated[dict[Role, tuple[str, ...]], Field(min_length=1)]

    @field_validator("columns")
    @classmethod
    def _documented(cls, columns: dict[Role, tuple[str, ...]]) -> dict[Role, tuple[str, ...]]:
        for role, names in columns.items():
            texts = [shape.column for shape in TABLES[role] if shape.type == "text"]
            for name in names:
                if name not in texts:
                    raise ValueError(f"{role} has no text column {name!r}; it has {_list(texts)}")
        return columns


class AnomaliesRule(_Rule):
    """What the analysis found."""

    check: Literal["anomalies"]
    severity: Literal["critical", "high", "medium", "low", "as_found"]  # pyright: ignore[reportIncompatibleVariableOverride]  # one word more, on purpose
    at_least: Severity = "low"
    kinds: tuple[AnomalyKind, ...]


Rule: TypeAlias = Annotated[
    BalanceRule
    | ReconciliationRule
    | MaterialityRule
    | MissingPeriodsRule
    | SegregationRule
    | ApprovalsRule
    | LatePostingsRule
    | PersonalDataRule
    | AnomaliesRule,
    Field(discriminator="check"),
]
RuleId: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]


class RulePack(Frozen):
    """The rules that a review applies."""

    materiality: Materiality = Materiality()
    rules: Annotated[dict[RuleId, Rule], Field(min_length=1)]


_PACK_TYPE: Final = TypeAdapter(RulePack)


def rule_pack(changes: Json = None) -> RulePack:
    """The pack that ships with us, with what a run changes in it.

    Args:
        changes: The workflow's input `rules`: None, an object, or a text with YAML.

    Raises:
        TaskRejected: The rules have faults; the message and `detail` list all, each with its path.
    """
    shipped = _shipped()
    pack, faults = _merged(shipped, _loaded(changes) if isinstance(changes, str) else changes)
    try:
        checked = _PACK_TYPE.validate_python(pack)
    except ValidationError as error:
        faults.extend(_faults(error, pack))
        checked = None
    if faults or checked is None:
        raise _refused(faults)
    return checked


def _shipped() -> dict[str, Any]:
    return _loaded(files(_PACKAGE).joinpath(_PACK).read_text("utf-8"))


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        fault = Problem(
            message=f"not YAML: {getattr(error, 'problem', None) or error}",
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        )
        raise _refused([fault]) from error


def _merged(shipped: dict[str, Any], changes: Any) -> tuple[dict[str, Any], list[Problem]]:
    """The pack as a run wants it, and what cannot be merged at all."""
    if changes is None:
        return shipped, []
    if not isinstance(changes, Mapping):
        return shipped, [Problem(message="`rules` is an object, or a text with YAML")]
    asked = dict(cast("Mapping[str, Any]", changes))
    faults: list[Problem] = []
    replace = asked.pop("replace", False)
    if not isinstance(replace, bool):
        faults.append(Problem(path="replace", message="true or false"))
    pack: dict[str, Any] = {"rules": {}} if replace is True else dict(shipped)
    rules = asked.pop("rules", {})
    if isinstance(rules, Mapping):
        pack["rules"] = _with_changes(pack["rules"], cast("Mapping[str, Any]", rules), faults)
    else:
        faults.append(Problem(path="rules", message="an object: rules by their ids"))
    if "materiality" in asked:
        pack["materiality"] = _over(pack.get("materiality", {}), asked.pop("materiality"))
    return {**pack, **asked}, faults


def _with_changes(
    rules: Mapping[str, Any], changes: Mapping[str, Any], faults: list[Problem]
) -> dict[str, Any]:
    changed = dict(rules)
    for rule_id, change in changes.items():
        if change is False or change is None:
            if changed.pop(rule_id, None) is None:
                path = f"rules.{rule_id}"
                faults.append(Problem(path=path, message="there is no such rule to switch off"))
        else:
            changed[rule_id] = _over(changed.get(rule_id, {}), change)
    return changed


def _over(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**cast("Mapping[str, Any]", old), **cast("Mapping[str, Any]", new)}
    return new


def _faults(error: ValidationError, pack: Mapping[str, Any]) -> Iterable[Problem]:
    for fault in error.errors(include_url=False, include_context=False):
        path = _path(fault["loc"], pack)
        unknown = fault["type"] == "extra_forbidden"
        missing_check = fault["type"] == "union_tag_not_found"
        message = (
            "there is no such field"
            if unknown
            else "says no `check`; is the id misspelt, or the rule not complete?"
            if missing_check
            else fault["msg"].removeprefix("Value error, ")
        )
        yield Problem(
            message=message,
            path=".".join(path),
            suggestion=_suggestion(path, pack) if unknown or missing_check else None,
        )


def _path(location: tuple[int | str, ...], pack: Mapping[str, Any]) -> list[str]:
    """Without what pydantic adds for itself: the kind of rule, the type of a union."""
    parts = [str(part) for part in location if part != "[key]"]
    if parts[:1] != ["rules"] or len(parts) < 3:
        return parts
    rules = cast("Mapping[str, Any]", pack["rules"])
    rule: Any = rules.get(parts[1])
    if isinstance(rule, Mapping) and cast("Mapping[str, Any]", rule).get("check") == parts[2]:
        del parts[2]
    return [part for part in parts if not part.startswith(("literal[", "lax-or-strict"))]


def _suggestion(path: list[str], pack: Mapping[str, Any]) -> str | None:
    if path[:1] != ["rules"]:
        known = list(Materiality.model_fields) if len(path) > 1 else [*RulePack.model_fields]
    elif len(path) == 2:
        known = list(_shipped()["rules"])
    else:
        known = _fields_of(pack["rules"][path[1]]["check"])
    close = difflib.get_close_matches(path[-1], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {_list(sorted(known))}"


def _fields_of(check: str) -> list[str]:
    for kind in get_args(get_args(Rule)[0]):
        if get_args(kind.model_fields["check"].annotation) == (check,):
            fields = cast("type[_Rule]", kind).model_fields
            return [field.alias or name for name, field in fields.items()]
    return []


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _refused(faults: list[Problem]) -> TaskRejected:
    lines = [_line(fault) for fault in faults[:FAULTS_MAX]]
    more = f"; and {len(faults) - FAULTS_MAX} more" if len(faults) > FAULTS_MAX else ""
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    return TaskRejected(
        f"the compliance rules have {count}: {'; '.join(lines)}{more}",
        code="rules",
        detail=[fault.model_dump(exclude_none=True) for fault in faults],
    )


def _line(fault: Problem) -> str:
    where = f"rules.{fault.path}" if fault.path else "rules"
    if fault.line is not None:
        where += f" line {fault.line}, column {fault.column}"
    return f"{where}: {fault.message}" + (f" ({fault.suggestion})" if fault.suggestion else "")
