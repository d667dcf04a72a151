"""Kafka as a stream of records."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

_FETCH_BYTES = 8 * 1024 * 1024


def read_stream(spark: SparkSession, bootstrap_servers: str, topic: str, max_records: int) -> DataFrame:
    """Records of a topic from its beginning, at most ``max_records`` a micro-batch; fails when some were deleted."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap_servers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", max_records)
        .option("kafka.max.partition.fetch.bytes", _FETCH_BYTES)
        .load()
    )
