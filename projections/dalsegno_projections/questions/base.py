"""What every question and answer is, and the bounds that all of them keep."""

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dalsegno_bus.messages import Message

ROWS_MAX: Final = 1_000
"""How many rows one answer has at most."""
ANSWER_BYTES_MAX: Final = 900_000
"""How large an answer may be, to fit into one message with its headers."""

RunRef: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{8,36}$")]
"""A run's id, or 8 or more of its first hexadecimal digits."""
PageLimit: TypeAlias = Annotated[int, Field(ge=1, le=ROWS_MAX)]
Offset: TypeAlias = Annotated[int, Field(ge=0, le=2**31)]
Position: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


class Question(Message):
    """Base of what is asked."""


class Answer(BaseModel):
    """Base of what is answered; a newer server may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Refusal(Message):
    """Why there is no answer: a stable code, and a sentence."""

    code: str
    message: str


class Refused(Message):
    """What comes in place of an answer."""

    error: Refusal
