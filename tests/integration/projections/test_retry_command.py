"""`dalsegno views retry`: what was parked is taken once the code can."""

import json

import pytest
from click.testing import CliRunner, Result
from integration.projections.databases import Databases
from unit.projections.story import RUN, assigned, started, told

from dalsegno.commands.views import views
from dalsegno.output import typed as as_typed
from dalsegno_orchestrator.history import Sealed
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.runs import RUNS

NEWER = "task-assigned.v9"


def typed(databases: Databases, *words: str) -> Result:
    environment = {
        "DALSEGNO_STORE_URL": databases.store_url,
        "DALSEGNO_VIEWS_URL": databases.views_url,
        "DALSEGNO_NAMESPACE": databases.namespace,
    }
    return CliRunner().invoke(views, words, env=environment)


def test_parked_events_are_tried_again_and_taken_when_the_code_knows_them(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = told(started(), assigned("a"))
    newer = Sealed(
        stream_id=two.stream_id, version=2, kind=NEWER, state=two.state, digest=two.digest
    )
    databases.store.append([one, newer])
    databases.projector().catch_up()

    still = typed(databases, "retry")
    assert still.exit_code == 1
    assert f"7 events could not be taken; why: {as_typed('views parked')}" in still.output
    assert databases.rows.load(RUNS, [(str(RUN),)])[str(RUN),].version == 1

    monkeypatch.setitem(e.EVENT_TYPES, NEWER, e.TaskAssigned)
    taken = typed(databases, "retry")
    assert (taken.exit_code, taken.output.startswith("folded runs, tasks, audit")) == (0, True)
    assert databases.rows.load(RUNS, [(str(RUN),)])[str(RUN),].version == 2
    assert typed(databases, "retry").output == "nothing is parked\n"
    assert json.loads(typed(databases, "retry", "--json").output)["views"] == []
