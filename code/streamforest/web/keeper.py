"""The keeper: answers from their topic into the store, each once, none lost.

It is a member of a consumer group of its own: answers are written first and their offsets committed afterwards, so that
a crash between the two has them written again, which the store takes for what it is. A store that is away is waited
for; Kafka keeps the answers meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from streamforest.errors import StreamforestError
from streamforest.kafka import Kafka
from streamforest.progress import say
from streamforest.store import Document, Store, keepable
from streamforest.streaming import topics

GROUP = "streamforest-keeper"
_PIECE = 500
_POLL_MS = 500
_RETRY_S = 1.0
_CONNECT_S = 5.0


class Keeper:
    """A thread between :meth:`start` and :meth:`stop`."""

    def __init__(self, kafka: Kafka, topic: str, partitions: int, store: Store) -> None:
        self._kafka, self._topic, self._partitions, self._store = kafka, topic, partitions, store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self.kept = 0
        """Answers that were new to the store since the start."""
        self.unreadable = 0
        """Messages of the topic that are no answers."""
        self.trouble: str | None = None
        """Why nothing is kept at present; None where all is well."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the piece under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except StreamforestError as error:
                self._tell(str(error))
            except Exception as error:
                # Whatever it was, answers wait in Kafka: it tries again.
                self._tell(f"the keeper failed ({type(error).__name__}: {error})")
            self._over.wait(_RETRY_S)

    def _follow(self) -> None:
        from kafka import KafkaConsumer

        topics.create_topics(self._kafka, {self._topic: self._partitions}, _CONNECT_S)
        consumer = KafkaConsumer(
            self._topic,
            **self._kafka.python(),
            group_id=GROUP,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=_PIECE,
            request_timeout_ms=15_000,
            session_timeout_ms=10_000,
        )
        try:
            while not self._over.is_set():
                fetched = consumer.poll(timeout_ms=_POLL_MS)
                records = [record for part in fetched.values() for record in part]
                if records and self._keep(records):
                    consumer.commit()
        finally:
            with contextlib.suppress(Exception):
                consumer.close()

    def _keep(self, records: Sequence[Any]) -> bool:
        """Whether all of the records are in the store; waits for the store, and gives up only at the end."""
        answers = [found for found in map(_document, records) if found is not None]
        self.unreadable += len(records) - len(answers)
        while not self._over.is_set():
            try:
                self.kept += self._store.keep(answers)
            except StreamforestError as error:
                self._tell(str(error))
                self._over.wait(_RETRY_S)
            else:
                self._tell(None)
                return True
        return False

    def _tell(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            say(f"keeper: {trouble or 'answers are kept again'}")
        self.trouble = trouble


def _document(record: Any) -> Document | None:  # noqa: ANN401 - kafka-python has no types
    return document(record.value, record.timestamp)


def document(value: bytes | None, written_ms: int) -> Document | None:
    """The answer in a message, with the time it was written to Kafka; None where it is none."""
    try:
        found = json.loads(value or b"", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not keepable(found):
        return None
    latency = found.get("latency")
    stages = dict(latency) if isinstance(latency, Mapping) else {}
    return {**found, "latency": stages | {"answeredMs": written_ms}}


def _refuse(name: str) -> float:
    raise ValueError(name)
