"""Server-sent events: what a page follows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import HTTPException
from fastapi.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from streamforest.web.app import Office

LONGEST_STREAM_S = 900.0
_BEAT_S = 15.0


def event(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def following(office: Office, stream: AsyncIterator[str]) -> Response:
    """A response of events, with a comment where nothing happens, so that proxies keep it open.

    Raises:
        HTTPException: 503, half of all connections follow something already.
    """
    if office.streams >= office.settings.connections // 2:
        raise HTTPException(503, "Too many pages follow something now. Read the address without /events instead.")

    async def body() -> AsyncIterator[str]:
        office.streams += 1
        coming = asyncio.ensure_future(anext(stream, None))
        over = asyncio.ensure_future(office.closing.wait())
        try:
            yield ": here\n\n"
            until = time.monotonic() + LONGEST_STREAM_S
            while time.monotonic() < until:
                await asyncio.wait({coming, over}, timeout=_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    return
                if not coming.done():
                    yield ": still here\n\n"
                    continue
                text = coming.result()
                if text is None:
                    return
                yield text
                coming = asyncio.ensure_future(anext(stream, None))
        finally:
            coming.cancel()
            over.cancel()
            office.streams -= 1

    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
