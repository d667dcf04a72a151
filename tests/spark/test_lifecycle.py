"""From candidate to champion and back: what the gate refuses, what MLflow and the disk say, and what a kill leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlflow
import pytest
from pyspark.sql import SparkSession

from streamforest import cli, settings
from streamforest.embedded import model as verb
from streamforest.errors import BadInput, Unreachable
from streamforest.model.publication import ModelFolder
from streamforest.model.tracking import Tracker
from tests import lifecycle_homes as homes
from tests.homes import REPOSITORY, environment, snapshot

NO_MLFLOW = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a good champion, version 1."""
    found = tmp_path_factory.mktemp("lifecycle")
    homes.prepare(found)
    homes.run(found, spark, "partition", "activity")
    homes.run(found, spark, "train", "activity")
    assert homes.run(found, spark, "test", "activity")["gate"]["passed"]
    return found


def champion(home: Path) -> tuple[str, str | None, str | None]:
    """The published version as pointer, link and alias say it."""
    models = ModelFolder(home / "model")
    return models.require_champion().version, models.linked(), Tracker(settings.load(home=home), "activity").champion()


def model(home: Path, capfd: pytest.CaptureFixture[str], action: str, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the verb ``model``."""
    capfd.readouterr()
    code = verb.main([action, "activity", *options, "--home", str(home)])
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("lesson", "words"),
    [(homes.mixed_up, "below the champion's"), (homes.without_sitting, "it was not taught Sitting")],
    ids=["worse", "missing class"],
)
def test_a_candidate_that_learnt_badly_is_refused_with_reasons_everywhere(
    home: Path,
    spark: SparkSession,
    capfd: pytest.CaptureFixture[str],
    lesson: Callable[[Any], Any],
    words: str,
) -> None:
    before = champion(home)
    version = homes.taught(home, spark, lesson)

    report = homes.run(home, spark, "test", "activity")

    verdict = report["gate"]
    assert (report["version"], verdict["passed"]) == (version, False)
    assert any(words in reason for reason in verdict["reasons"])
    assert verdict["units"] == 5
    assert verdict["interval"][0] <= verdict["difference"] <= verdict["interval"][1]
    assert champion(home) == before
    assert_verdict_is_told(home, version, words, capfd)


def assert_verdict_is_told(home: Path, version: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The reasons are in MLflow's run and version, and in the list of models."""
    client = mlflow.MlflowClient(f"sqlite:///{home}/model/mlflow.db")
    registered = client.get_model_version("activity", version)
    run_id = str(registered.run_id)
    tags = client.get_run(run_id).data.tags
    code, listed, _ = model(home, capfd, "list")

    assert (tags["gate"], registered.tags["validation_status"]) == ("failed", "failed")
    assert words in tags["gate.reasons"]
    assert "gate.json" in {file.path for file in client.list_artifacts(run_id)}
    assert code == 0
    assert words in listed


@pytest.mark.parametrize("change", [homes.without_numbers, homes.of_a_class_that_is_gone], ids=["NaN", "broken"])
def test_a_candidate_that_is_broken_is_refused_and_says_why(
    home: Path, spark: SparkSession, capfd: pytest.CaptureFixture[str], change: Callable[[Path], None]
) -> None:
    before = champion(home)
    version = homes.run(home, spark, "train", "activity")["version"]
    homes.remade(home, version, change)

    with pytest.raises(BadInput, match=f"model version {version} cannot be scored"):
        homes.run(home, spark, "test", "activity")

    assert champion(home) == before
    assert_verdict_is_told(home, version, "it cannot be scored", capfd)
    code, _, said = model(home, capfd, "promote", version)
    assert (code, champion(home)) == (65, before)
    assert "did not pass the gate" in said


def test_files_that_are_not_those_of_the_registry_are_refused(home: Path, spark: SparkSession) -> None:
    before = champion(home)
    version = homes.run(home, spark, "train", "activity")["version"]
    registered = Tracker(settings.load(home=home), "activity").checksum(version)
    again = homes.remade(home, version, lambda folder: (folder / "serving" / "added").touch())
    tracker = Tracker(settings.load(home=home), "activity")
    tracker.connect()
    tracker.set_checksum(version, str(registered))

    with pytest.raises(BadInput, match=rf"version {version} are not those in the registry"):
        homes.run(home, spark, "test", "activity")

    assert again.checksum != registered
    assert champion(home) == before


def test_promotion_and_rollback_move_pointer_link_and_alias(
    home: Path, spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    first = champion(home)[0]
    second = homes.run(home, spark, "train", "activity")["version"]
    homes.run(home, spark, "test", "activity")
    promoted = champion(home)

    code, said, _ = model(home, capfd, "rollback")
    rolled_back = champion(home)
    code_again, _, error = model(home, capfd, "rollback")
    forward, *_ = model(home, capfd, "promote", second)

    assert promoted == (second, second, second)
    assert (code, rolled_back) == (0, (first, first, first))
    assert json.loads(said.splitlines()[-1]) == {"application": "activity", "champion": first, "before": second}
    assert code_again == 65
    assert f"version {first} is the first one published" in error
    assert (forward, champion(home)) == (0, promoted)


def test_what_a_kill_between_alias_and_pointer_leaves_is_shown_and_repaired(
    home: Path, spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    pointer = champion(home)[0]
    other = homes.run(home, spark, "train", "activity")["version"]
    Tracker(settings.load(home=home), "activity").set_champion(other)
    ModelFolder(home / "model")._link(ModelFolder(home / "model").candidate("statistics"))

    _, listed, warned = model(home, capfd, "list")
    code, *_ = model(home, capfd, "repair")

    assert not json.loads(listed.splitlines()[-1])["agrees"]
    assert f"model/.created says {pointer}" in warned
    assert "model repair activity" in warned
    assert (code, champion(home)) == (0, (pointer, pointer, pointer))


def test_without_mlflow_nothing_is_promoted_and_predictions_go_on(
    home: Path, spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    homes.run(home, spark, "train", "activity")
    before = snapshot(home / "model")

    with pytest.raises(Unreachable, match="MLflow at http"):
        homes.run(home, spark, "test", "activity", "--tracking-uri", NO_MLFLOW)
    promoted, _, said = model(home, capfd, "promote", "1", "--force", "--tracking-uri", NO_MLFLOW)
    listed, table, _ = model(home, capfd, "list", "--tracking-uri", NO_MLFLOW)
    batch = ["consume", "activity", "--batch", "data/partitioned/testing", "--tracking-uri", NO_MLFLOW]
    predicted = homes.run(home, spark, *batch)["predictions"]

    assert (promoted, listed) == (69, 0)
    assert "MLflow at http" in said
    assert "* " in table
    assert snapshot(home / "model") == before
    assert predicted > 0


def test_two_trainings_at_once_leave_a_whole_registry(home: Path) -> None:
    models = ModelFolder(home / "model")
    before, published = {one.version for one in models.versions()}, champion(home)
    started = [train(home, pipeline) for pipeline in ("lags", "statistics")]

    ended = {pipeline: process.communicate(timeout=300) for pipeline, process in started}

    codes = [process.returncode for _, process in started]
    said = "".join(stderr for _, stderr in ended.values())
    assert sorted(codes) in ([0, 0], [0, 65]), said
    assert (65 in codes) == ("is running already" in said)
    reports = [json.loads(stdout.splitlines()[-1]) for stdout, _ in ended.values() if stdout]
    for report in reports:
        models.verify(models.candidate(report["pipeline"]))
        assert models.candidate(report["pipeline"]).version == report["version"]
    registry = mlflow.MlflowClient(f"sqlite:///{home}/model/mlflow.db").search_model_versions("name='activity'")
    assert {one.version for one in models.versions()} - before == {report["version"] for report in reports}
    assert {report["version"] for report in reports} <= {str(one.version) for one in registry}
    assert champion(home) == published


def train(home: Path, pipeline: str) -> tuple[str, subprocess.Popen[str]]:
    command: Sequence[str] = [sys.executable, str(REPOSITORY / "code" / "main.py"), "train", "activity"]
    command = [*command, "--pipeline", pipeline, "--home", str(home)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return pipeline, subprocess.Popen(command, env=environment(), **pipes)


def test_a_wrong_action_is_wrong_usage() -> None:
    assert [verb.main(["nope", "activity"]), verb.main(["list"]), cli.main(["model"])] == [64, 64, 64]
