"""What the API takes and gives, as its description tells."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from streamforest.web.asking import FIELDS, LEAST_DELAY, MOST_DELAY

JSON_TYPE, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"


class StagesOut(BaseModel):
    """Milliseconds of each stage; null where it is not known."""

    to_kafka: float | None = Field(description="from acceptance to the request in Kafka")
    spark: float | None = Field(description="from the request in Kafka to the answer in Kafka")
    to_page: float | None = Field(description="from the answer in Kafka to its being readable here")
    total: float | None = Field(description="from acceptance to its being readable here")


class ReplyOut(BaseModel):
    """The state of a request."""

    status: Literal["WAIT", "OK", "ERROR", "TIMEOUT"]
    id: str
    prediction: dict[str, Any] | None = Field(None, description="the answer, where the status is OK")
    message: str | None = Field(None, description="what is wrong and what to do")
    latency_ms: StagesOut | None = None


class AskedOut(BaseModel):
    """A request that is on its way."""

    status: Literal["OK"]
    id: str
    response: str = Field(description="where to read the answer")


class WrongOut(BaseModel):
    """Why nothing was asked or found."""

    status: Literal["ERROR"]
    message: str
    id: str | None = None
    errors: dict[str, str] | None = Field(None, description="a sentence for each field that is wrong")


class DependencyOut(BaseModel):
    """One thing that the pages depend on."""

    ok: bool | None = Field(description="null where nobody can tell")
    detail: str


class HealthOut(BaseModel):
    """All of them; ``ok`` where the pages can do their work."""

    status: Literal["ok", "degraded"]
    dependencies: dict[str, DependencyOut]
    waiting: int = Field(description="requests without an answer")


FIELDS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(FIELDS),
    "additionalProperties": False,
    "properties": {
        "Carrier": {"type": "string", "description": "code of an airline, such as AA"},
        "Origin": {"type": "string", "description": "code of an airport, such as JFK"},
        "Dest": {"type": "string", "description": "code of another airport"},
        "FlightDate": {"type": "string", "format": "date"},
        "FlightNum": {"type": "string", "pattern": "^[1-9][0-9]{0,3}$"},
        "DepDelay": {
            "type": "number",
            "minimum": LEAST_DELAY,
            "maximum": MOST_DELAY,
            "description": "minutes late at departure, negative when early",
        },
    },
}
WRONG: dict[int | str, dict[str, Any]] = {
    400: {"model": WrongOut, "description": "The body is no JSON object and no form"},
    403: {"model": WrongOut, "description": "Sent by a page of another site"},
    413: {"model": WrongOut, "description": "The body is too large"},
    415: {"model": WrongOut, "description": f"Neither {JSON_TYPE} nor {FORM_TYPE}"},
    422: {"model": WrongOut, "description": "A field is wrong; errors says which and why"},
    429: {"model": WrongOut, "description": "Too many requests of one client"},
    503: {"model": WrongOut, "description": "Kafka does not answer, or too many requests wait"},
}
