"""The pages for people."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool

from streamforest.errors import StreamforestError
from streamforest.web import following, schema, service
from streamforest.web.asking import FIELDS, FIRST_DAY, LAST_DAY, LEAST_DELAY, MOST_DELAY, understand
from streamforest.web.desk import Reply, Status

FORM = "/flights/delays/predict_kafka"
RESULTS = "/flights/delays/predict_batch/results"
ROWS = 100

router = APIRouter(default_response_class=HTMLResponse)


def _told(description: str) -> dict[str, Any]:
    """What an error is described as: a page for people, JSON for others."""
    wrong = {"schema": {"$ref": "#/components/schemas/WrongOut"}}
    return {"description": description, "content": {"application/json": wrong, "text/html": {}}}


_NO_ID: dict[int | str, dict[str, Any]] = {422: _told("This can be no id")}

_NAMES = {"Carrier": "airline", "Origin": "origin", "Dest": "destination", "Route": "route"}

_templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)
_templates.env.filters["clock"] = lambda ms: datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
_templates.env.filters["departure"] = lambda late: (
    "left on the minute" if late == 0 else f"left {abs(late):g} min {'late' if late > 0 else 'early'}"
)
_templates.env.filters["percent"] = lambda share: f"{100 * share:.0f} %"


@router.get("/", summary="What is here")
async def index(request: Request) -> Response:
    """The door."""
    return _page(request, "index.html")


@router.get(FORM, summary="The form, and the answer to a request", responses=_NO_ID)
async def form(
    request: Request,
    id: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = None,  # noqa: A002
) -> Response:
    """With ``id`` the answer to that request below the form; other parameters fill the form in."""
    office = service.office_of(request)
    given = {name: request.query_params.get(name, "")[:40] for name in FIELDS}
    reply = None
    if id is not None:
        try:
            reply = await service.found(office, id)
        except HTTPException as error:
            reply = Reply(id=id, status=Status.ERROR, message=str(error.detail))
    if reply is not None and reply.prediction is not None:
        given = {name: given[name] or _typed(reply.prediction.get(name)) for name in FIELDS}
    return _form(request, given, {}, reply)


@router.post(
    FORM,
    summary="Ask with the form, without JavaScript",
    status_code=303,
    responses={
        **{code: _told(wrong["description"]) for code, wrong in schema.WRONG.items()},
        422: _told("The form again, with what is wrong"),
    },
    openapi_extra={"requestBody": {"required": True, "content": {schema.FORM_TYPE: {"schema": schema.FIELDS_SCHEMA}}}},
)
async def submit(request: Request) -> Response:
    """Leads to the page of the request."""
    accepted_ms = service.now_ms()
    office = service.office_of(request)
    given = await service.fields(request)
    asked = understand(given, office.catalogue)
    if asked.event is None:
        typed = {name: str(given.get(name) or "")[:40] for name in FIELDS}
        return _form(request, typed, asked.errors, None, 422)
    identity = await service.send(office, asked, accepted_ms)
    return RedirectResponse(f"{FORM}?id={identity}", status_code=303)


@router.get(f"{FORM}/{{id}}", summary="The answer as a piece of a page", responses=_NO_ID)
async def answer(request: Request, id: service.Identity) -> Response:  # noqa: A002 - the name in the address
    """What the form's page puts in place at each change."""
    try:
        reply = await service.found(service.office_of(request), id)
    except HTTPException as error:
        reply = Reply(id=id, status=Status.ERROR, message=str(error.detail))
    return _page(request, "answer.html", **_answer(request, reply))


@router.get(
    "/flights/delays/predict_batch",
    summary="Days with batch predictions",
    responses={503: _told("The store does not answer")},
)
async def days(request: Request) -> Response:
    """A list of links."""
    return _page(request, "days.html", days=await _kept(request, "batch_days"), results=RESULTS)


@router.get(
    f"{RESULTS}/{{day}}",
    summary="Batch predictions of a day",
    responses={
        404: _told("No predictions of that day"),
        422: _told("This is no day"),
        503: _told("The store does not answer"),
    },
)
async def results(
    request: Request,
    day: Annotated[date, InPath(description="such as 2013-12-24")],
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """A chart over the whole day, and a table of a hundred flights a page."""
    rows: list[dict[str, Any]] = await _kept(request, "batch", day.isoformat())
    if not rows:
        raise HTTPException(404, f"There are no predictions of {day}. See the list of days.")
    pages = math.ceil(len(rows) / ROWS)
    number = min(page, pages)
    return _page(
        request,
        "batch.html",
        day=day,
        total=len(rows),
        rows=rows[(number - 1) * ROWS : number * ROWS],
        page=number,
        pages=pages,
        results=RESULTS,
        counts=_counts(rows, service.office_of(request).classes),
        carriers=_carriers(rows, len(service.office_of(request).classes)),
        names=service.office_of(request).catalogue.carriers,
        classes=service.office_of(request).classes,
    )


@router.get("/activity", summary="Who is doing what now")
async def activity(request: Request) -> Response:
    """The latest prediction of each user, kept up to date while the page is open."""
    return _page(request, "activity.html", **_activity(request))


@router.get("/activity/now", summary="The same as a piece of a page")
async def activity_now(request: Request) -> Response:
    """What the page puts in place at each change."""
    return _page(request, "activity_now.html", **_activity(request))


@router.get(
    "/activity/events",
    summary="Follow who is doing what",
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        503: _told("Too many follow something already"),
    },
)
async def activity_events(request: Request) -> Response:
    """An event ``change`` whenever something did, at most two a second."""
    office = service.office_of(request)

    async def stream() -> AsyncIterator[str]:
        async for changed in office.board.changes(15.0):
            yield following.event("change", {}) if changed else ": still here\n\n"

    return following.following(office, stream())


@router.get("/favicon.ico", include_in_schema=False)
async def favicon() -> Response:
    """Browsers ask for it whatever the page says."""
    return RedirectResponse("/static/icon.svg")


def error(request: Request, status: int, message: str) -> HTMLResponse:
    """A page that says what is wrong."""
    return _page(request, "error.html", status, status=status, message=message)


def _page(request: Request, template: str, status_code: int = 200, **values: object) -> HTMLResponse:
    page: HTMLResponse = _templates.TemplateResponse(request, template, values, status_code=status_code)
    return page


def _form(
    request: Request, given: Mapping[str, str], errors: Mapping[str, str], reply: Reply | None, status_code: int = 200
) -> Response:
    office = service.office_of(request)
    return _page(
        request,
        "predict.html",
        status_code,
        catalogue=office.catalogue,
        given=given,
        errors=errors,
        bounds={"first": FIRST_DAY, "last": LAST_DAY, "least": LEAST_DELAY, "most": MOST_DELAY},
        shown=_answer(request, reply) if reply is not None else None,
        **(_answer(request, reply) if reply is not None else {}),
    )


def _answer(request: Request, reply: Reply) -> dict[str, Any]:
    """What the answer's piece is made of."""
    office = service.office_of(request)
    prediction = reply.prediction or {}
    probabilities = [one for one in prediction.get("Probabilities") or [] if isinstance(one, (int, float))]
    chosen = prediction.get("Prediction")
    bars = [
        {"name": name, "meaning": meaning, "share": share, "chosen": number == chosen}
        for number, ((name, meaning), share) in enumerate(zip(office.classes, probabilities, strict=False))
    ]
    return {
        "reply": reply,
        "prediction": prediction,
        "bars": bars,
        "best": next((bar for bar in bars if bar["chosen"]), None),
        "unseen": [_NAMES.get(name, name) for name in prediction.get("Unseen") or []],
        "stages": service.stages(reply),
        "permalink": f"{FORM}?id={reply.id}",
    }


def _typed(value: object) -> str:
    """A value of an answer as a person would type it."""
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


async def _kept(request: Request, method: str, *arguments: str) -> Any:  # noqa: ANN401 - whatever the store returns
    try:
        return await run_in_threadpool(getattr(service.office_of(request).store, method), *arguments)
    except StreamforestError as problem:
        raise HTTPException(503, f"{problem}. Try again.") from None


def _counts(rows: Sequence[Mapping[str, Any]], classes: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Flights by predicted class."""
    found = Counter(row.get("Prediction") for row in rows)
    return [
        {"name": name, "meaning": meaning, "count": found[number], "share": found[number] / len(rows)}
        for number, (name, meaning) in enumerate(classes)
    ]


def _carriers(rows: Sequence[Mapping[str, Any]], classes: int) -> list[dict[str, Any]]:
    """Of each carrier how its flights are spread over the classes, the largest carrier first."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for row in rows:
        found[str(row.get("Carrier"))][row.get("Prediction", -1)] += 1
    spread = []
    for carrier, counts in sorted(found.items(), key=lambda one: (-one[1].total(), one[0])):
        left, parts = 0.0, []
        for number in range(classes):
            width = 100 * counts[number] / counts.total()
            parts.append({"left": round(left, 2), "width": round(width, 2), "count": counts[number]})
            left += width
        spread.append({"carrier": carrier, "total": counts.total(), "parts": parts})
    return spread


def _activity(request: Request) -> dict[str, Any]:
    office = service.office_of(request)
    doing = office.board.doing
    return {
        "doing": doing[:ROWS],
        "total": len(doing),
        "counts": Counter(one.action for one in doing).most_common(),
        "topic": office.watched.predictions,
        "alive": office.channel.alive,
        "now_ms": service.now_ms(),
    }
