"""Files of flights as a DataFrame: one row a line, accepted or refused."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest.applications.flights import classes, events, layouts
from streamforest.applications.flights.schemas import LABEL, MONTH, RAW
from streamforest.errors import BadInput

_MAX_LINE_BYTES = 1 << 16
_LINES_A_BATCH = 20_000
_LINES = "file string, line bigint, text string, legible boolean"
_GZ, _XZ, _BZ2, _ZIP = b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"PK\x03\x04"
_ISO_TIME = r"^\d{4}-\d{2}-\d{2}T"


def read(spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
    """The files' lines, in any of the known :mod:`.layouts`, each file in its own.

    Raises:
        BadInput: a file is missing, damaged or empty, or its header lacks a field.
    """
    return reduce(DataFrame.unionByName, [_read(spark, path) for path in paths])


def _read(spark: SparkSession, path: Path) -> DataFrame:
    first = _first_line(path)
    named = layouts.is_json(first)
    skipped = 0 if named else 1
    place, name = str(path), path.name

    def lines(_: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _lines(Path(place), name, skipped)

    text = F.col("text")
    record = layouts.from_json(text) if named else layouts.from_csv(text, first, name)
    rows = spark.range(1, numPartitions=1).mapInArrow(lines, _LINES)
    # One task unpacks and cuts the file; what the lines mean is worked out by all cores.
    rows = rows.repartition(spark.sparkContext.defaultParallelism)
    found = rows.select("file", "line", "text", "legible", record.alias("record"))
    return _judged(found, "json" if named else "fields")


def _judged(lines: DataFrame, broken: str) -> DataFrame:
    """Records typed, and each with the reason of its refusal; ``broken`` names a line of another shape."""
    record = F.col("record")
    typed = lines.select("file", "line", "text", "legible", record["damaged"].alias("damaged"), *_typed(record))
    reason = _reason(broken)
    values = {name: F.when(F.col("reason").isNull(), F.col(name)).alias(name) for name in RAW.names}
    return typed.withColumn("reason", reason).select(
        *[values[name].cast(RAW[name].dataType).alias(name) for name in RAW.names],
        "file",
        "line",
        F.when(F.col("reason").isNotNull(), F.col("text")).alias("text"),
        "reason",
    )


def _typed(record: Column) -> list[Column]:
    """Columns of RAW, and what the judgement needs beside them."""
    day = _date(record["date"])
    arrival = record["arr_delay"].try_cast("double")
    departs = _time(record["departs"])
    return [
        day.alias("FlightDate"),
        F.date_format(day, "yyyy-MM").alias(MONTH),
        F.upper(record["carrier"]).alias("Carrier"),
        F.regexp_replace(record["flight"], r"^0+(?=.)", "").alias("FlightNum"),
        F.upper(record["origin"]).alias("Origin"),
        F.upper(record["dest"]).alias("Dest"),
        events.route(F.upper(record["origin"]), F.upper(record["dest"])).alias("Route"),
        record["distance"].try_cast("double").alias("Distance"),
        *[column.alias(name) for name, column in events.calendar(day).items()],
        departs.alias("CRSDepTime"),
        _time(record["arrives"]).alias("CRSArrTime"),
        record["dep_delay"].try_cast("double").alias("DepDelay"),
        arrival.alias("ArrDelay"),
        classes.class_of(arrival).alias(LABEL),
        F.try_to_timestamp(F.concat_ws(" ", day.cast("string"), F.coalesce(departs, F.lit("00:00")))).alias(
            "Timestamp"
        ),
        _is_set(record["cancelled"]).alias("cancelled"),
        _is_set(record["diverted"]).alias("diverted"),
        record["dep_delay"].isNull().alias("never_left"),
        record["arr_delay"].isNull().alias("never_came"),
        *[record[name].isNotNull().alias(f"{name}_given") for name in ("departs", "arrives", "distance")],
    ]


def _reason(broken: str) -> Column:
    """Why a line is refused; null where it is a flight that flew."""
    least, most = events.DELAY_LIMITS
    departure, arrival = F.col("DepDelay"), F.col("ArrDelay")
    believed = departure.between(least, most) & arrival.between(least, most)
    distance, given = F.col("Distance"), F.col("distance_given")
    return (
        F.when(~F.col("legible"), "encoding")
        .when(F.trim("text") == "", "blank")
        .when(F.col("damaged"), broken)
        .when(F.col("cancelled") | (F.col("never_left") & F.col("never_came")), "cancelled")
        .when(F.col("diverted") | F.col("never_came"), "diverted")
        .when(F.col("FlightDate").isNull(), "date")
        .when(_unfit(events.fits_carrier(F.col("Carrier"))), "carrier")
        .when(_unfit(events.fits_flight(F.col("FlightNum"))), "flight")
        .when(_unfit(events.fits_airport(F.col("Origin")) & events.fits_airport(F.col("Dest"))), "airport")
        .when(F.col("Origin") == F.col("Dest"), "route")
        .when(_unfit(believed), "delay")
        .when(given & _unfit((distance > 0) & (distance <= events.MAX_DISTANCE)), "distance")
        .when(F.col("departs_given") & F.col("CRSDepTime").isNull(), "time")
        .when(F.col("arrives_given") & F.col("CRSArrTime").isNull(), "time")
    )


def _unfit(condition: Column) -> Column:
    return ~F.coalesce(condition, F.lit(False))


def _date(text: Column) -> Column:
    """ISO dates, and those of the United States with or without a time."""
    american = F.try_to_timestamp(F.substring_index(text, " ", 1), F.lit("M/d/yyyy")).cast("date")
    return F.coalesce(events.date_of(text), F.when(text.contains("/"), american))


def _time(text: Column) -> Column:
    """HH:MM of 5, 515, 0515, 2400, 05:15, and of ISO text the time of day in UTC; null for anything else."""
    digits = F.when(text.rlike(r"^\d{1,4}$"), F.lpad(text, 4, "0"))
    plain = F.concat(F.substring(digits, 1, 2), F.lit(":"), F.substring(digits, 3, 2))
    iso = F.when(text.rlike(_ISO_TIME), F.date_format(text.try_cast("timestamp"), "HH:mm"))
    found = F.coalesce(plain, iso, text)
    return F.when(found == "24:00", "00:00").when(events.fits_time(found), found)


def _is_set(flag: Column) -> Column:
    return F.coalesce(flag.try_cast("double") != 0, F.lower(flag) == "true", F.lit(False))


def _lines(path: Path, name: str, skipped: int) -> Iterator[pa.RecordBatch]:
    """The lines after the first ``skipped`` ones, numbered from 1; of a line that is too long only its beginning."""
    with _readable(path), _opened(path) as file:
        numbered = itertools.islice(enumerate(_cut(file), start=1), skipped, None)
        while found := list(itertools.islice(numbered, _LINES_A_BATCH)):
            texts = [_decoded(line) for _, line in found]
            yield pa.record_batch(
                {
                    "file": pa.repeat(name, len(found)),
                    "line": pa.array([number for number, _ in found], pa.int64()),
                    "text": pa.array([text for text, _ in texts], pa.string()),
                    "legible": pa.array([legible for _, legible in texts], pa.bool_()),
                }
            )


def _cut(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE_BYTES):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_MAX_LINE_BYTES)):
            pass
        yield line


def _decoded(line: bytes) -> tuple[str, bool]:
    line = line.rstrip(b"\r\n")
    try:
        return line.decode(), True
    except UnicodeDecodeError:
        return line.decode(errors="replace"), False


def _first_line(path: Path) -> str:
    with _readable(path), _opened(path) as file:
        first = file.readline(_MAX_LINE_BYTES)
    if not first.strip():
        raise BadInput(f"{path} begins with an empty line", "give a file with a header, or JSON lines")
    return _decoded(first)[0]


def _opened(path: Path) -> IO[bytes]:
    """The file's content, unpacked where it is packed, which its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(_GZ):
        return cast("IO[bytes]", gzip.open(path))
    if head.startswith(_XZ):
        return cast("IO[bytes]", lzma.open(path))
    if head.startswith(_BZ2):
        return cast("IO[bytes]", bz2.open(path))
    if head.startswith(_ZIP):
        packed = zipfile.ZipFile(path)
        return packed.open(next(name for name in packed.namelist() if name.endswith((".csv", ".jsonl"))))
    return path.open("rb")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the file and of the archive as BadInput."""
    try:
        yield
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile, StopIteration) as error:
        raise BadInput(f"the archive {path} is damaged or cut off ({error})", "fetch it again") from None
    except FileNotFoundError:
        raise BadInput(f"there is no input file {path}", "take it from: ./control_env.sh data flights") from None
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or error})", "make it a readable file") from None
