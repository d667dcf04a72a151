"""The verb ``job``: one job, with a Kafka of its home where it asks for one and none is named."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self

from streamforest import cli
from streamforest.embedded.broker import Broker, attach_or_start
from streamforest.errors import Unreachable
from streamforest.progress import say
from streamforest.settings import Settings

PROG = "./control_env.sh job"
_ONE_CHECK_S = 1.0
_MISSES = 3


class HomeKafka:
    """The broker of a home, started when it is first asked for and stopped when the context is left.

    It is watched: when it no longer accepts connections, the block is left with Unreachable within a few seconds,
    while Kafka's own clients would go on trying for minutes. Only the main thread may use it.

    Args:
        shared: take the broker that another process runs in this home; False refuses to.

    Raises:
        Unreachable: the broker ended meanwhile.
    """

    def __init__(self, *, shared: bool = True) -> None:
        self._shared = shared
        self._resources = contextlib.ExitStack()
        self._servers: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._resources.close()
        if isinstance(error, _KafkaEndedError):
            raise Unreachable(f"Kafka at {self._servers} ended meanwhile", "run it again") from None

    def servers(self, given: Settings) -> str:
        """HOST:PORT; starts the broker at the first call.

        Raises:
            BadInput, Unreachable: see :meth:`streamforest.embedded.broker.Broker.start`.
        """
        if self._servers is None:
            folder = given.data / "kafka"
            if self._shared:
                self._servers = self._resources.enter_context(attach_or_start(folder, given))
            else:
                self._servers = self._resources.enter_context(Broker(folder, given)).bootstrap_servers
            say(f"Kafka at {self._servers}")
            self._resources.enter_context(_Watch(self._servers))
        return self._servers


class _KafkaEndedError(BaseException):
    """Not an Exception: py4j turns those into its own while the main thread waits for the JVM."""


class _Watch:
    """Interrupts the main thread with :class:`_KafkaEndedError` once a server refuses several connections in a row."""

    def __init__(self, servers: str) -> None:
        host, _, port = servers.rpartition(":")
        self._server = (host, int(port))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch of Kafka", daemon=True)

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._interrupt)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._before)

    def _watch(self) -> None:
        misses = 0
        while not self._over.wait(_ONE_CHECK_S):
            misses = 0 if self._accepts() else misses + 1
            if misses == _MISSES:
                # Aimed at the main thread, so that the call it waits in is interrupted.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                return

    def _accepts(self) -> bool:
        try:
            socket.create_connection(self._server, timeout=_ONE_CHECK_S).close()
        except OSError:
            return False
        return True

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        # The block may have been left while the signal was on its way.
        if not self._over.is_set():
            raise _KafkaEndedError


def main(argv: Sequence[str]) -> int:
    """Run a job as :func:`streamforest.cli.main` does, with a Kafka where it needs one; returns the exit code."""

    def command() -> None:
        with HomeKafka() as kafka:
            report = cli.run(argv, PROG, kafka=kafka.servers)
        say(json.dumps(report), sys.stdout)

    return cli.outcome(command, argv)
