"""A MongoDB for tests: a container with a login, which ends with the tests."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from streamforest.store import StoreUnreachable, connect

IMAGE = "mongo:8"
LIMIT_S = 60


@dataclass(frozen=True)
class Mongo:
    """A running server."""

    container: str
    address: str

    def stop(self) -> None:
        docker("stop", "-t", "5", self.container)

    def start(self) -> None:
        docker("start", self.container)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False)


def possible() -> bool:
    """True where an engine has the image."""
    return shutil.which("docker") is not None and docker("image", "inspect", IMAGE).returncode == 0


@contextlib.contextmanager
def running() -> Iterator[Mongo]:
    """A server that answers; the test is skipped where no engine has the image."""
    if not possible():
        pytest.skip(f"no engine here that has the image {IMAGE}")
    password = uuid.uuid4().hex
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    login = ["-e", "MONGO_INITDB_ROOT_USERNAME=tests", "-e", f"MONGO_INITDB_ROOT_PASSWORD={password}"]
    started = docker("run", "-d", "-p", f"127.0.0.1:{port}:27017", *login, IMAGE)
    assert started.returncode == 0, started.stderr
    address = f"mongodb://tests:{password}@127.0.0.1:{port}/agile_data_science?authSource=admin"
    found = Mongo(started.stdout.strip(), address)
    try:
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                with closing(connect(address)) as opened:
                    opened.ping()
                break
            except StoreUnreachable:
                assert time.monotonic() < until, "MongoDB did not start"
                time.sleep(0.2)
        yield found
    finally:
        docker("rm", "-f", "-v", found.container)
