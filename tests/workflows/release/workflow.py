from dalsegno_orchestrator.authoring import Workflow, expr, literal, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition


def build() -> WorkflowDefinition:
    flow = Workflow(
        "release",
        version=2,
        description="Builds, waits for a person, and ships after a pause.\n",
        labels={"team": "platform"},
        input={
            "type": "object",
            "properties": {
                "wait_for": {"type": "number"},
                "commit": {"pattern": "^[0-9a-f]{7,40}$", "type": "string"},
            },
            "required": ["commit"],
        },
    )
    build = flow.task(
        "build",
        capability="ci.build",
        agent="bob",
        input={
            "name": "build ${ input.commit } of ${ run.workflow } v${ run.version }",
            "price": literal("costs ${amount}"),
        },
        retry={"max_attempts": 1},
        timeout=5400,
    )
    flow.task(
        "announce",
        capability="chat.post",
        input={"text": expr("'built ' + string(tasks.build.seconds) + ' s'")},
        on_error="continue",
    )
    approve = flow.wait("approve", signal="approval", after=[build])
    pause = flow.sleep(
        "cool_down",
        "1m30s",
        after=["approve"],
        when=expr("has(tasks.approve.urgent) ? !tasks.approve.urgent : true") + "\n",
    )
    ship = flow.task(
        "ship",
        capability="ci.ship",
        after=[pause],
        input={"artifact": build["artifact"], "to": ref("context.region")},
    )
    return flow.build(output={"shipped": ship["version"], "by": approve["name"]})
