"""Requests that wait for their answers, and answers that wait to be read. Lives in one event loop; knows no Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_REMEMBERED = 20_000
_FORGOTTEN_S = 3600.0


class Status(StrEnum):
    """What is known of a request."""

    WAIT = "WAIT"
    OK = "OK"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The state of one request, as it is shown."""

    id: str
    status: Status
    prediction: Mapping[str, Any] | None = None
    """The answer, where the status is OK."""
    message: str | None = None
    """What is wrong and what to do, where it is ERROR or TIMEOUT."""
    readable_ms: float | None = None
    """When the answer could first be read here, ms since 1970."""

    @property
    def final(self) -> bool:
        """Whether nothing better will come. A TIMEOUT may still be answered."""
        return self.status is Status.OK


@dataclass
class _Waiting:
    asked: float
    error: str | None = None
    listeners: set[asyncio.Event] = field(default_factory=set)


class Desk:
    """Requests by id.

    Args:
        limit: how many may wait for an answer at a time.
        timeout_s: after which a request is told to be a TIMEOUT; its answer is taken all the same.
        trouble: what is wrong with Kafka now, None where nothing is: then all that waits is an ERROR.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        limit: int,
        timeout_s: float,
        trouble: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self.timeout_s, self._trouble, self._clock = limit, timeout_s, trouble, clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self.answered_at: float | None = None
        """When the last answer came, by the clock."""

    @property
    def length(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    @property
    def overdue(self) -> int:
        """How many of those have waited longer than the time-out."""
        since = self._clock() - self.timeout_s
        return sum(1 for one in self._waiting.values() if one.asked < since)

    @property
    def full(self) -> bool:
        """Whether another request would be one too many. Those that nobody answered for an hour are forgotten."""
        while self._waiting and next(iter(self._waiting.values())).asked < self._clock() - _FORGOTTEN_S:
            self._waiting.popitem(last=False)
        return len(self._waiting) >= self._limit

    def ask(self, identity: str) -> None:
        """Note a request that is about to be sent."""
        self._waiting[identity] = _Waiting(self._clock())

    def fail(self, identity: str, message: str) -> None:
        """Note that a request could not be sent. An answer that comes all the same is taken."""
        if identity in self._waiting:
            self._waiting[identity].error = message
            self._tell(self._waiting[identity])

    def answer(self, identity: str, prediction: Mapping[str, Any], readable_ms: float) -> None:
        """Take the answer to a request, of whoever asked it; a repeated one changes nothing."""
        if identity not in self._replies:
            self.answered_at = self._clock()
            self._settle(Reply(id=identity, status=Status.OK, prediction=prediction, readable_ms=readable_ms))

    def refuse(self, identity: str, reason: str) -> None:
        """Take Spark's refusal of a request that was asked here."""
        if identity in self._waiting:
            self.answered_at = self._clock()
            message = f"The stream refused the request: {reason}. Correct it and ask again."
            self._settle(Reply(id=identity, status=Status.ERROR, message=message))

    def reply(self, identity: str) -> Reply | None:
        """What is known of a request; None where it was not asked here and its answer was not seen."""
        if identity in self._replies:
            return self._replies[identity]
        waiting = self._waiting.get(identity)
        if waiting is None:
            return None
        wrong = waiting.error or self._trouble()
        if wrong is not None:
            return Reply(id=identity, status=Status.ERROR, message=wrong)
        if self._clock() - waiting.asked >= self.timeout_s:
            return Reply(id=identity, status=Status.TIMEOUT, message=_LATE.format(seconds=self.timeout_s))
        return Reply(id=identity, status=Status.WAIT)

    async def replies(self, identity: str) -> AsyncIterator[Reply]:
        """The state of a request now and after each change, until it is final."""
        last = None
        event = asyncio.Event()
        waiting = self._waiting.get(identity)
        if waiting is not None:
            waiting.listeners.add(event)
        try:
            while True:
                event.clear()
                found = self.reply(identity)
                if found is None:
                    return
                if found != last:
                    yield found
                    last = found
                if found.final or identity in self._replies:
                    return
                # Time-outs and Kafka's troubles come without an event.
                await _wait(event, _LOOK_S)
        finally:
            if waiting is not None:
                waiting.listeners.discard(event)

    async def settled(self, identity: str, seconds: float) -> Reply | None:
        """The state of a request once it is answered or refused, or after some seconds."""
        event = asyncio.Event()
        waiting = self._waiting.get(identity)
        if waiting is not None:
            waiting.listeners.add(event)
            await _wait(event, seconds)
            waiting.listeners.discard(event)
        return self.reply(identity)

    def wake(self) -> None:
        """Let all who listen look again: Kafka went away or came back."""
        for waiting in self._waiting.values():
            self._tell(waiting)

    def _settle(self, reply: Reply) -> None:
        self._replies[reply.id] = reply
        if len(self._replies) > _REMEMBERED:
            self._replies.popitem(last=False)
        waiting = self._waiting.pop(reply.id, None)
        if waiting is not None:
            self._tell(waiting)

    def _tell(self, waiting: _Waiting) -> None:
        for event in waiting.listeners:
            event.set()


_LOOK_S = 0.5
_LATE = (
    "No answer within {seconds:g} s: the stream still starts, or does not run. Your request is kept in Kafka, and the"
    " answer appears on this page once the stream runs (started by ./control_env.sh web here; on the platform"
    " ./control_env.sh status tells its state)."
)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
