"""The application: create_app puts together desk, channel, keeper, store and routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from streamforest.application import Topics
from streamforest.kafka import Kafka
from streamforest.settings import WebSettings
from streamforest.store import Document, Store
from streamforest.web import catalogue as lists
from streamforest.web import guards, pages, service
from streamforest.web.activity import Board
from streamforest.web.asking import Catalogue
from streamforest.web.channel import Channel, Received
from streamforest.web.desk import Desk
from streamforest.web.keeper import Keeper, document

_HERE = Path(__file__).parent
_BOARD_MESSAGES = 200


@dataclass
class Office:
    """What the routes work with."""

    settings: WebSettings
    kafka: Kafka
    asked: Topics
    """Of the application that answers requests."""
    watched: Topics
    """Of the application whose predictions are shown live."""
    store: Store
    catalogue: Catalogue
    classes: Sequence[tuple[str, str]]
    """Name and meaning of each class, in the order of their numbers."""
    distances: Sequence[Document] = ()
    """What is imported into the store."""
    desk: Desk = field(init=False)
    board: Board = field(init=False)
    channel: Channel = field(init=False)
    keeper: Keeper = field(init=False)
    streams: int = 0
    """Event streams that are open."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server is about to end: whoever holds a request open lets it go."""

    def __post_init__(self) -> None:
        """Build the parts; nothing runs before :meth:`opened`."""
        self.desk = Desk(limit=self.settings.queue, timeout_s=self.settings.timeout_s, trouble=self.trouble)
        self.board = Board()
        self.channel = Channel(
            self.kafka,
            needed={**self.asked.all(), **self.watched.all()},
            listened={
                self.asked.predictions: 0,
                self.asked.invalid: 0,
                self.watched.predictions: _BOARD_MESSAGES,
            },
            take=self._take,
            changed=self.desk.wake,
        )
        self.keeper = Keeper(self.kafka, self.asked.predictions, self.asked.partitions, self.store)

    def trouble(self) -> str | None:
        """What is wrong with Kafka now; None where nothing is."""
        return None if self.channel.alive else KAFKA_AWAY

    def close(self) -> None:
        """Let go all who follow something or wait for an answer; to be called in the event loop."""
        self.closing.set()
        self.desk.wake()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen and keep while the block runs."""
        imported = lists.Import(self.store, list(self.distances))
        self.channel.start()
        self.keeper.start()
        imported.start()
        try:
            yield
        finally:
            imported.stop()
            self.channel.stop()
            self.keeper.stop()
            self.store.close()

    def _take(self, messages: Sequence[Received]) -> None:
        shown: list[Received] = []
        for message in messages:
            if message.topic == self.asked.predictions:
                found = document(message.value, message.written_ms)
                if found is not None:
                    self.desk.answer(found["UUID"], found, service.now_ms())
            elif message.topic == self.asked.invalid:
                self.desk.refuse(message.key, message.headers.get("reason", "unknown"))
            else:
                shown.append(message)
        if shown:
            self.board.take(shown)


KAFKA_AWAY = (
    "Kafka does not answer, so nothing can be asked now. Start it (./control_env.sh status tells its state),"
    " then ask again."
)


def create_app(office: Office) -> FastAPI:
    """The pages and the API over an office, which is opened when the server starts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with office.opened():
            yield

    app = FastAPI(
        title="streamforest",
        summary="Predictions of flight delays through Kafka and Spark, and what people are doing now.",
        version="1",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        debug=False,
    )
    app.state.office = office
    app.include_router(service.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(guards.BodyLimit, limit=office.settings.body_bytes)
    app.add_middleware(guards.RateLimit, rate=office.settings.rate)
    app.add_middleware(guards.SameSite)
    app.add_middleware(guards.SecurityHeaders)
    return app


def _told(request: Request, error: Exception) -> Response:
    """An error as JSON, for people as a page."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    body = {"status": "ERROR", "message": str(error.detail)}
    if "text/html" in request.headers.get("accept", ""):
        return pages.error(request, error.status_code, str(error.detail))
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def _failed(request: Request, error: Exception) -> Response:
    del error
    return _told(request, HTTPException(500, "Something went wrong here. Ask again; if it stays, report it."))


def _misread(request: Request, error: Exception) -> Response:
    """A part of the address or a header that cannot be read."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what the handler is registered for
    found = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    return _told(request, HTTPException(422, f"The address cannot be read ({found})."))
