"""SIGKILL of partition and train at any moment leaves the previous result readable, and the next run works."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from streamforest.model.publication import ModelFolder
from tests.homes import HISTORY, REPOSITORY, environment, job, report

LINES = [
    f"{user},{action},{1370367549273 + 50 * nth},{nth % 7 if action == 'Walking' else 0.1},9.8,{nth % 3};"
    for user in (1600, 1601, 1610)
    for action in ("Walking", "Sitting")
    for nth in range(400)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which partition, train and test went well once."""
    found = tmp_path_factory.mktemp("killed")
    (found / "data").mkdir()
    (found / "data" / HISTORY).write_text("\n".join(LINES) + "\n")
    for name in ("partition", "train", "test"):
        report(job(name, "activity", home=found))
    return found


def killed(name: str, home: Path, after: str, delay_s: float) -> None:
    """Run a job and kill it ``delay_s`` after it said ``after`` on stderr; a job that was faster has ended well."""
    command = [sys.executable, str(REPOSITORY / "code" / "main.py"), name, "activity", "--home", str(home)]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if after in line:
            break
    time.sleep(delay_s)
    process.kill()
    process.stderr.close()
    assert process.wait() in (-signal.SIGKILL, 0)


def rows_of(home: Path) -> dict[str, int]:
    """Rows of both sides and the refused, as another program reads them."""
    folders = {name: home / "data" / "partitioned" / name for name in ("training", "testing")}
    counted: dict[str, Any] = {
        name: ds.dataset(folder, partitioning="hive").count_rows() for name, folder in folders.items()
    }
    return counted | {"refused": ds.dataset(home / "data" / "refused").count_rows()}


@pytest.mark.parametrize("delay_s", [0.5, 3.0, 4.5, 6.0, 8.0])
def test_a_killed_partition_leaves_the_previous_rows(home: Path, delay_s: float) -> None:
    before = rows_of(home)

    killed("partition", home, "reading", delay_s)

    assert rows_of(home) == before


@pytest.mark.parametrize(
    ("after", "delay_s"), [("fitting", 0.5), ("fitted on", 0.2), ("fitted on", 2.0), ("fitted on", 4.0)]
)
def test_a_killed_train_leaves_the_previous_models(home: Path, after: str, delay_s: float) -> None:
    models = ModelFolder(home / "model")
    champion = models.require_champion()

    killed("train", home, after, delay_s)

    models.verify(champion)
    models.verify(models.candidate("statistics"))
    assert models.require_champion() == champion


def test_after_all_the_kills_the_jobs_run_and_leave_nothing_behind(home: Path) -> None:
    partitioned = report(job("partition", "activity", home=home))
    trained, tested = report(job("train", "activity", home=home)), report(job("test", "activity", home=home))

    assert partitioned["rows_training"] + partitioned["rows_testing"] == len(LINES)
    assert tested["version"] == trained["version"]
    left = [path for folder in ("data", "model", "model/versions") for path in (home / folder).glob(".*writing*")]
    left += list((home / "data").glob(".parsing-*"))
    assert left == []
    assert json.loads((home / "model" / ".created").read_text())["version"] == tested["version"]
