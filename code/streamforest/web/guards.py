"""What stands before every route: how much a client may send, how often, and what a browser may do with a page."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CLIENTS = 10_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SecurityHeaders:
    """Every answer carries the headers; pages are not kept by caches, files are asked for again when they changed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cached = "no-cache" if scope["path"].startswith("/static/") else "no-store"

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = {**_HEADERS, "cache-control": cached}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), text.encode()) for name, text in more.items() if name.encode() not in given),
                ]
            await send(message)

        await self._app(scope, receive, with_headers)


class SameSite:
    """Refuses what another site's page makes a browser send; reading is free to all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            site = dict(scope["headers"]).get(b"sec-fetch-site", b"none")
            if site not in (b"same-origin", b"same-site", b"none"):
                await refuse(send, 403, "A page of another site sent this request. Use the form here.")
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too large, by their announced length or by what comes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request: the body is read here, whole, and handed on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        body = await self._read(receive) if announced.isdigit() and int(announced) <= self._limit else None
        if body is None:
            await refuse(
                send, 413, f"The body is larger than {self._limit:,} bytes. Send the fields of the form alone."
            )
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        parts, length = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self._limit:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


class RateLimit:
    """Refuses a client that sends (not reads) faster than ``rate`` a second; twice as many are free at once."""

    def __init__(self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._rate, self._clock = app, rate, clock
        self._burst = max(2 * rate, 1.0)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            client = scope.get("client") or ("unknown", 0)
            if not self._take(client[0]):
                await refuse(
                    send,
                    429,
                    f"More than {self._rate:g} requests a second came from your address. Wait a second, ask again.",
                    (b"retry-after", b"1"),
                )
                return
        await self._app(scope, receive, send)

    def _take(self, client: str) -> bool:
        now = self._clock()
        left, at = self._left.pop(client, (self._burst, now))
        left = min(left + (now - at) * self._rate, self._burst)
        self._left[client] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return left >= 1


async def refuse(send: Send, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with an ERROR in the pages' JSON."""
    body = json.dumps({"status": "ERROR", "message": message}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
