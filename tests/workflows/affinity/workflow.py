from dalsegno_orchestrator.authoring import Workflow, ref
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Weights


def build() -> WorkflowDefinition:
    flow = Workflow(
        "train-model",
        description="Trains a model and evaluates it where it already lies.",
        input={"type": "object", "required": ["examples"]},
        assignment=Weights(affinity=1.0, idle=0.1),
    )
    train = flow.task(
        "train",
        capability="ml.train",
        input={"examples": ref("input.examples")},
        prefer={"tier": "thorough"},
    )
    evaluate = flow.task(
        "evaluate",
        capability="ml.evaluate",
        input={"model": train["model"]},
        same_agent_as=train,
    )
    return flow.build(output=evaluate.output)
