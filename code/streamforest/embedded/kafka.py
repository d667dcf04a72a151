"""Topics of a broker that is ours alone: emptied before a demo, counted after it."""

from __future__ import annotations

from collections.abc import Sequence

from streamforest.errors import Unreachable
from streamforest.kafka import Kafka

_LIMIT_MS = 10_000


def remove_topics(kafka: Kafka, names: Sequence[str]) -> None:
    """Remove the topics that are there, with all their messages.

    Raises:
        Unreachable: Kafka did not do it within 10 s.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    admin = KafkaAdminClient(**kafka.python(), request_timeout_ms=_LIMIT_MS)
    try:
        present = sorted(set(names) & set(admin.list_topics()))
        if present:
            admin.delete_topics(present, timeout_ms=_LIMIT_MS)
    except KafkaError as error:
        raise Unreachable(f"Kafka at {kafka} kept its topics ({error})", "run it again") from None
    finally:
        admin.close()


def messages(kafka: Kafka, names: Sequence[str]) -> dict[str, int]:
    """How many messages each topic got since it was made, transactions left aside.

    Raises:
        Unreachable: Kafka did not tell within 10 s.
    """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    consumer = KafkaConsumer(**kafka.python(), request_timeout_ms=_LIMIT_MS)
    try:
        counts = {}
        for name in names:
            partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            counts[name] = sum(consumer.end_offsets(partitions).values()) if partitions else 0
    except KafkaError as error:
        raise Unreachable(f"Kafka at {kafka} told no offsets ({error})", "run it again") from None
    finally:
        consumer.close()
    return counts
