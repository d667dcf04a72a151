"""The pages' own line to Kafka: requests out, answers in, and whether anybody is there at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamforest.errors import StreamforestError
from streamforest.kafka import Kafka
from streamforest.progress import say
from streamforest.streaming import topics

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer

_RETRY_S = 0.5
_POLL_MS = 200
_CHECK_S = 0.5
_CHECK_LIMIT_S = 1.0
_CONNECT_S = 3.0
_SEND_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One message of a topic."""

    topic: str
    key: str
    value: bytes | None
    headers: Mapping[str, str]
    written_ms: int
    """When it was written to Kafka."""


class NotSent(Exception):
    """Kafka did not confirm a message; it may have it all the same."""


class Channel:
    """Listens to topics from their ends, in a thread that survives Kafka's absences, and sends.

    Args:
        kafka: the cluster, as a user that may read and write the topics.
        needed: partitions of topics that are made where they are missing.
        listened: topics, each with how many of its last messages are read at first.
        take: called in the event loop with the messages of one fetch.
        changed: called in the event loop when Kafka went away or came back.
    """

    def __init__(
        self,
        kafka: Kafka,
        *,
        needed: Mapping[str, int],
        listened: Mapping[str, int],
        take: Callable[[Sequence[Received]], None],
        changed: Callable[[], None],
    ) -> None:
        self._kafka, self._needed, self._listened = kafka, dict(needed), dict(listened)
        self._take, self._changed = take, changed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: KafkaProducer | None = None
        self._over = threading.Event()
        self._answers = True
        self._threads: list[threading.Thread] = []
        # It repeats at every try what the pages say once.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)

    @property
    def alive(self) -> bool:
        """Whether messages can be sent, and their answers will be seen."""
        return self._producer is not None and self._answers

    def start(self) -> None:
        """Begin; the running event loop gets the messages."""
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._listen, name="listener", daemon=True),
            threading.Thread(target=self._watch, name="watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within a second or two."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=5)

    async def send(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Return when Kafka has confirmed the message.

        Raises:
            NotSent: it has not, within 3 s.
        """
        from kafka.errors import KafkaError

        producer = self._producer
        if producer is None or not self._answers:
            raise NotSent("Kafka does not answer")
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        pairs = [(name, text.encode()) for name, text in headers.items()]
        try:
            future = producer.send(topic, key=key.encode(), value=value, headers=pairs)
        except KafkaError as error:
            raise NotSent(str(error)) from None
        future.add_callback(lambda _: _threadsafe(loop, _settle, sent, None))
        future.add_errback(lambda error: _threadsafe(loop, _settle, sent, error))
        try:
            async with asyncio.timeout(_SEND_S):
                await sent
        except TimeoutError:
            raise NotSent(f"Kafka did not confirm it within {_SEND_S:g} s") from None
        except KafkaError as error:
            raise NotSent(str(error)) from None

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._connected()
            except (StreamforestError, OSError) as error:
                self._told(str(error))
            except Exception as error:
                # A listener that ended would leave every request unanswered, so whatever it was, it tries again.
                self._told(f"the listener failed ({type(error).__name__}: {error})")
            self._over.wait(_RETRY_S)

    def _told(self, text: str) -> None:
        if text != getattr(self, "_said", None):
            say(f"web: {text}")
        self._said = text

    def _connected(self) -> None:
        """Open, listen until the end, close."""
        from kafka import KafkaProducer

        topics.create_topics(self._kafka, self._needed, _CONNECT_S)
        consumer = self._consumer()
        producer = KafkaProducer(
            **self._kafka.python(),
            acks="all",
            linger_ms=0,
            max_block_ms=1_000,
            request_timeout_ms=2_000,
            delivery_timeout_ms=4_000,
        )
        try:
            for topic in self._needed:
                producer.partitions_for(topic)
            self._set(producer)
            self._told(f"Kafka at {self._kafka} answers")
            while not self._over.is_set():
                self._hand_over(consumer.poll(timeout_ms=_POLL_MS))
        finally:
            self._set(None)
            with contextlib.suppress(Exception):
                producer.close(timeout=1)
            with contextlib.suppress(Exception):
                consumer.close()

    def _consumer(self) -> KafkaConsumer:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            **self._kafka.python(),
            group_id=None,
            enable_auto_commit=False,
            request_timeout_ms=5_000,
            reconnect_backoff_max_ms=1_000,
        )
        partitions = [
            TopicPartition(topic, number)
            for topic in self._listened
            for number in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        for partition, end in ends.items():
            consumer.seek(partition, max(end - self._listened[partition.topic], 0))
        return consumer

    def _hand_over(self, fetched: Mapping[Any, Sequence[Any]]) -> None:
        messages = [_received(record) for records in fetched.values() for record in records]
        if messages:
            self._call(self._take, messages)

    def _watch(self) -> None:
        """Look whether Kafka accepts connections: its clients would keep quiet for minutes."""
        while not self._over.wait(_CHECK_S):
            before = self._answers
            self._answers = any(_accepts(server) for server in self._kafka.servers.split(","))
            if self._answers != before:
                self._call(self._changed)

    def _set(self, producer: KafkaProducer | None) -> None:
        self._producer = producer
        self._call(self._changed)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None:
            _threadsafe(self._loop, function, *arguments)


def _threadsafe(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> None:
    # The loop may be closed while a message is on its way.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def _settle(sent: asyncio.Future[None], error: BaseException | None) -> None:
    if sent.done():
        return
    if error is None:
        sent.set_result(None)
    else:
        sent.set_exception(error)


def _accepts(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CHECK_LIMIT_S).close()
    except OSError:
        return False
    return True


def _received(record: Any) -> Received:  # noqa: ANN401 - kafka-python has no types
    headers = {name: (text or b"").decode(errors="replace") for name, text in record.headers}
    return Received(
        topic=record.topic,
        key=(record.key or b"").decode(errors="replace"),
        value=record.value,
        headers=headers,
        written_ms=record.timestamp,
    )


def now_ms() -> float:
    """The present in ms since 1970."""
    return time.time_ns() / 1e6
