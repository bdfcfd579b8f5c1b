"""What may leave an agent."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from dalsegno_agents.values import NotJson, as_json, clean


class Ledger(BaseModel):
    total: float = 0.0
    rest: Any = None


LEDGER: TypeAdapter[Any] = TypeAdapter(Ledger)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Ledger(total=math.nan), "total: nan"),
        (Ledger(rest={"rows": [1.5, {"x": math.inf}]}), "rest.rows.1.x: inf"),
        (Ledger(rest=Ledger(total=-math.inf)), "rest.total: -inf"),
        (Ledger(rest={"n": 2**64}), "rest.n: an integer of 65 bits"),
    ],
)
def test_a_number_that_json_cannot_say_is_named_with_its_path(value: Ledger, path: str) -> None:
    with pytest.raises(NotJson) as caught:
        as_json(value, LEDGER)

    assert str(caught.value).startswith(path)


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("value", [math.nan, object(), "\ud800", circle(), {"a": {1, math.inf}}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(NotJson):
        as_json(value)


def test_a_value_of_another_type_is_refused_with_its_path() -> None:
    with pytest.raises(NotJson, match="total: Input should be a valid number"):
        as_json({"total": "much"}, LEDGER)


def test_the_largest_integers_pass() -> None:
    assert as_json([2**64 - 1, -(2**63)]) == [2**64 - 1, -(2**63)]


def test_an_absent_value_is_null_and_not_a_flaw() -> None:
    assert as_json(Ledger(rest=[None, 1.5]), LEDGER) == {"total": 0.0, "rest": [None, 1.5]}


def test_fields_are_named_as_the_schema_of_the_output_names_them() -> None:
    class Row(BaseModel):
        from_: str = Field(serialization_alias="from")

    kind: TypeAdapter[Any] = TypeAdapter(Row)

    assert as_json(Row(from_="a"), kind) == {"from": "a"}
    assert list(kind.json_schema(mode="serialization")["properties"]) == ["from"]


def test_text_is_cut_and_made_fit_for_every_encoder() -> None:
    assert clean("a\ud800b", chars_max=2) == "a\\ud800"
