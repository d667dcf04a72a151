"""Raw files parsed once, for jobs that read the result several times."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest import files
from streamforest.jobs.context import Context
from streamforest.progress import say


@contextlib.contextmanager
def parsed(context: Context, source: Path) -> Iterator[DataFrame]:
    """Records of a raw file, as the application's ``read`` gives them, kept on disk while the block runs."""
    say(f"reading {source.name} ({source.stat().st_size / 1e6:,.1f} MB)")
    files.require_writable(context.places.data)
    # beside the result, since a machine's /tmp may be small and a cluster's is not shared
    with tempfile.TemporaryDirectory(prefix=".parsing-", dir=context.places.data) as folder:
        target = str(Path(folder) / "records")
        context.application.read(context.spark, [source]).write.parquet(target)
        yield context.spark.read.parquet(target)


def reasons(records: DataFrame) -> dict[str, int]:
    """How many records were refused, by reason, most frequent first."""
    counted = records.where(F.col("reason").isNotNull()).groupBy("reason").count().collect()
    ordered = sorted(counted, key=lambda row: (-row["count"], row["reason"]))
    return {row["reason"]: row["count"] for row in ordered}
