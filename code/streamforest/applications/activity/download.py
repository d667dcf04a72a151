"""The Actitracker archive of the WISDM Lab: fetched, checked, and its raw files put in place.

J. W. Lockhart et al., "Design Considerations for the WISDM Smart Phone-Based Sensor Mining Architecture",
SensorKDD 2011.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import queue
import shutil
import ssl
import tarfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast
from urllib.parse import urlsplit

from streamforest import files
from streamforest.errors import BadInput, Unreachable
from streamforest.progress import Progress, say

URL = "https://www.cis.fordham.edu/wisdm/includes/datasets/latest/WISDM_at_latest.tar.gz"
REQUIRED = ("WISDM_at_v2.0_raw.txt", "WISDM_at_v2.0_unlabeled_raw.txt")
MEMBERS = (*REQUIRED, "WISDM_at_v2.0_demographics.txt")

T = TypeVar("T")

_CHUNK_BYTES = 1 << 18
_CURE = "try again later, put the files there by hand, or make data with: ./control_env.sh data --generate"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a server may be silent, and how much it may send."""

    connect_s: float = 5.0
    open_s: float = 10.0
    """For name lookup, every address tried, redirects and the response's head together."""
    read_s: float = 20.0
    archive_bytes: int = 2 << 30
    """Several times the archive's size, and far below what fills a disk."""
    content_bytes: int = 16 << 30
    """Of the unpacked archive, skipped members included."""


_LIMITS = Limits()


def download(folder: Path) -> None:
    """Put the archive's raw files into ``folder``; what is there stays until all of them are fetched and unpacked.

    Raises:
        Unreachable: no connection within 5 s, no answer within 10 s, or silence for 20 s.
        BadInput: the archive is damaged, too large, or lacks a raw file.
    """
    fetch(URL, folder)


def fetch(url: str, folder: Path, limits: Limits = _LIMITS) -> None:
    """:func:`download` from any address (HTTP or HTTPS)."""
    files.require_writable(folder)
    place = folder / ".download"
    files.remove(place)
    place.mkdir()
    try:
        archive = place / "archive.tar.gz"
        _receive(url, archive, limits)
        say(f"sha256 of {url}: {files.file_sha256(archive)}")
        for path in _unpack(archive, place, limits):
            files.swap(path, folder / path.name)
    finally:
        files.remove(place)


def _receive(url: str, target: Path, limits: Limits) -> None:
    host = urlsplit(url).netloc
    with _reachable(host):
        response = _within(limits.open_s, lambda: _open(url, limits))
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    if (total or 0) > limits.archive_bytes:
        raise BadInput(f"{url} has {total:,} bytes, far more than expected", _CURE)
    with response, target.open("wb") as file, Progress(f"download from {host}", total, "bytes") as progress:
        for chunk in _chunks(response, host):
            file.write(chunk)
            progress.advance(len(chunk))
            if progress.done > limits.archive_bytes:
                raise BadInput(f"{url} sends far more bytes than expected", _CURE)
    if total is not None and progress.done != total:
        raise Unreachable(f"{host} broke off after {progress.done:,} of {total:,} bytes", _CURE)


def _open(url: str, limits: Limits) -> http.client.HTTPResponse:
    """The response to a GET; its socket waits ``connect_s`` for a connection and then ``read_s`` for each read."""

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(_patient(http.client.HTTPConnection, limits.read_s), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            connection = _patient(http.client.HTTPSConnection, limits.read_s)
            return self.do_open(connection, request, context=ssl.create_default_context())

    response = urllib.request.build_opener(Http, Https).open(url, timeout=limits.connect_s)
    return cast("http.client.HTTPResponse", response)


def _patient(kind: type[http.client.HTTPConnection], read_s: float) -> type[http.client.HTTPConnection]:
    """A connection whose socket waits longer once it is connected."""

    def connect(self: http.client.HTTPConnection) -> None:
        kind.connect(self)
        self.sock.settimeout(read_s)

    return type("Patient", (kind,), {"connect": connect})


def _chunks(response: http.client.HTTPResponse, host: str) -> Iterator[bytes]:
    while True:
        with _reachable(host):
            chunk = response.read(_CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _within(limit_s: float, function: Callable[[], T]) -> T:
    """What the function returns or raises; TimeoutError past the limit, which no socket option sets for name lookup."""
    outcome: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((function(), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = outcome.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    if error is not None:
        raise error
    return cast("T", value)


@contextlib.contextmanager
def _reachable(host: str) -> Iterator[None]:
    """Errors of the network as Unreachable."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise Unreachable(f"{host} answers {error.code} {error.reason}", _CURE) from None
    except urllib.error.URLError as error:
        raise Unreachable(f"cannot reach {host} ({error.reason})", _CURE) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"cannot reach {host} ({str(error) or type(error).__name__})", _CURE) from None


def _unpack(archive: Path, folder: Path, limits: Limits) -> list[Path]:
    """The raw files, unpacked into ``folder`` under their own names; a member's path is never used to write to."""
    found: dict[str, Path] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.offset_data + member.size > limits.content_bytes:
                    raise BadInput("the archive unpacks to far more bytes than expected", _CURE)
                name = _expected(member)
                source = tar.extractfile(member) if name and name not in found else None
                if name and source:
                    with source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK_BYTES)
                    found[name] = folder / name
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"the downloaded archive is damaged or cut off ({error})", _CURE) from None
    if missing := [name for name in REQUIRED if name not in found]:
        raise BadInput(f"the downloaded archive lacks {' and '.join(missing)}", _CURE)
    return list(found.values())


def _expected(member: tarfile.TarInfo) -> str | None:
    """The name of a raw file, where the member is one: a regular file, in any folder inside the archive."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts
    return path.name if inside and member.isreg() and path.name in MEMBERS else None
