from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.linalg import DenseVector
from pyspark.sql import DataFrame, SparkSession

from bench import reference

READINGS = 130


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """Two users: one with 130 readings and, after a gap, 30 more; one with 20, too few for a row of lags."""
    rng = np.random.default_rng(0)
    times_ms = [1000 + 50 * step for step in range(READINGS)] + [60_000 + 50 * step for step in range(30)]
    long = [(1, "Walking", time_ms, *rng.normal(size=3).tolist()) for time_ms in times_ms]
    short = [(2, "Sitting", 1000 + 50 * step, 0.0, 0.0, 9.8) for step in range(20)]
    return spark.createDataFrame(
        long + short, "userId int, action string, timestamp bigint, x double, y double, z double"
    )


def _featured(rows: DataFrame) -> DataFrame:
    for stage in reference.feature_stages():
        rows = stage.transform(rows)
    return rows


def test_features_are_the_300_lags_of_the_moving_average(rows: DataFrame) -> None:
    last_ms = 1000 + 50 * (READINGS - 1)
    x = np.array([row.x for row in rows.where("userId = 1 and timestamp < 60000").orderBy("timestamp").collect()])
    expected = [x[max(0, at - 4) : at + 1].mean() for at in range(READINGS - 1, READINGS - 101, -1)]

    featured = _featured(rows)

    assert [name for name in featured.columns if "_lag_" in name] == reference.LAG_COLUMNS
    assert len(reference.LAG_COLUMNS) == 300
    found = featured.where(f"timestamp = {last_ms}").select(*reference.LAG_COLUMNS[:100]).first()
    assert found is not None
    np.testing.assert_allclose(list(found), expected)


def test_lags_reach_neither_over_a_gap_nor_to_another_user(rows: DataFrame) -> None:
    complete = _featured(rows).dropna(subset=reference.LAG_COLUMNS)

    assert complete.count() == READINGS - 99
    assert complete.agg({"timestamp": "max"}).first()[0] == 1000 + 50 * (READINGS - 1)  # type: ignore[index]


@pytest.mark.slow
def test_the_whole_plan_gives_ten_components_in_the_unit_interval(spark: SparkSession, tmp_path: Path) -> None:
    source = tmp_path / "raw.txt"
    rng = np.random.default_rng(1)
    lines = [
        f"{user},{action},{1000 + 50 * step + shift},{','.join(map(str, rng.normal(size=3) * scale + offset))};"
        for user in (1, 2, 3)
        for action, scale, offset, shift in (("Sitting", 0.1, 0, 0), ("Walking", 1, 9, 100_000))
        for step in range(200)
    ]
    source.write_text("\n".join([*lines, "4,,,,,;", "5,Walking"]), encoding="utf-8")

    reference.partition(spark, source, 3, tmp_path)
    training, testing = (spark.read.parquet(str(tmp_path / side)) for side in ("training", "testing"))
    model = reference.pipeline().fit(training)
    evaluation = reference.score(model, testing)

    assert (training.count(), testing.count()) == (800, 400)
    features = [row.features for row in model.transform(training).collect()]
    assert all(isinstance(vector, DenseVector) and len(vector) == 10 for vector in features)
    assert np.min(features) >= 0
    assert np.max(features) <= 1 + 1e-9
    assert len(features) == (200 - 99) // 20 * 4
    assert evaluation.classes == ("Sitting", "Walking")
    assert evaluation.accuracy > 0.9
