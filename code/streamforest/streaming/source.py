"""Kafka as a stream of records."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from streamforest.kafka import Kafka

_FETCH_BYTES = 8 * 1024 * 1024


def read_stream(
    spark: SparkSession, kafka: Kafka, topic: str, max_records: int | None, client: str | None = None
) -> DataFrame:
    """Records of a topic from its beginning, at most ``max_records`` a micro-batch; fails when some were deleted.

    Real-time mode wants None there. With a ``client``, a name that Kafka's logs show, records carry their headers.
    """
    stream = (
        spark.readStream.format("kafka")
        .options(**kafka.spark())
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("kafka.max.partition.fetch.bytes", _FETCH_BYTES)
    )
    if max_records is not None:
        stream = stream.option("maxOffsetsPerTrigger", max_records)
    if client is not None:
        stream = stream.option("kafka.client.id", client).option("includeHeaders", "true")
    return stream.load()
