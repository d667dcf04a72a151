"""What comes out of a stream of answers while somebody looks: how many, how late, and what was refused."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from streamforest.application import Topics
from streamforest.errors import Unreachable
from streamforest.kafka import Kafka
from streamforest.streaming.latency import Latencies

if TYPE_CHECKING:
    from kafka import KafkaConsumer

_POLL_MS = 200
_REST_S = 10.0
_REMEMBERED = 200_000


class Tally:
    """Counts what two topics get between entering the context and leaving it.

    Latencies are those from a request in Kafka to its answer in Kafka.
    """

    def __init__(self, kafka: Kafka, topics: Topics) -> None:
        self._kafka, self._topics = kafka, topics
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._seen: set[bytes] = set()
        self.answers = 0
        self.repeated = 0
        """Answers whose key had come before."""
        self.refused: Counter[str] = Counter()
        self.latencies = Latencies()

    def __enter__(self) -> Self:
        from kafka.errors import KafkaError

        try:
            self._consumer = self._open()
        except KafkaError as error:
            raise Unreachable(f"Kafka at {self._kafka} told no offsets ({error})", "run it again") from None
        self._thread = threading.Thread(target=self._follow, name="tally", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _open(self) -> KafkaConsumer:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(**self._kafka.python(), enable_auto_commit=False)
        partitions = [
            TopicPartition(name, number)
            for name in (self._topics.predictions, self._topics.invalid)
            for number in consumer.partitions_for_topic(name) or ()
        ]
        consumer.assign(partitions)
        for partition, end in consumer.end_offsets(partitions).items():
            consumer.seek(partition, end)
        return consumer

    def _follow(self) -> None:
        from kafka.errors import KafkaError

        try:
            while not self._over.is_set():
                self._take(self._consumer.poll(timeout_ms=_POLL_MS))
            self._finish()
        except KafkaError as error:
            # Counting less is no reason to end what is counted.
            self._failed = error
        finally:
            self._consumer.close()

    def _finish(self) -> None:
        """Read what was written before the end was told."""
        ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        until = time.monotonic() + _REST_S
        while time.monotonic() < until and any(self._consumer.position(one) < end for one, end in ends.items()):
            self._take(self._consumer.poll(timeout_ms=_POLL_MS))

    def _take(self, fetched: dict[Any, list[Any]]) -> None:
        waited_ms = []
        for partition, records in fetched.items():
            for record in records:
                if partition.topic == self._topics.invalid:
                    headers = dict(record.headers)
                    self.refused[headers.get("reason", b"unknown").decode(errors="replace")] += 1
                else:
                    waited_ms.append(self._answer(record))
        if waited_ms:
            self.latencies.add(np.array([one for one in waited_ms if one is not None], dtype=np.int64))

    def _answer(self, record: Any) -> int | None:  # noqa: ANN401 - kafka-python has no types
        self.answers += 1
        key = record.key or b""
        if key in self._seen:
            self.repeated += 1
        elif len(self._seen) < _REMEMBERED:
            self._seen.add(key)
        try:
            return int(record.timestamp - json.loads(record.value)["latency"]["kafkaMs"])
        except (ValueError, TypeError, KeyError):
            return None
