"""A running stream tells what it does: metrics at one endpoint, log lines as JSON."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pyspark.sql import SparkSession

from streamforest import cli, progress, settings
from streamforest.errors import BadInput, WrongUsage
from streamforest.streaming.metrics import Metrics, served
from streamforest.streaming.stream_metrics import behind
from tests.applications.parity import APPLICATION
from tests.homes import REPOSITORY


@pytest.fixture(autouse=True)
def with_test_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFOREST_APPLICATIONS", "streamforest.applications,tests.applications")


def test_a_stream_tells_what_it_does(
    spark: SparkSession, kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data" / "parity"
    data.mkdir(parents=True)
    APPLICATION.inputs.generate(data, 0)

    def run(*arguments: str) -> None:
        cli.run([*arguments, "--home", str(tmp_path)], spark=spark, kafka=lambda _: kafka)

    for name in ("partition", "train", "test", "sample", "produce"):
        run(name, "parity")
    monkeypatch.setenv("STREAMFOREST_LOG_FORMAT", "json")
    log = io.StringIO()
    with redirect_stderr(log):
        stream = threading.Thread(target=run, args=("consume", "parity", "--metrics", "127.0.0.1:0"), daemon=True)
        stream.start()
        text = scraped(log)
        while stream.is_alive():
            for query in spark.streams.active:
                if not query.status["isTriggerActive"]:
                    query.stop()
            stream.join(0.1)
    progress.configure("plain")

    families = {family.name: family for family in text_string_to_metric_families(text)}
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    assert set(families) == documented_metrics()
    assert [sample.labels["version"] for sample in families["streamforest_model_info"].samples] == ["1"]
    about = {"job": "consume", "application": "parity"}
    assert all(about.items() <= entry.items() for entry in entries)
    assert {"time", "level", "batch", "model_version", "message"} <= entries[-1].keys()
    assert entries[-1]["model_version"] == "1"


def scraped(log: io.StringIO) -> str:
    """The metrics once predictions are among them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = [json.loads(line)["message"] for line in log.getvalue().splitlines()]
        for text in said:
            if text.startswith("metrics at http://127.0.0.1:"):
                page = urllib.request.urlopen(text.removeprefix("metrics at ")).read().decode()  # noqa: S310
                counted = re.search(r"(?m)^streamforest_predictions_total\{.*\} (\S+)$", page)
                if counted and float(counted.group(1)) > 0 and 'stage="predict"' in page:
                    return str(page)
        time.sleep(0.1)
    raise AssertionError(log.getvalue())


def documented_metrics() -> set[str]:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `streamforest_")]
    return {name.removesuffix("_total") for name in rows}


def test_the_lag_is_what_lies_between_the_stream_and_its_topics_end() -> None:
    source = {"endOffset": '{"HAR": {"0": 5, "1": 7}}', "latestOffset": '{"HAR": {"0": 9, "1": 7, "2": 3}}'}

    assert behind([source]) == 7
    assert behind([{"endOffset": None, "latestOffset": "null"}]) == 0


def test_a_log_format_that_does_not_exist_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="STREAMFOREST_LOG_FORMAT"):
        settings.log_format({"STREAMFOREST_LOG_FORMAT": "xml"})


class Nothing(Metrics):
    """Metrics of a stream that has nothing to tell."""

    def collect(self) -> Iterator[Metric]:
        yield from ()


def test_an_address_that_is_taken_is_told(kafka: str) -> None:
    with (
        pytest.raises(BadInput, match="metrics cannot be served at"),
        served(kafka, Nothing("parity")),
    ):
        raise AssertionError
