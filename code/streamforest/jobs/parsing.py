"""Raw files parsed once, for jobs that read the result several times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest import files
from streamforest.jobs.context import Context
from streamforest.progress import say


@contextlib.contextmanager
def parsed(context: Context, sources: Sequence[Path]) -> Iterator[DataFrame]:
    """Records of raw files, as the application's ``read`` gives them, kept on disk while the block runs."""
    for source in sources:
        say(f"reading {source.name} ({source.stat().st_size / 1e6:,.1f} MB)")
    files.require_writable(context.places.data)
    # Beside the result, since a machine's /tmp may be small and a cluster's is not shared. The job's lock is held, so
    # what lies there was left by a killed run.
    target = context.places.data / f".parsing-{context.name}"
    files.remove(target)
    try:
        context.application.read(context.spark, sources).write.parquet(str(target))
        yield context.spark.read.parquet(str(target))
    finally:
        files.remove(target)


def reasons(records: DataFrame) -> dict[str, int]:
    """How many records were refused, by reason, most frequent first."""
    counted = records.where(F.col("reason").isNotNull()).groupBy("reason").count().collect()
    ordered = sorted(counted, key=lambda row: (-row["count"], row["reason"]))
    return {row["reason"]: row["count"] for row in ordered}
