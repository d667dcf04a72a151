"""Reading the raw activity files through Spark."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertSchemaEqual

from streamforest import failures
from streamforest.application import REFUSED_COLUMNS
from streamforest.applications.activity import reading, schemas
from streamforest.errors import BadInput

DIRTY = Path(__file__).parents[1] / "data" / "activity_dirty.txt"
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "wisdm51"


def in_order(frame: DataFrame) -> list[tuple[object, ...]]:
    """Rows as tuples; the file's name last, since it is the first thing to differ."""
    columns = [name for name in frame.columns if name != "file"]
    # Records of one line have no order of their own in a frame.
    return sorted((tuple(row) for row in frame.select(*columns).collect()), key=lambda row: (row[6], str(row)))


def test_rows_have_the_contracts_columns(spark: SparkSession) -> None:
    frame = reading.read(spark, [DIRTY])

    refused = spark.createDataFrame([], REFUSED_COLUMNS).schema
    assertSchemaEqual(frame.schema, type(schemas.RAW)([*schemas.RAW, *refused]))
    assert {row["file"] for row in frame.select("file").distinct().collect()} == {DIRTY.name}


def test_an_archive_and_a_plain_file_in_any_number_of_parts_give_the_same_rows(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "copy.txt.xz"
    archive.write_bytes(lzma.compress(DIRTY.read_bytes()))
    expected = in_order(reading.read(spark, [archive]))

    monkeypatch.setattr(reading, "SPLIT_BYTES", 300)
    frame = reading.read(spark, [DIRTY])

    assert frame.rdd.getNumPartitions() > 3
    assert in_order(frame) == expected


def test_every_line_is_accounted_for(spark: SparkSession, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(b"33,Walking,5,1,2,3;\n\n33,Walking,6,1,2,3;")

    frame = reading.read(spark, [DIRTY, other])
    counted = frame.groupBy("file").agg(
        F.count("*").alias("records"),
        F.max("line").alias("lines"),
        F.count("userId").alias("accepted"),
        F.count("reason").alias("refused"),
    )

    found = {row["file"]: tuple(row)[1:] for row in counted.collect()}
    assert found[other.name] == (3, 3, 2, 1)
    records, lines, accepted, refused = found[DIRTY.name]
    assert lines == len(DIRTY.read_bytes().split(b"\n"))
    assert records == accepted + refused > lines


def test_an_empty_file_gives_no_row(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()

    assert reading.read(spark, [tmp_path / "empty.txt"]).count() == 0


def test_damage_that_an_executor_meets_is_explained_as_bad_input(spark: SparkSession, tmp_path: Path) -> None:
    archive = tmp_path / "raw.txt.xz"
    content = bytearray(lzma.compress(DIRTY.read_bytes()))
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    frame = reading.read(spark, [archive])

    with pytest.raises(PySparkException) as caught:
        frame.write.parquet(str(tmp_path / "rows"))

    explained = failures.explain(caught.value)
    assert isinstance(explained, BadInput)
    assert str(explained).startswith(f"the archive {archive} is damaged")
    assert str(explained).endswith("; fetch it again")


def test_other_errors_of_a_worker_are_not_explained(spark: SparkSession) -> None:
    frame = spark.range(1).mapInArrow(lambda batches: [1 / 0 for _ in batches], "id bigint")  # type: ignore[arg-type, return-value]

    with pytest.raises(PySparkException) as caught:
        frame.collect()

    assert failures.explain(caught.value).exit_code == 70


def test_the_recordings_are_read_whole(spark: SparkSession) -> None:
    path = RECORDINGS / "WISDM51_20hz_raw.txt.xz"
    if not path.exists():
        pytest.skip(f"no recordings at {path}")

    frame = reading.read(spark, [path])

    counts = {row["action"]: row["count"] for row in frame.groupBy("action").count().collect()}
    assert counts == {"Walking": 126015, "Stairs": 125994, "Jogging": 122386, "Sitting": 53975, "Standing": 53972}
