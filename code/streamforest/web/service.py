"""The API: ask, read the answer, follow it, and the health of what it depends on."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from streamforest.errors import StreamforestError
from streamforest.web.asking import Asked, stamped, understand
from streamforest.web.channel import NotSent
from streamforest.web.desk import Reply, Status
from streamforest.web.following import event, following
from streamforest.web.schema import FIELDS_SCHEMA, FORM_TYPE, JSON_TYPE, WRONG, AskedOut, HealthOut, ReplyOut, WrongOut

if TYPE_CHECKING:
    from streamforest.web.app import Office

PREDICT = "/flights/delays/predict/classify_realtime"
_HEALTH_S = 4.0

router = APIRouter()

Identity = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="What asking returned as id")]


@router.post(
    PREDICT,
    status_code=202,
    summary="Ask for the delay of a flight",
    response_model=AskedOut,
    responses={**WRONG, 200: {"model": ReplyOut, "description": "The answer, where the client preferred to wait"}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON_TYPE: {"schema": FIELDS_SCHEMA}, FORM_TYPE: {"schema": FIELDS_SCHEMA}},
        }
    },
)
async def ask(
    request: Request,
    prefer: Annotated[str | None, Header(description="wait=5: wait up to 5 s for the answer (RFC 7240)")] = None,
) -> Response:
    """Send a request to the stream; its answer is read at ``response``."""
    accepted_ms = now_ms()
    office = office_of(request)
    asked = understand(await fields(request), office.catalogue)
    if asked.event is None:
        return wrong(asked)
    identity = await send(office, asked, accepted_ms)
    seconds = _preferred(prefer)
    if seconds:
        reply = await office.desk.settled(identity, min(seconds, office.desk.timeout_s))
        if reply is not None and reply.status is not Status.WAIT:
            return JSONResponse(shown(reply), headers={"preference-applied": f"wait={seconds:g}"})
    where = f"{PREDICT}/response/{identity}"
    return JSONResponse(
        {"status": "OK", "id": identity, "response": where}, status_code=202, headers={"location": where}
    )


@router.get(
    f"{PREDICT}/response/{{id}}",
    summary="The state of a request",
    response_model=ReplyOut,
    responses={
        404: {"model": WrongOut, "description": "Nothing is known of this id"},
        422: {"model": WrongOut, "description": "This can be no id"},
        503: {"model": WrongOut, "description": "It is not at hand here, and the store does not answer"},
    },
)
async def response(request: Request, id: Identity) -> Response:  # noqa: A002 - the name in the address
    """WAIT, OK with the prediction, ERROR, or TIMEOUT (which may still become OK)."""
    return JSONResponse(shown(await found(office_of(request), id)))


@router.get(
    f"{PREDICT}/response/{{id}}/events",
    summary="Follow a request",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "An event at each change",
        },
        404: {"model": WrongOut, "description": "Nothing is known of this id"},
        422: {"model": WrongOut, "description": "This can be no id"},
        503: {"model": WrongOut, "description": "Too many are followed already, or the store does not answer"},
    },
)
async def events(request: Request, id: Identity) -> Response:  # noqa: A002 - the name in the address
    """Server-sent events ``reply`` with what the address without ``/events`` returns; the answer is the last."""
    office = office_of(request)
    first = await found(office, id)

    async def stream() -> AsyncIterator[str]:
        if office.desk.reply(id) is None:
            yield event("reply", shown(first))
            return
        async for reply in office.desk.replies(id):
            yield event("reply", shown(reply))

    return following(office, stream())


@router.get(
    "/health",
    summary="The health of each dependency",
    response_model=HealthOut,
    responses={503: {"model": HealthOut, "description": "Something that is needed does not answer"}},
)
async def health(request: Request) -> Response:
    """Kafka and the store are asked; the stream is judged by its answers."""
    office = office_of(request)
    state = {"kafka": _kafka(office), "store": await _store(office), "stream": _stream(office)}
    well = all(one["ok"] is not False for one in state.values())
    body = {"status": "ok" if well else "degraded", "dependencies": state, "waiting": office.desk.length}
    usable = state["kafka"]["ok"] and state["store"]["ok"]
    return JSONResponse(body, status_code=200 if usable else 503)


def office_of(request: Request) -> Office:
    """What the routes of the application work with."""
    found: Office = request.app.state.office
    return found


async def fields(request: Request) -> Mapping[str, Any]:
    """The fields of a body, JSON or a form.

    Raises:
        HTTPException: it is neither, or damaged.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind not in (JSON_TYPE, FORM_TYPE):
        raise HTTPException(415, f"Send {JSON_TYPE} or {FORM_TYPE}.")
    try:
        if kind == FORM_TYPE:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
        read = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise HTTPException(400, f"The body is no {kind}.") from None
    if not isinstance(read, dict):
        raise HTTPException(400, "The body is no JSON object. Send one with the fields of the form.")
    return read


def wrong(asked: Asked) -> Response:
    """What is wrong with each field."""
    count = len(asked.errors)
    message = f"{count} field{'s are' if count > 1 else ' is'} wrong, and nothing was asked."
    return JSONResponse({"status": "ERROR", "message": message, "errors": dict(asked.errors)}, status_code=422)


async def send(office: Office, asked: Asked, accepted_ms: float) -> str:
    """Send a request and return its id once Kafka has it.

    Raises:
        HTTPException: 503, Kafka does not take it or too many wait.
    """
    from streamforest.web.app import KAFKA_AWAY

    if not office.channel.alive:
        raise HTTPException(503, KAFKA_AWAY, headers={"retry-after": "5"})
    if office.desk.full:
        waiting = f"{office.desk.length:,} requests wait for an answer, and no more are taken."
        raise HTTPException(503, f"{waiting} Ask again later.", headers={"retry-after": "10"})
    identity = str(uuid.uuid4())
    value = json.dumps(stamped(asked.event or {}, identity, accepted_ms)).encode()
    office.desk.ask(identity)
    try:
        # Named as in streaming.answering, which needs Spark to be imported.
        headers = {"accepted_ms": str(int(accepted_ms))}
        await office.channel.send(office.asked.events, identity, value, headers)
    except NotSent as error:
        message = f"Kafka did not take the request ({error}). Ask again."
        office.desk.fail(identity, message)
        raise HTTPException(503, message, headers={"retry-after": "5"}) from None
    return identity


async def found(office: Office, identity: str) -> Reply:
    """What is known of a request, here or in the store.

    Raises:
        HTTPException: 404, nothing; 503, the store does not answer.
    """
    reply = office.desk.reply(identity)
    if reply is not None:
        return reply
    try:
        kept = await run_in_threadpool(office.store.answer, identity)
    except StreamforestError as error:
        raise HTTPException(503, f"{error}. Try again.", headers={"retry-after": "5"}) from None
    if kept is None:
        raise HTTPException(404, "Nothing is known of this id. Ask again.")
    return Reply(id=identity, status=Status.OK, prediction=kept)


def shown(reply: Reply) -> dict[str, Any]:
    """A reply as JSON; what it does not have is left out."""
    body: dict[str, Any] = {"status": str(reply.status), "id": reply.id}
    if reply.prediction is not None:
        body |= {"prediction": dict(reply.prediction), "latency_ms": stages(reply)}
    if reply.message is not None:
        body["message"] = reply.message
    return body


def stages(reply: Reply) -> dict[str, float | None]:
    """Milliseconds by stage, as :class:`~streamforest.web.schema.StagesOut` names them."""
    times = (reply.prediction or {}).get("latency") or {}
    accepted, asked, answered = (_number(times.get(name)) for name in ("acceptedMs", "kafkaMs", "answeredMs"))
    return {
        "to_kafka": _between(accepted, asked),
        "spark": _between(asked, answered),
        "to_page": _between(answered, reply.readable_ms),
        "total": _between(accepted, reply.readable_ms),
    }


def now_ms() -> float:
    """The present in ms since 1970."""
    return time.time_ns() / 1e6


def _kafka(office: Office) -> dict[str, Any]:
    if office.channel.alive:
        return {"ok": True, "detail": f"answers at {office.kafka}"}
    return {"ok": False, "detail": f"does not answer at {office.kafka}"}


async def _store(office: Office) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_HEALTH_S):
            await run_in_threadpool(office.store.ping)
    except TimeoutError:
        return {"ok": False, "detail": f"no answer in {_HEALTH_S:g} s"}
    except StreamforestError as error:
        return {"ok": False, "detail": str(error)}
    if office.keeper.trouble is not None:
        return {"ok": True, "detail": f"answers, and the keeper says: {office.keeper.trouble}"}
    return {"ok": True, "detail": f"answers; {office.keeper.kept:,} predictions kept since the start"}


def _stream(office: Office) -> dict[str, Any]:
    if office.desk.overdue:
        return {"ok": False, "detail": f"{office.desk.overdue:,} requests wait longer than {office.desk.timeout_s:g} s"}
    if office.desk.answered_at is None:
        return {"ok": None, "detail": "nothing was asked since the start"}
    return {"ok": True, "detail": f"answered {time.monotonic() - office.desk.answered_at:.0f} s ago"}


def _preferred(prefer: str | None) -> float:
    matched = re.search(r"\bwait=(\d{1,3})\b", prefer or "", re.ASCII)
    return float(matched[1]) if matched else 0.0


def _between(begin: float | None, end: float | None) -> float | None:
    return round(end - begin, 1) if begin is not None and end is not None else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _no_number(name: str) -> float:
    raise ValueError(name)
