"""Fetching the archive, from a server on the loopback interface."""

from __future__ import annotations

import io
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamforest import files
from streamforest.applications.activity import download
from streamforest.applications.activity.download import Limits
from streamforest.errors import BadInput, Unreachable

RAW, LIVE, PEOPLE = download.MEMBERS
HURRIED = Limits(connect_s=0.5, open_s=1.0, read_s=0.3)
Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that gives one answer to every request, and returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/archive.tar.gz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sending(content: bytes, *, claimed: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(claimed or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def archive(members: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


GOOD = archive(
    {f"WISDM_at_v2.0/{RAW}": b"33,Walking,1,2,3,4;\n", f"WISDM_at_v2.0/{LIVE}": b"live\n", "readme.txt": b"hi"}
)


def test_raw_files_are_put_in_place_and_the_checksum_is_told(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download.fetch(serve(sending(GOOD)), tmp_path)

    told = capsys.readouterr().err
    (tmp_path / "again").write_bytes(GOOD)
    assert (tmp_path / RAW).read_bytes() == b"33,Walking,1,2,3,4;\n"
    assert names(tmp_path) == sorted([RAW, LIVE, "again"])
    assert files.file_sha256(tmp_path / "again") in told
    assert f"{len(GOOD):,} of {len(GOOD):,} bytes" in told


def test_a_second_download_replaces_the_first(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / RAW).write_bytes(b"old")

    download.fetch(serve(sending(archive({RAW: b"new", LIVE: b"new", PEOPLE: b"new"}))), tmp_path)

    assert names(tmp_path) == sorted(download.MEMBERS)
    assert {(tmp_path / name).read_bytes() for name in download.MEMBERS} == {b"new"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[: len(GOOD) // 2], "damaged or cut off"),
        (b"<html>moved</html>", "damaged or cut off"),
        (archive({RAW: b"x"}), f"lacks {LIVE}"),
        (archive({f"../{RAW}": b"x", LIVE: b"x"}), f"lacks {RAW}"),
        (archive({f"/tmp/{RAW}": b"x", LIVE: b"x"}), f"lacks {RAW}"),  # noqa: S108 - a hostile name
        (archive({RAW: b"", LIVE: b""}, lambda info: setattr(info, "type", tarfile.SYMTYPE)), "lacks"),
    ],
    ids=["cut off", "no archive", "file missing", "upwards", "absolute", "links"],
)
def test_a_bad_archive_is_bad_input_and_changes_nothing(
    serve: Serve, tmp_path: Path, content: bytes, message: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / RAW).write_bytes(b"old")

    with pytest.raises(BadInput, match=message):
        download.fetch(serve(sending(content)), home)

    assert names(home) == [RAW]
    assert names(tmp_path) == ["home"]
    assert (home / RAW).read_bytes() == b"old"


@pytest.mark.parametrize(
    ("limits", "message"),
    [(Limits(archive_bytes=50), "far more than expected"), (Limits(content_bytes=600), "unpacks to far more")],
)
def test_an_oversized_archive_is_bad_input(serve: Serve, tmp_path: Path, limits: Limits, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        download.fetch(serve(sending(GOOD)), tmp_path, limits)

    assert names(tmp_path) == []


def test_an_endless_answer_of_unknown_length_is_cut(serve: Serve, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x" * 100_000)

    with pytest.raises(BadInput, match="far more bytes than expected"):
        download.fetch(serve(answer), tmp_path, Limits(archive_bytes=1_000_000))

    assert names(tmp_path) == []


def test_a_broken_off_transfer_is_unreachable(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="broke off"):
        download.fetch(serve(sending(GOOD, claimed=len(GOOD) + 5)), tmp_path)

    assert names(tmp_path) == []


def test_not_found_is_unreachable_with_the_cure(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+ answers 404 .*; .*data --generate$"):
        download.fetch(serve(lambda handler: handler.send_error(404)), tmp_path)

    assert names(tmp_path) == []


@pytest.mark.parametrize("head", [False, True], ids=["before the head", "inside the body"])
def test_a_stalled_server_is_unreachable_within_the_limit(serve: Serve, tmp_path: Path, head: bool) -> None:
    woken = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if head:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"x")
        woken.wait(5)

    started = time.monotonic()
    with pytest.raises(Unreachable, match="timed out"):
        download.fetch(serve(answer), tmp_path, HURRIED)
    elapsed_s = time.monotonic() - started
    woken.set()

    assert elapsed_s < 2
    assert names(tmp_path) == []


def test_no_server_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(Unreachable, match="cannot reach"):
        download.fetch(f"http://127.0.0.1:{port}/x", tmp_path, HURRIED)


def test_a_name_lookup_that_hangs_is_unreachable_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(3))

    started = time.monotonic()
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        download.fetch("http://archive.invalid/x", tmp_path, HURRIED)

    assert time.monotonic() - started < 2
