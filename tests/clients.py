"""Clients of the web pages in numbers: many who ask, one after the other, and a crowd at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

ASK = "/flights/delays/predict/classify_realtime"
_WAIT_S = 15
_AT_ONCE = 100


@contextlib.contextmanager
def asking(address: str, request: Mapping[str, str], rate: float) -> Iterator[list[tuple[str, str]]]:
    """So many requests a second while the block lasts; status and id of each are in the list after it."""
    over = threading.Event()
    found: list[tuple[str, str]] = []
    asked: list[Future[tuple[str, str]]] = []

    def send() -> None:
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            asked.append(pool.submit(_ask, address, request))
            due += 1 / rate

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield found
        finally:
            over.set()
            sender.join()
        found.extend(future.result() for future in asked)


def status(address: str) -> int:
    """HTTP's status of a page."""
    with urllib.request.urlopen(address, timeout=_WAIT_S) as answer:  # noqa: S310  # our own address
        return int(answer.status)


def crowd(address: str, number: int) -> Counter[int]:
    """How many of so many connections, all open before the first one asks, were told which status."""
    return asyncio.run(_crowd(address, number))


def _ask(address: str, request: Mapping[str, str]) -> tuple[str, str]:
    headers = {"Content-Type": "application/json", "Prefer": f"wait={_WAIT_S}"}
    asked = urllib.request.Request(f"{address}{ASK}", json.dumps(request).encode(), headers)  # noqa: S310  # our own
    with urllib.request.urlopen(asked, timeout=2 * _WAIT_S) as answer:  # noqa: S310
        told = json.load(answer)
    return str(told["status"]), str(told["id"])


async def _crowd(address: str, number: int) -> Counter[int]:
    host, _, port = address.removeprefix("http://").partition(":")
    opened = await asyncio.gather(*[asyncio.open_connection(host, int(port)) for _ in range(number)])
    try:
        told = await asyncio.gather(*[_status(host, *streams) for streams in opened])
    finally:
        for _, writer in opened:
            writer.close()
    return Counter(told)


async def _status(host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    line = await reader.readline()
    return int(line.split()[1])
