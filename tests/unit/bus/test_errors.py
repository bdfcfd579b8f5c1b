"""Every error: its code, and its way between processes."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import dalsegno_bus
from dalsegno_bus.errors import DalsegnoError, RunRejected, TaskRejected, TaskRetry
from dalsegno_bus.nats.frames import ApiFault

SPECIAL: dict[type[DalsegnoError], DalsegnoError] = {
    RunRejected: RunRejected(["no such workflow", "too deep"]),
    TaskRejected: TaskRejected("empty", code="input.empty", detail={"at": [1, 2]}),
    TaskRetry: TaskRetry("busy", after_seconds=2.5, code="model.busy"),
    ApiFault: ApiFault(10059, "stream not found"),
}


def errors_below(kind: type[DalsegnoError]) -> Iterator[type[DalsegnoError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from errors_below(below)


for _module in pkgutil.iter_modules(dalsegno_bus.__path__, "dalsegno_bus."):
    importlib.import_module(_module.name)
KINDS = [kind for kind in errors_below(DalsegnoError) if kind.__module__.startswith("dalsegno_bus")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling(kind: type[DalsegnoError]) -> None:
    error = SPECIAL.get(kind) or kind("what happened; what to do")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))


def test_a_rejected_run_reads_as_its_reasons() -> None:
    assert str(SPECIAL[RunRejected]) == "no such workflow; too deep"
