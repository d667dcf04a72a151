"""A third application is a folder: the six jobs run it, and nothing of the platform names any application."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from streamforest import cli
from streamforest.embedded.kafka import remove_topics
from streamforest.kafka import Kafka
from tests.applications.parity import APPLICATION
from tests.homes import REPOSITORY


@pytest.fixture(autouse=True)
def with_test_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFOREST_APPLICATIONS", "streamforest.applications,tests.applications")


def test_all_six_jobs_run_it(spark: SparkSession, kafka: str, tmp_path: Path) -> None:
    data = tmp_path / "data" / "parity"
    data.mkdir(parents=True)
    APPLICATION.inputs.generate(data, 0)
    # Another test may have sent numbers through the same broker.
    remove_topics(Kafka(kafka), list(APPLICATION.topics.all()))

    def run(*arguments: str) -> dict[str, Any]:
        return dict(cli.run([*arguments, "--home", str(tmp_path)], spark=spark, kafka=lambda _: kafka))

    partitioned = run("partition", "parity")
    trained, tested = run("train", "parity"), run("test", "parity")
    sampled, produced = run("sample", "parity", "--samples", "50"), run("produce", "parity")
    consumed = run("consume", "parity", "--available-now")
    batch = run("consume", "parity", "--batch", "data/parity/real_time")

    assert partitioned["rows_refused"] == {"number": 1}
    assert (partitioned["rows_training"], partitioned["rows_testing"]) == (700, 300)
    assert (trained["pipeline"], tested["metrics"]["accuracy"]) == ("forest", 1.0)
    assert sampled["rows"] == produced["rows"] == consumed["predictions"] == batch["predictions"] == 50
    parts = (tmp_path / "predictions" / "parity").glob("pred_batch_*/*.parquet")
    stream = pd.concat([pd.read_parquet(part) for part in parts]).sort_values("id", ignore_index=True)
    files = pd.read_parquet(batch["path"]).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(stream, files)


def test_no_job_knows_an_application_by_name() -> None:
    code = REPOSITORY / "code" / "streamforest"
    # The pages are no platform: they are about these two.
    own = {"applications", "web"}
    platform = [path for path in code.rglob("*.py") if not own & set(path.relative_to(code).parts)]
    named = re.compile(r"""["'](activity|flights|parity|asks)["']|applications\.(activity|flights)""")

    found = [path.name for path in platform if named.search(path.read_text(encoding="utf-8"))]

    assert platform
    assert found == []
