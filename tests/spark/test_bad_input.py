"""Bad input: one line that names it and the cure, the contract's exit code, and nothing changed on disk."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from streamforest import cli, files
from tests.homes import HISTORY, LIVE, snapshot

WALK = [
    f"{user},{action},{1370367549273 + 50 * nth},{nth % 7 if action == 'Walking' else 0.1},9.8,{nth % 3};"
    for user in (1600, 1610)
    for action in ("Walking", "Sitting")
    for nth in range(160)
]


@pytest.fixture
def home(spark: SparkSession, tmp_path: Path) -> Path:  # noqa: ARG001 # jobs find the running session
    """A home with a little of both raw files; Spark runs, so that jobs find it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / HISTORY).write_text("\n".join(WALK) + "\n")
    (tmp_path / "data" / LIVE).write_text("\n".join(line.replace("Walking", "No Label") for line in WALK) + "\n")
    return tmp_path


def remove_history(home: Path) -> None:
    (home / "data" / HISTORY).unlink()


def empty_history(home: Path) -> None:
    (home / "data" / HISTORY).write_text("")


def refused_history(home: Path) -> None:
    (home / "data" / HISTORY).write_text("1600,Walking\n\n1601,,,,,;\n")


def truncated_history(home: Path) -> None:
    whole = lzma.compress("\n".join(WALK * 50).encode())
    remove_history(home)
    (home / "data" / f"{HISTORY}.xz").write_bytes(whole[: len(whole) // 2])


def file_for_a_folder(name: str) -> Callable[[Path], None]:
    def prepare(home: Path) -> None:
        (home / name).write_text("in the way")

    return prepare


def nothing(home: Path) -> None:
    del home


CASES = [
    ("no-job", nothing, ["divide", "activity"], 64, "invalid choice: 'divide'"),
    ("no-application", nothing, ["partition", "swimming"], 64, "unknown application 'swimming'"),
    ("no-pipeline", nothing, ["train", "activity", "--pipeline", "lines"], 64, "has no pipeline 'lines'"),
    ("no-option", nothing, ["partition", "activity", "--speed", "1"], 64, "--speed"),
    ("abbreviated-option", nothing, ["partition", "activity", "--split", "1"], 64, "--split"),
    ("no-number", nothing, ["partition", "activity", "--split-at", "half"], 64, "is not a user's number"),
    ("no-smoothing", nothing, ["train", "activity", "--smoothing", "0"], 64, "--smoothing 0"),
    ("no-history", remove_history, ["partition", "activity"], 65, f"there is no {HISTORY}"),
    ("empty-history", empty_history, ["partition", "activity"], 65, "is empty"),
    ("refused-history", refused_history, ["partition", "activity"], 65, "holds no usable record"),
    ("truncated-history", truncated_history, ["partition", "activity"], 65, "truncated"),
    ("no-training", nothing, ["partition", "activity", "--split-at", "1"], 65, "leaves no rows for training"),
    ("no-testing", nothing, ["partition", "activity", "--split-at", "9999"], 65, "leaves no rows for testing"),
    ("no-rows", nothing, ["train", "activity"], 65, "run the job partition activity first"),
    ("no-candidate", nothing, ["test", "activity"], 65, "run the job train"),
    ("no-model", nothing, ["consume", "activity", "--bootstrap-servers", "127.0.0.1:9"], 65, "no published model"),
    ("no-model-batch", nothing, ["consume", "activity", "--batch", "data"], 65, "no published model"),
    ("no-day", nothing, ["consume", "activity", "--batch", "data", "--day", "2013-12-24"], 64, "--day goes with"),
    ("nothing-to-send", nothing, ["produce", "activity", "--bootstrap-servers", "127.0.0.1:9"], 65, "nothing to send"),
    ("no-samples", nothing, ["sample", "activity", "--samples", "0"], 64, "--samples 0"),
    ("unwritable-model", file_for_a_folder("model"), ["train", "activity"], 65, "cannot write to"),
    ("no-mlflow", nothing, ["train", "activity", "--tracking-uri", "http://127.0.0.1:9"], 69, "MLflow at http"),
]


@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_bad_input(
    home: Path,
    capfd: pytest.CaptureFixture[str],
    prepare: Callable[[Path], None],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    if words == "MLflow at http":
        assert cli.main(["partition", "activity", "--home", str(home)]) == 0
    prepare(home)
    before = snapshot(home)
    capfd.readouterr()

    ended = cli.main([*arguments, "--home", str(home)])

    stdout, stderr = capfd.readouterr()
    said = [line for line in stderr.splitlines() if line.startswith("streamforest: ")]
    assert (ended, len(said)) == (code, 1), stderr
    assert words in said[0]
    assert "Traceback" not in stderr
    assert stdout == ""
    assert snapshot(home) == before


def test_the_second_of_two_runs_names_the_first(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with files.exclusive(home / "data" / ".locks" / "activity" / "train.lock", "the job train activity"):
        ended = cli.main(["train", "activity", "--home", str(home)])

    assert ended == 65
    assert "the job train activity is running already (process" in capfd.readouterr().err


def test_a_damaged_model_is_refused_by_test_and_consume(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for job in ("partition", "train", "test"):
        assert cli.main([job, "activity", "--home", str(home)]) == 0, capfd.readouterr().err
    created = json.loads((home / "model" / ".created").read_text())
    forest = home / "model" / "versions" / created["version"] / "serving" / "forest.treelite"
    forest.write_bytes(forest.read_bytes()[:-1])
    before = snapshot(home)
    capfd.readouterr()

    codes = [
        cli.main([*job, "--home", str(home)])
        for job in (["test", "activity"], ["consume", "activity", "--batch", "data/partitioned/testing"])
    ]

    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("streamforest: ")]
    assert codes == [65, 65]
    assert all("damaged" in line and "train and test again" in line for line in said)
    assert snapshot(home) == before


def test_kafka_that_does_not_answer_is_told_in_bounded_time(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "activity", "--home", str(home), "--samples", "2"]) == 0
    before = snapshot(home)
    capfd.readouterr()

    ended = cli.main(["produce", "activity", "--home", str(home), "--bootstrap-servers", "127.0.0.1:9"])

    assert ended == 69
    assert "no Kafka at 127.0.0.1:9" in capfd.readouterr().err
    assert snapshot(home) == before


def test_a_class_unseen_in_training_is_kept_counted_and_named(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    unseen = [line.replace("1610,Sitting", "1610,Stairs") for line in WALK]
    (home / "data" / HISTORY).write_text("\n".join(unseen) + "\n")
    for job in ("partition", "train"):
        assert cli.main([job, "activity", "--home", str(home)]) == 0, capfd.readouterr().err
    capfd.readouterr()

    ended = cli.main(["test", "activity", "--home", str(home)])

    report = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert ended == 0
    assert report["unseen_classes"] == ["Stairs"]
    assert report["metrics"]["classes"]["Stairs"]["support"] == 4
    assert report["metrics"]["classes"]["Stairs"]["recall"] == 0
