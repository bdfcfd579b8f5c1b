from dalsegno_orchestrator.authoring import Fallback, Workflow, expr, iteration, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Repeat, Retry, Weights

PATIENT = ref("input.patient")


def build() -> WorkflowDefinition:
    flow = Workflow(
        "patient-monitoring",
        description="Watches a patient, and sees to it that somebody comes when it matters.",
        assignment=Weights(speed=0.6, success=0.4),
        input={
            "type": "object",
            "required": ["patient", "ward", "pulse_max"],
            "properties": {"pulse_max": {"type": "integer", "minimum": 60}},
        },
    )
    watch = flow.task(
        "watch",
        capability="ward.read_monitor",
        input={"patient": PATIENT, "reading": iteration()},
        repeat=Repeat(until=expr("output.pulse > input.pulse_max"), max=2000, delay=300.0),
        retry=Retry(max_attempts=10, delay=1.0, factor=1.0, jitter=0.0),
        timeout="30s",
    )
    assess = flow.task(
        "assess",
        capability="ward.assess",
        input={"pulse": watch["pulse"], "limit": ref("input.pulse_max")},
        priority=9,
        hedge_after="2s",
        requires={"region": "eu"},
    )

    def call(whom: str) -> dict[str, str]:
        return {"whom": whom, "patient": PATIENT, "level": assess["level"]}

    alarm = flow.task("alarm", capability="ward.call", priority=9, input=call("nurse"))
    at_bed = flow.wait(
        "at_bed",
        signal="at_bed",
        timeout="30m",
        payload={"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}},
        escalate=[
            {"after": after, "capability": "ward.call", "input": call(whom)}
            for after, whom in (("2m", "doctor"), ("5m", "chief"))
        ],
        after=[alarm],
        on_error=Fallback("emergency"),
    )
    flow.task("emergency", capability="ward.emergency", input={"patient": PATIENT})
    note = flow.task(
        "note",
        capability="ward.note",
        input={"patient": PATIENT, "pulse": watch["pulse"], "by": at_bed["by"]},
    )
    return flow.build(output={"note": note.output, "by": at_bed["by"]})
