"""Kafka from outside a stream: does it answer, and are the topics there."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from streamforest.errors import BadInput, Unreachable, WrongUsage
from streamforest.kafka import Kafka

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

DEFAULT_LIMIT_S = 10.0
_RETRY_PAUSE_S = 0.05
_CURE = "start it or give another --bootstrap-servers"


def reachable(kafka: Kafka, timeout_s: float = DEFAULT_LIMIT_S) -> None:
    """Return once one of the servers answers a metadata request.

    Raises:
        Unreachable: none did within ``timeout_s`` seconds, or the login is none of theirs.
        WrongUsage: the servers are not HOST:PORT.
    """
    with _admin(kafka, timeout_s):
        pass


def create_topics(kafka: Kafka, partitions: Mapping[str, int], timeout_s: float = DEFAULT_LIMIT_S) -> None:
    """Create the topics that are missing, one replica each, and return when every one of them has its leaders.

    A topic that exists stays as it is, also with another number of partitions.

    Raises:
        Unreachable: Kafka does not answer, or the topics are not ready, within ``timeout_s`` seconds.
        BadInput: the user may not make what is missing.
    """
    from kafka.errors import AuthorizationError, KafkaError, TopicAlreadyExistsError

    if not partitions:
        return
    with _admin(kafka, timeout_s) as admin:
        try:
            for name in sorted(set(partitions) - set(admin.list_topics())):
                # Another process may create it between the two requests.
                with contextlib.suppress(TopicAlreadyExistsError):
                    admin.create_topics({name: {"num_partitions": partitions[name], "replication_factor": 1}})
            admin.wait_for_topics(list(partitions), timeout_ms=int(timeout_s * 1000))
        except AuthorizationError:
            missing = ", ".join(sorted(set(partitions) - set(admin.list_topics())))
            raise BadInput(
                f"{kafka.who} may not make the topics {missing} of Kafka at {kafka}",
                "have them made: ./control_env.sh start",
            ) from None
        except KafkaError as error:
            names = ", ".join(sorted(partitions))
            raise Unreachable(f"Kafka at {kafka} did not make {names} ({error})", _CURE) from None


def cluster_id(kafka: Kafka, timeout_s: float = DEFAULT_LIMIT_S) -> str:
    """The name that a Kafka cluster gave itself when it was formatted.

    Raises:
        Unreachable: it does not answer within ``timeout_s`` seconds.
    """
    with _admin(kafka, timeout_s) as admin:
        return str(admin.describe_cluster()["cluster_id"])


@contextlib.contextmanager
def _admin(kafka: Kafka, timeout_s: float) -> Iterator[KafkaAdminClient]:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    deadline = time.monotonic() + timeout_s
    # The client itself waits far longer on a closed port than the system call that tells at once.
    _wait_for_port(kafka, deadline)
    limit_ms = max(int((deadline - time.monotonic()) * 1000), 1)
    try:
        admin = KafkaAdminClient(**kafka.python(), bootstrap_timeout_ms=limit_ms, request_timeout_ms=limit_ms)
    except KafkaError as error:
        # The client tries a refused login again until its time is over, and tells no more than that.
        raise Unreachable(
            f"what listens at {kafka} gave {kafka.who} no answer of Kafka's within {timeout_s:g} s ({error})",
            f"{_CURE}, or the login that it asks for (STREAMFOREST_KAFKA_*_PASSWORD)",
        ) from None
    try:
        yield admin
    finally:
        admin.close()


def _wait_for_port(kafka: Kafka, deadline: float) -> None:
    """Return when one of the servers accepts a connection."""
    servers = [_server(text) for text in kafka.servers.split(",")]
    started = time.monotonic()
    while True:
        for server in servers:
            left_s = max(deadline - time.monotonic(), _RETRY_PAUSE_S)
            with contextlib.suppress(OSError), socket.create_connection(server, timeout=left_s):
                return
        if time.monotonic() + _RETRY_PAUSE_S > deadline:
            limit_s = deadline - started
            raise Unreachable(f"no Kafka at {kafka} (waited {limit_s:.0f} s)", _CURE)
        time.sleep(_RETRY_PAUSE_S)


def _server(text: str) -> tuple[str, int]:
    host, port = address(text)
    if not port:
        raise WrongUsage(f"{text!r} is not HOST:PORT", "give --bootstrap-servers as HOST:PORT")
    return host, port


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        WrongUsage: the text is none.
    """
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 65536:
        raise WrongUsage(f"{text!r} is not HOST:PORT", "give HOST:PORT, such as 127.0.0.1:9092")
    return host.strip("[]"), int(port)
