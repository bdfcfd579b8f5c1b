from pydantic import BaseModel

from dalsegno_agents import Plan, TaskContext
from support.cast import Cast

cast = Cast()


class Product(BaseModel):
    product: str


class Question(Product):
    about: str


class Findings(BaseModel):
    findings: list[str]


@cast.handles("study.plan")
def plan(product: Product, context: TaskContext[str]) -> Plan:
    """Takes a name at first that is taken, and learns from the refusal."""
    name = "summary" if context.last_failure is None else "prices"
    look = {"capability": "study.look_up", "input": {"product": product.product, "about": "price"}}
    return Plan(
        tasks={
            name: look,
            "rivals": {
                "capability": "study.look_up",
                "input": {"product": "${ input.product }", "about": "rivals"},
            },
        },
        output={"findings": [f"${{ tasks.{name} }}", "${ tasks.rivals }"]},
    )


@cast.handles("study.look_up", by=("bob",))
def look_up(question: Question, context: TaskContext[str]) -> str:
    return f"{question.about} of {question.product}"


@cast.handles("study.summarize", by=("cyd",))
def summarize(found: Findings, context: TaskContext[str]) -> str:
    return "; ".join(found.findings)
