"""One workflow with every key of the grammar, in YAML and in Python."""

from typing import Any

import pytest

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.authoring import (
    Workflow,
    check_text,
    expr,
    item,
    iteration,
    previous,
    ref,
)
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import (
    Budget,
    Compensation,
    Dynamic,
    Escalation,
    Limits,
    OtherCapability,
    Repeat,
    Retry,
    RetryOf,
    Schedule,
    SharedKey,
    WaitBefore,
    Weights,
)
from dalsegno_orchestrator.workflow.plan import compile_plan

EVERY_KEY = """
workflow: every-key
version: 7
description: Has every key.
labels: {team: finance}
input:
  type: object
  required: [tenant]
  properties: {tenant: {type: string}, tokens: {type: integer}}
deadline: 2h
cancel_grace: 20s
budget: {usd: 2.5, tokens: 200000, tasks: 100, time: 1h, on_exceeded: ask}
assignment: {success: 0.5, idle: 0.1, affinity: 0.4}
limits: {concurrency: 8, rate: 100/m}
fair_by: ${ input.tenant }
context:
  notes: {on_conflict: append}
  total: {on_conflict: sum}
schedule:
  cron: 0 6 * * 1
  timezone: Europe/Berlin
  overlap: queue
  catchup: one
  input: {tenant: acme}
tasks:
  draft:
    capability: text.draft
    input: {last: "${ previous }", time: "${ iteration }"}
    repeat: {until: "${ output.good || iteration >= 3 }", max: 5, delay: 1s}
    requires: {region: eu}
    prefer: {tier: fast}
    priority: 9
    quota: {tokens: "${ input.tokens * (iteration + 1) }", calls: 1}
  plan:
    capability: text.plan
    input: {draft: "${ tasks.draft }"}
    dynamic: {max_tasks: 10, max_depth: 2}
    agent: planner
  book:
    capability: travel.book
    input: {place: "${ item }"}
    foreach: ${ tasks.plan.places }
    max_parallel: 4
    retry:
      max_attempts: 4
      never: [travel.sold_out, policy.*]
      by_code:
        model.rate_limit: {max_attempts: 10, delay: 5s, factor: 3, max_delay: 2m}
    timeout: 5m
    queue_timeout: 1m
    heartbeat_timeout: 30s
    same_agent_as: plan
    reroute: [other_agent, {wait: 5m}, {capability: travel.book_by_phone}]
    hedge_after: p95
    compensate:
      capability: travel.cancel
      input: {booking: "${ tasks.book.id }", place: "${ item }"}
      requires: {region: eu}
      retry: {max_attempts: 9}
      timeout: 1m
    on_error: continue
  quick: {capability: text.check, hedge_after: 30s, after: [draft]}
  billing:
    workflow: billing
    workflow_version: 3
    input: {bookings: "${ tasks.book }"}
    when: ${ size(tasks.book) > 0 }
    retry: {max_attempts: 2}
    compensate: {capability: billing.revoke, input: "${ tasks.billing.invoice }"}
  approve:
    wait:
      signal: approval
      timeout: 2d
      payload: {type: object, required: [by]}
      escalate:
        - {after: 4h, capability: chat.remind, input: {draft: "${ tasks.draft.title }"}}
        - {after: 1d, capability: chat.call}
    after: [billing]
  rest: {sleep: 10s, after: [approve]}
output: {bookings: "${ tasks.book }", by: "${ tasks.approve.by }"}
"""


def every_key() -> WorkflowDefinition:
    """With models where there are models."""
    flow = Workflow(
        "every-key",
        version=7,
        description="Has every key.",
        labels={"team": "finance"},
        input={
            "type": "object",
            "required": ["tenant"],
            "properties": {"tenant": {"type": "string"}, "tokens": {"type": "integer"}},
        },
        deadline="2h",
        cancel_grace=20,
        budget=Budget(usd=2.5, tokens=200_000, tasks=100, time=3600, on_exceeded="ask"),
        assignment=Weights(success=0.5, idle=0.1, affinity=0.4),
        limits=Limits(concurrency=8, rate="100/m"),
        fair_by=ref("input.tenant"),
        context={"notes": SharedKey(on_conflict="append"), "total": {"on_conflict": "sum"}},
        schedule=Schedule(
            cron="0 6 * * 1",
            timezone="Europe/Berlin",
            overlap="queue",
            catchup="one",
            input={"tenant": "acme"},
        ),
    )
    draft = flow.task(
        "draft",
        capability="text.draft",
        input={"last": previous(), "time": iteration()},
        repeat=Repeat(until=expr("output.good || iteration >= 3"), max=5, delay=1),
        requires={"region": "eu"},
        prefer={"tier": "fast"},
        priority=9,
        quota={"tokens": expr("input.tokens * (iteration + 1)"), "calls": 1},
    )
    plan = flow.task(
        "plan",
        capability="text.plan",
        input={"draft": draft.output},
        dynamic=Dynamic(max_tasks=10, max_depth=2),
        agent="planner",
    )
    retry = Retry(
        max_attempts=4,
        never=("travel.sold_out", "policy.*"),
        by_code={"model.rate_limit": RetryOf(max_attempts=10, delay=5, factor=3, max_delay=120)},
    )
    book = flow.task(
        "book",
        capability="travel.book",
        input={"place": item()},
        foreach=plan["places"],
        max_parallel=4,
        retry=retry,
        timeout="5m",
        queue_timeout="1m",
        heartbeat_timeout=30,
        same_agent_as=plan,
        reroute=[
            "other_agent",
            WaitBefore(wait=300),
            OtherCapability(capability="travel.book_by_phone"),
        ],
        hedge_after="p95",
        compensate=Compensation(
            capability="travel.cancel",
            input={"booking": ref("tasks.book.id"), "place": item()},
            requires={"region": "eu"},
            retry=Retry(max_attempts=9),
            timeout=60,
        ),
        on_error="continue",
    )
    flow.task("quick", capability="text.check", hedge_after=30, after=[draft])
    billing = flow.child(
        "billing",
        workflow="billing",
        version=3,
        input={"bookings": book.output},
        when=expr("size(tasks.book) > 0"),
        retry={"max_attempts": 2},
        compensate={"capability": "billing.revoke", "input": ref("tasks.billing.invoice")},
    )
    approve = flow.wait(
        "approve",
        signal="approval",
        timeout="2d",
        payload={"type": "object", "required": ["by"]},
        escalate=[
            Escalation(after=14_400, capability="chat.remind", input={"draft": draft["title"]}),
            {"after": "1d", "capability": "chat.call"},
        ],
        after=[billing],
    )
    flow.sleep("rest", 10, after=[approve])
    return flow.build(output={"bookings": book.output, "by": approve["by"]})


def test_python_and_yaml_give_the_same_digest_with_every_key() -> None:
    from_yaml, problems = check_text(EVERY_KEY, "every_key.yaml")
    assert problems == []
    assert from_yaml is not None
    assert every_key() == from_yaml
    assert every_key().digest == from_yaml.digest
    assert list(every_key().tasks) == list(from_yaml.tasks)


def test_it_has_every_key_indeed() -> None:
    document = every_key().to_json()
    assert set(document) == set(WorkflowDefinition.model_fields)
    used = {key for task in document["tasks"].values() for key in task}
    assert used == set(TaskDefinition.model_fields)


def test_its_canonical_document_reads_back_the_same() -> None:
    again = WorkflowDefinition.parse(every_key().to_json())
    assert again == every_key()
    assert again.digest == every_key().digest


def test_it_has_a_plan() -> None:
    plan = compile_plan(every_key())
    assert plan.roots == ("draft",)
    assert plan.steps["book"].needs == {"plan"}
    assert plan.steps["approve"].needs == {"billing", "draft"}
    assert plan.steps["billing"].needs == {"book"}


def test_previous_and_iteration_are_written_as_in_yaml() -> None:
    assert (previous(), previous("text"), iteration()) == (
        "${ previous }",  # noqa: RUF027 - CEL, not Python
        "${ previous.text }",
        "${ iteration }",  # noqa: RUF027 - CEL, not Python
    )


GOOD = [
    "repeat: {until: '${ size(output.rows) == 0 && input.x > iteration }'}",
    "repeat: {until: '${ output.ok }'}\ncompensate: {capability: x.z, input: '${ previous }'}",
    "dynamic: {}",
    "retry: {never: [a.b-c_d, model.*], by_code: {model.rate: {delay: 10s}}}",
    "reroute: [{capability: x.z}, other_agent, {wait: 1h}, {capability: x.y}]",
    "agent: bob\nreroute: [{wait: 1h}]",
    "hedge_after: p95",
    "heartbeat_timeout: 10m",
    "quota: {tokens: 2.5, calls: 0}",
    "foreach: [1]\nquota: {tokens: '${ item * 2 }'}",
    "foreach: [1]\nmax_parallel: 2\ncompensate: {capability: x.z, input: ['${ index }']}",
    "compensate: {capability: x.z, input: '${ tasks.a }'}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_makes_sense_is_accepted(text: str) -> None:
    keys = "\n".join(f"    {line}" for line in text.splitlines())
    definition, problems = check_text(
        f"workflow: w\ntasks:\n  a:\n    capability: x.y\n{keys}\n", "w"
    )
    assert problems == []
    assert definition is not None
    compile_plan(definition)


@pytest.mark.parametrize(
    "tasks",
    [
        {"a": {"workflow": "w", "when": "${ input.depth > 0 }"}},
        {"a": {"workflow": "other", "foreach": "${ input.items }", "max_parallel": 3}},
        {"a": {"workflow": "other", "repeat": {"until": "${ output.done }"}}},
        {"a": {"wait": {"signal": "s"}}, "b": {"wait": {"signal": "s"}, "after": ["a"]}},
        {"a": {"wait": {"signal": "budget"}}},
    ],
)
def test_sub_workflows_and_waits_are_accepted(tasks: dict[str, Any]) -> None:
    definition, problems = check_text(str({"workflow": "w", "tasks": tasks}), "w")
    assert problems == []
    assert definition is not None


def test_a_builder_names_what_is_wrong_with_a_child() -> None:
    flow = Workflow("w")
    flow.child("a", workflow="other", input=item())
    with pytest.raises(UsageError, match=r"tasks\.a\.input: \$\{ item|'item' is known only"):
        flow.build()
