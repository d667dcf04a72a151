"""DAGs at work: a run from the first task to the last, waiting without a worker, failing with a cure, being killed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow import environments
from tests.airflow.environments import DAGS, PYTHON
from tests.homes import LIVE

pytestmark = environments.needed

LOCAL = json.dumps({"conn_type": "spark", "host": "local[1]"})
SCRIPTS = Path(__file__).parent


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's home with its tables."""
    home = tmp_path_factory.mktemp("airflow")
    migrated = environments.run(["-m", "airflow", "db", "migrate"], environments.environment(home))
    assert migrated.returncode == 0, migrated.stderr
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a pointer to a model, and unlabelled readings of two users."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".created").touch()
    (tmp_path / "data").mkdir()
    lines = [f"{user},No Label,{1_000_000 + 50 * tick},0.1,9.8,0.3;\n" for user in (7, 8) for tick in range(200)]
    (tmp_path / "data" / LIVE).write_text("".join(lines), encoding="utf-8")
    return tmp_path


def run_dag(dag_id: str, metadata: Path, home: Path, **params: object) -> subprocess.CompletedProcess[str]:
    environ = environments.environment(metadata, STREAMFOREST_HOME=str(home), AIRFLOW_CONN_SPARK_DEFAULT=LOCAL)
    return environments.run(["-m", "airflow", "dags", "test", dag_id, "--conf", json.dumps(params)], environ)


def xcoms(metadata: Path, task_id: str) -> dict[str, Any]:
    with sqlite3.connect(metadata / "airflow.db") as base:
        rows = base.execute("select key, value from xcom where task_id = ?", (task_id,)).fetchall()
    return {key: json.loads(value) for key, value in rows}


def test_a_run_samples_and_returns_the_jobs_report(metadata: Path, home: Path) -> None:
    result = run_dag("sample_data", metadata, home, samples=50)  # a seed of its time: enough to meet both users

    assert result.returncode == 0, result.stdout
    left = xcoms(metadata, "sample")
    assert (left["return_value"]["job"], left["return_value"]["rows"]) == ("sample", 400)
    assert left["return_value"]["samples"] == 50
    assert left["_link_SparkLink"] == "http://localhost:8080"
    assert list((home / "data" / "real_time").glob("*.parquet"))


def test_bad_input_fails_at_once_with_the_jobs_own_line(metadata: Path, home: Path) -> None:
    (home / "data" / LIVE).unlink()

    result = run_dag("sample_data", metadata, home)

    assert result.returncode != 0
    assert f"there is no {LIVE}" in result.stdout
    assert "fetch or make it: ./control_env.sh data" in result.stdout
    assert "UP_FOR_RETRY" not in result.stdout


WAITING = [
    ("sample_data", "check_model", "model/.created"),
    ("create_consumer_producer", "check_realtime_data", "data/real_time/part-0.parquet"),
]


@pytest.mark.parametrize(("dag_id", "task_id", "file"), WAITING)
def test_a_sensor_waits_without_a_worker_until_the_file_is_there(
    dag_id: str, task_id: str, file: str, tmp_path: Path
) -> None:
    with waiting(dag_id, task_id, tmp_path) as process:
        assert process.stdout is not None
        words = (line.strip() for line in process.stdout if line.strip() in {"deferred", "fired", "ready"})
        assert next(words) == "deferred"
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("{}", encoding="utf-8")
        assert next(words) == "fired"
        assert process.wait(timeout=60) == 0


def waiting(dag_id: str, task_id: str, home: Path) -> subprocess.Popen[str]:
    environ = environments.environment(home / "airflow", STREAMFOREST_HOME=str(home))
    command = [str(PYTHON), str(SCRIPTS / "wait.py"), str(DAGS), dag_id, task_id]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_a_killed_task_takes_its_spark_application_with_it(tmp_path: Path) -> None:
    running = tmp_path / "running"
    environ = environments.environment(tmp_path, AIRFLOW_CONN_SPARK_DEFAULT=LOCAL, PYTHONPATH=str(DAGS))

    result = environments.run([str(SCRIPTS / "kill.py"), str(SCRIPTS / "endless.py"), str(running)], environ)

    assert "ended: AirflowException" in result.stdout
    assert running.exists()
    until(lambda: not list(processes_that_name(str(running))))


def processes_that_name(text: str) -> Iterator[int]:
    """Processes with a text in their command line: spark-submit's JVM, the driver and its workers."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().decode(errors="replace") and int(path.parent.name) != os.getpid():
                yield int(path.parent.name)
        except OSError:
            continue


def until(holds: Callable[[], bool], limit_s: float = 30) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)
