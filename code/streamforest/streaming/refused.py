"""Refused messages: read from the invalid topic, judged again, and put back once.

What was put back is in a ledger, ``.checkpoint/replay/<cluster>.json``: the ids of the messages, and while some are
being sent, where the topic of events ended before. A run that was killed in between is finished by the next one, which
reads from there which of them arrived: each carries its id in the header ``replayed``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from streamforest import files
from streamforest.application import Application
from streamforest.errors import BadInput, Unreachable
from streamforest.kafka import Kafka

if TYPE_CHECKING:
    from kafka import KafkaConsumer

HEADER = "replayed"
_LIMIT_MS = 10_000
_MAX_REQUEST_BYTES = 12 * 1024 * 1024
LATE = "late"
"""A late event decodes well and is late again: it is listed and never put back."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A message of the invalid topic."""

    id: str
    """``topic:partition:offset`` of where it stood."""
    reason: str
    key: bytes | None
    value: bytes | None

    def as_json(self) -> dict[str, Any]:
        """With the value as text, or in base64 where it is none."""
        return {"id": self.id, "reason": self.reason, **_text("key", self.key), **_text("value", self.value)}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A message that may be put back, as the decoder sees it now."""

    id: str
    key: bytes | None
    value: bytes | None
    reason: str | None
    """Why it would be refused again; null where it would not."""


def read(kafka: Kafka, topic: str) -> list[Refused]:
    """The refused messages, in the order in which they stood; one that was noted twice is there once.

    Raises:
        Unreachable: Kafka does not answer.
    """
    found: dict[str, Refused] = {}
    for message in _messages(kafka, topic, {}):
        headers = {name: value.decode(errors="replace") for name, value in message.headers}
        if not {"reason", "topic", "partition", "offset"} <= headers.keys():
            continue
        identity = f"{headers['topic']}:{headers['partition']}:{headers['offset']}"
        found[identity] = Refused(id=identity, reason=headers["reason"], key=message.key, value=message.value)
    return sorted(found.values(), key=_position)


def repairs(path: Path, refused: Sequence[Refused]) -> list[Refused]:
    """Messages with the values of a file: a line of JSON each with ``id`` and ``value`` (or ``value_base64``).

    Raises:
        BadInput: a line is none of that, or names no refused message.
    """
    known = {one.id: one for one in refused}
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error})", "give the file that --export wrote, repaired") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            value = entry["value"].encode() if "value" in entry else base64.b64decode(entry["value_base64"])
            before = known[entry["id"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cure = "each line needs the id of a refused message and a value, as --export writes them"
            raise BadInput(f"{path}, line {number}: {error!r}", cure) from None
        found.append(Refused(id=before.id, reason=before.reason, key=before.key, value=value))
    return found


def judge(spark: SparkSession, application: Application, messages: Sequence[Refused]) -> list[Judged]:
    """Messages as the decoder sees them now; where it takes one, with the key that its event belongs to."""
    if not messages:
        return []
    rows = [(number, one.value) for number, one in enumerate(messages)]
    event, reason = application.decode(F.col("value"))
    judged = spark.createDataFrame(rows, "number int, value binary").select(
        "number", event[application.key].cast("string").alias("key"), reason.alias("reason")
    )
    found = {row["number"]: row for row in judged.collect()}
    return [
        Judged(
            id=one.id,
            key=found[number]["key"].encode() if found[number]["key"] is not None else one.key,
            value=one.value,
            reason=found[number]["reason"],
        )
        for number, one in enumerate(messages)
    ]


class Ledger:
    """What was put back into one Kafka cluster."""

    def __init__(self, folder: Path, cluster_id: str) -> None:
        self._path = folder / f"{cluster_id}.json"

    def sent(self, kafka: Kafka, topic: str) -> set[str]:
        """Ids of the messages that were put back; those of a killed run are looked up in the topic.

        Raises:
            BadInput: the ledger is damaged.
        """
        found = self._read()
        sent = set(found["sent"])
        if found["from"] is not None:
            for message in _messages(kafka, topic, found["from"]):
                sent |= {value.decode() for name, value in message.headers if name == HEADER}
            self._write(sent, None)
        return sent

    def put_back(self, kafka: Kafka, topic: str, messages: Sequence[Judged]) -> int:
        """Send the messages that were not sent before, and return how many those were.

        Raises:
            Unreachable: Kafka took not all of them; the next run sends the rest.
        """
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        sent = self.sent(kafka, topic)
        fresh = [one for one in messages if one.id not in sent]
        if not fresh:
            return 0
        self._write(sent, _ends(kafka, topic))
        try:
            with closing(KafkaProducer(**kafka.python(), acks="all", max_request_size=_MAX_REQUEST_BYTES)) as producer:
                waiting = [
                    producer.send(topic, key=one.key, value=one.value, headers=[(HEADER, one.id.encode())])
                    for one in fresh
                ]
                for each in waiting:
                    each.get(_LIMIT_MS / 1000)
        except KafkaError as error:
            raise Unreachable(f"Kafka at {kafka} took not all of it ({error})", "run it again") from None
        self._write(sent | {one.id for one in fresh}, None)
        return len(fresh)

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"sent": [], "from": None}
        except ValueError as error:
            raise BadInput(f"{self._path} is damaged ({error})", "put a backup of it in its place") from None
        return found

    def _write(self, sent: set[str], start: Mapping[str, int] | None) -> None:
        files.write_text(self._path, json.dumps({"sent": sorted(sent), "from": start}))


def _ends(kafka: Kafka, topic: str) -> dict[str, int]:
    with closing(_consumer(kafka)) as consumer:
        ends = consumer.end_offsets(_partitions(consumer, topic))
    return {str(partition.partition): offset for partition, offset in ends.items()}


def _messages(kafka: Kafka, topic: str, start: Mapping[str, int]) -> Iterator[Any]:
    """Messages of a topic from the offsets ``start`` by partition (else its beginning) to its present end."""
    from kafka.errors import KafkaError

    try:
        with closing(_consumer(kafka)) as consumer:
            partitions = _partitions(consumer, topic)
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions) if partitions else {}
            for partition, first in (consumer.beginning_offsets(partitions) if partitions else {}).items():
                consumer.seek(partition, max(first, start.get(str(partition.partition), 0)))
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                polled = consumer.poll(timeout_ms=_LIMIT_MS)
                if not polled:
                    raise Unreachable(f"Kafka at {kafka} stopped answering", "run it again")
                for partition, messages in polled.items():
                    yield from (one for one in messages if one.offset < ends[partition])
    except KafkaError as error:
        raise Unreachable(f"Kafka at {kafka} told no messages ({error})", "run it again") from None


def _consumer(kafka: Kafka) -> KafkaConsumer:
    from kafka import KafkaConsumer

    return KafkaConsumer(
        **kafka.python(),
        group_id=None,
        enable_auto_commit=False,
        max_partition_fetch_bytes=_MAX_REQUEST_BYTES,
    )


def _partitions(consumer: KafkaConsumer, topic: str) -> list[Any]:
    from kafka import TopicPartition

    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


def _position(message: Refused) -> tuple[str, int, int]:
    topic, partition, offset = message.id.rsplit(":", 2)
    return topic, int(partition), int(offset)


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
