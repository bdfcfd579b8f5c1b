"""Every fault of the mutation check still fits the code that it is made in."""

import ast
from collections import Counter

import pytest
from mutations.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_its_file_and_is_python(fault: Fault) -> None:
    ast.parse(fault.patched())


def test_no_two_faults_have_the_same_name_and_every_room_has_some() -> None:
    names = Counter(fault.name for fault in FAULTS)

    assert max(names.values()) == 1
    assert len(FAULTS) >= 15
    assert {fault.room for fault in FAULTS} == {"core", "pipeline", "leases", "runtime"}
