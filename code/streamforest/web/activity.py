"""Who is doing what now, from the topic of the application activity."""

from __future__ import annotations

import asyncio
import json
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from streamforest.web.channel import Received

_USERS = 500
_PAUSE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Doing:
    """The latest prediction of one user."""

    user: str
    action: str
    probability: float | None
    timestamp_ms: int
    """On the user's own clock: the end of the window."""
    model: str
    seen_ms: int
    """When the prediction was written to Kafka."""


class Board:
    """The latest prediction of each of the users heard last, at most 500 of them."""

    def __init__(self) -> None:
        self._doing: OrderedDict[str, Doing] = OrderedDict()
        self._changed = asyncio.Event()

    @property
    def doing(self) -> list[Doing]:
        """The user heard last comes first."""
        return list(reversed(self._doing.values()))

    def take(self, messages: Sequence[Received]) -> None:
        """Note what came; a message that is no prediction is passed over."""
        for message in messages:
            found = _doing(message)
            if found is None:
                continue
            before = self._doing.pop(found.user, None)
            # A topic that is read again must not set a user back.
            newest = before if before is not None and before.timestamp_ms > found.timestamp_ms else found
            self._doing[found.user] = newest
            if len(self._doing) > _USERS:
                self._doing.popitem(last=False)
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self, silence_s: float) -> AsyncIterator[bool]:
        """True after each change, at most two a second; False after each ``silence_s`` seconds without one."""
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    await self._changed.wait()
            except TimeoutError:
                yield False
                continue
            yield True
            await asyncio.sleep(_PAUSE_S)


def _doing(message: Received) -> Doing | None:
    try:
        found = json.loads(message.value or b"")
        probability = found.get("probability")
        if probability is not None and not (isinstance(probability, (int, float)) and math.isfinite(probability)):
            return None
        return Doing(
            user=str(found["userId"])[:40],
            action=str(found["action"])[:40],
            probability=probability,
            timestamp_ms=int(found["timestamp"]),
            model=str(found.get("modelVersion", ""))[:40],
            seen_ms=message.written_ms,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
