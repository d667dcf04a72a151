"""Which flights are asked about."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamforest.applications.flights.schemas import EVENT

_IDENTITY = ("FlightDate", "Carrier", "FlightNum", "Origin", "Dest", "CRSDepTime")


def sample(rows: DataFrame, samples: int, seed: int) -> DataFrame:
    """``samples`` random flights as requests, with the columns of EVENT; their ids are made from flight and seed."""
    digest = F.md5(F.concat_ws("|", *[F.col(name).cast("string") for name in _IDENTITY], F.lit(str(seed))))
    chosen = rows.withColumn("UUID", _uuid(digest)).orderBy(F.xxhash64("UUID"), "UUID").limit(samples)
    return chosen.withColumn("FlightDate", F.date_format("FlightDate", "yyyy-MM-dd")).select(*EVENT.names)


def _uuid(digest: Column) -> Column:
    """32 hexadecimal digits in the groups of an id."""
    starts, lengths = (1, 9, 13, 17, 21), (8, 4, 4, 4, 12)
    return F.concat_ws(
        "-", *[F.substring(digest, start, length) for start, length in zip(starts, lengths, strict=True)]
    )
