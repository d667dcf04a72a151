"""Which of the unlabelled readings are streamed: the surroundings of random moments."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest.applications.activity.schemas import EVENT

AROUND_MS = 30_000


def sample(rows: DataFrame, samples: int, seed: int) -> DataFrame:
    """All readings within 30 s of ``samples`` random (user, timestamp), each once, with the columns of EVENT.

    The moments are those with the smallest hash of user, timestamp and seed: the same for the same rows, in whatever
    order or partition they come.
    """
    moments = (
        rows.select("userId", F.col("timestamp").alias("moment_ms"))
        .orderBy(F.xxhash64("userId", "moment_ms", F.lit(seed)), "userId", "moment_ms")
        .limit(samples)
    )
    near = F.abs(F.col("timestamp") - F.col("moment_ms")) <= AROUND_MS
    picked = rows.join(F.broadcast(moments), on="userId", how="inner").where(near)
    return picked.select(*EVENT.names).dropDuplicates(["userId", "timestamp"])
