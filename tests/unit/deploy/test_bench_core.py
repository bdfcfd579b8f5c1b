"""The measurement of the pure core: what it counts is what was done."""

import orjson
from click.testing import CliRunner

from dalsegno.bench import core
from dalsegno.bench.commands import bench


def test_every_message_of_every_run_is_counted() -> None:
    figures = core.measure(3)
    assert figures.messages == 3 * 6, "a start and five reports each"
    assert figures.messages_per_second > 0
    assert figures.small_task_seconds > 0
    assert figures.large_task_seconds > 0


def test_the_figures_are_one_json_object_on_one_line() -> None:
    result = CliRunner().invoke(bench, ["core", "--runs", "2", "--json"])
    assert result.exit_code == 0, result.output
    said = orjson.loads(result.output)
    assert said["bench"] == "core"
    assert said["messages"] == 12
    assert {"messages_per_second", "ratio_large_to_small", "hardware"} <= said.keys()
