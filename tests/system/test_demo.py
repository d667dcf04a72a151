"""The demo as a user runs it: a fresh home, synthetic data, all six jobs, then the table, the page and the runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest
from mlflow.entities import Run

from streamforest import settings
from streamforest.application import load

LIMIT_S = 900
ACTIVITY = load("activity", ["streamforest.applications"])

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Ended:
    """A demo that ended."""

    home: Path
    code: int
    out: str
    err: str

    @property
    def page(self) -> str:
        return (self.home / "predictions" / "report.html").read_text(encoding="utf-8")

    def value(self, name: str) -> str:
        """The first value of that name in the table."""
        found = re.search(rf"^  {re.escape(name)} +(.*)$", self.out, re.MULTILINE)
        assert found, f"no {name} in {self.out}"
        return found[1]


def demo(home: Path, *options: str) -> Ended:
    command = [sys.executable, "-m", "streamforest.embedded", "demo", "--home", str(home), *options]
    environ = os.environ | {"PYTHONPATH": str(settings.REPOSITORY / "code")}
    for name in ("STREAMFOREST_BOOTSTRAP_SERVERS", "STREAMFOREST_HOME", "MLFLOW_TRACKING_URI"):
        environ.pop(name, None)
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return Ended(home, ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return demo(tmp_path_factory.mktemp("demo"), "--generate")


@pytest.fixture
def client(ended: Ended) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{ended.home}/model/mlflow.db")


@pytest.fixture
def runs(client: mlflow.MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("activity")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_demo_ends_well_after_steps_that_were_announced(ended: Ended) -> None:
    announced = re.findall(r"^\[(\d+)/(\d+)\] (?!done)", ended.err, re.MULTILINE)
    done = re.findall(r"^\[(\d+)/\d+\] done in [\d.]+ s$", ended.err, re.MULTILINE)

    assert ended.code == 0, ended.err
    total = int(announced[0][1])
    assert [int(step) for step, _ in announced] == list(range(1, total + 1))
    assert list(map(int, done)) == list(range(1, total + 1))
    assert "Traceback" not in ended.err


def test_table_holds_the_evidence(ended: Ended) -> None:
    assert ended.value("history") == "WISDM_at_v2.0_raw.txt, synthetic"
    assert int(ended.value("records read").replace(",", "")) > 100_000
    assert re.match(r"[1-9][\d,]* \(.*\)$", ended.value("records refused"))
    assert re.match(r"accuracy 0\.\d{3}, macro-F1 0\.\d{3} \(synthetic data\)$", ended.value("plain"))
    assert re.match(r"accuracy 0\.\d{3}, macro-F1 0\.\d{3} \(synthetic data\)$", ended.value("smoothed"))
    assert re.match(r"run [0-9a-f]{32}, model version 1", ended.value("MLflow"))
    assert re.match(r"published", ended.value("gate"))
    assert ended.value("refused").startswith("0, of which late: 0")
    assert re.match(r"p50 [\d.]+ s, p95 [\d.]+ s", ended.value("latency"))
    assert ended.value("MLflow's page") == f"./control_env.sh mlflow --home {ended.home}"


def test_stream_and_batch_predicted_the_same(ended: Ended) -> None:
    found = re.match(
        r"yes: ([\d,]+) equal, 0 missing, 0 added, 0 different, 0 repeated$", ended.value("stream = batch")
    )

    assert found
    written = sum(pq.read_metadata(path).num_rows for path in ended.home.glob("predictions/pred_batch_*/*.parquet"))
    assert int(found[1].replace(",", "")) == written > 100
    assert ended.value("messages out").startswith(f"{written:,} in topic HAR.predictions, 0 in topic HAR.invalid")


def test_all_is_kept_where_the_contract_says(ended: Ended) -> None:
    published = json.loads((ended.home / "model" / ".created").read_text(encoding="utf-8"))

    assert {path.name for path in (ended.home / "data" / "partitioned").glob("t*")} == {"training", "testing"}
    assert any((ended.home / "data" / "refused").glob("*.parquet"))
    assert any((ended.home / "data" / "real_time").glob("*.parquet"))
    assert any((ended.home / "predictions" / "batch").glob("*.parquet"))
    assert (ended.home / "model" / "trained_pipeline" / "metadata").is_dir()
    assert published["synthetic"] is True


def test_page_carries_the_table_the_mark_and_a_drawn_minute(ended: Ended) -> None:
    page = ended.page

    assert "<title>streamforest demo: activity (synthetic data)</title>" in page
    assert ended.value("stream = batch") in page
    assert len(re.findall(r'<path class="line s\d" d="M', page)) >= 3
    assert "m/s²" in page
    assert len(re.findall(r'<rect class="cell', page)) > 20
    assert not re.search(r"https?:", page)


def test_mlflow_holds_a_finished_run_of_each_pipeline(
    ended: Ended, client: mlflow.MlflowClient, runs: list[Run]
) -> None:
    assert {run.data.params["pipeline"] for run in runs} == set(ACTIVITY.pipelines)
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.tags["synthetic"] == "true"
        assert run.data.tags["git_revision"]
        assert {"accuracy", "macro_f1", "smoothed.macro_f1", "classes.Walking.recall"} <= run.data.metrics.keys()
        assert {"data.sha256", "data.rows", "data.users"} <= run.data.params.keys()
        figures = {found.path for found in client.list_artifacts(run.info.run_id, "evaluation")}
        assert "evaluation/confusion_predicted.png" in figures
        assert run.info.run_id in ended.out


def test_champion_is_the_version_that_predicted(ended: Ended, client: mlflow.MlflowClient, runs: list[Run]) -> None:
    champion = client.get_model_version_by_alias("activity", "champion")

    assert champion.run_id in {run.info.run_id for run in runs}
    assert f"by model version {champion.version} " in ended.value("predictions")


def test_no_broker_is_left(ended: Ended) -> None:
    assert not (ended.home / "data" / "kafka" / "broker.json").exists()


def test_a_second_demo_tells_of_a_step_that_fails_and_leaves_the_results(ended: Ended) -> None:
    page, record = ended.page, sorted(ended.home.glob("predictions/pred_batch_*/*.parquet"))

    failed = demo(ended.home, "--split-at", "1")

    assert failed.code == 65
    assert "--split-at 1 leaves no rows for training" in failed.err.splitlines()[-1]
    assert failed.out == ""
    assert ended.page == page
    assert sorted(ended.home.glob("predictions/pred_batch_*/*.parquet")) == record
