"""Every DAG file: it parses without asking for anything, and holds the tasks, edges, limits and commands it should."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from streamforest import application, cli
from streamforest.streaming.answering import slots
from tests.airflow import environments
from tests.airflow.environments import DAGS
from tests.homes import REPOSITORY

pytestmark = environments.needed

FILES = sorted(DAGS.glob("*.py"))
EDGES = {
    "train_model": {"partition_data": [], "train_model": ["partition_data"], "test_model": ["train_model"]},
    "sample_data": {"check_model": [], "sample": ["check_model"]},
    "create_consumer_producer": {
        "check_model": [],
        "check_realtime_data": [],
        "create_producer": ["check_model", "check_realtime_data"],
        "create_consumer": ["check_model", "check_realtime_data"],
    },
    "agile_data_science_batch_prediction_model_training": {
        "partition_data": [],
        "train_model": ["partition_data"],
        "test_model": ["train_model"],
    },
    "flights_batch_prediction": {"check_model": [], "predict": ["check_model"]},
    "flights_stream": {"check_model": [], "answer_requests": ["check_model"]},
    "drill": {
        "create_producer": [],
        "create_consumer": [],
        "drain": ["create_consumer", "create_producer"],
        "predict": ["drain"],
    },
}
SCHEDULES = {
    "train_model": ("0 0 * * *", True),
    "sample_data": ("*/5 * * * *", False),
    "create_consumer_producer": ("*/10 * * * *", False),
    "agile_data_science_batch_prediction_model_training": ("0 0 * * *", True),
    "flights_batch_prediction": ("0 3 * * *", False),
    "flights_stream": ("ContinuousTimetable", False),
    "drill": ("NullTimetable", False),
}
BROKEN = {
    "a_variable.py": "from airflow.sdk import DAG, Variable\nVariable.get('wanted')\n",
    "a_connection.py": "from airflow.sdk import DAG, Connection\nConnection.get('spark_default')\n",
    "the_network.py": "import socket\nfrom airflow.sdk import DAG\nsocket.create_connection(('127.0.0.1', 9))\n",
    "an_import.py": "from airflow.sdk import DAG\nfrom streamforest_dags import nothing\n",
    "a_cycle.py": (
        "from airflow.sdk import DAG\n"
        "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        "with DAG('cycle', schedule=None):\n"
        "    first, second = EmptyOperator(task_id='first'), EmptyOperator(task_id='second')\n"
        "    first >> second >> first\n"
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return environments.describe(DAGS, tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def dags(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["dags"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_short_parses_and_holds_its_own_dag(path: Path, found: dict[str, Any]) -> None:
    held = [name for name, dag in found["dags"].items() if dag["file"] == str(path)]

    assert str(path) not in found["errors"]
    assert held == [path.stem]
    assert path.read_text(encoding="utf-8").count("\n") < 60


def test_files_that_ask_while_they_are_parsed_or_are_wrong_are_errors(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    shutil.copytree(DAGS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in BROKEN.items():
        (folder / name).write_text(text, encoding="utf-8")

    found = environments.describe(folder, tmp_path / "airflow")

    assert {Path(path).name for path in found["errors"]} == set(BROKEN)
    assert set(found["dags"]) == {path.stem for path in FILES}


@pytest.mark.parametrize("dag_id", EDGES)
def test_tasks_edges_and_schedule(dag_id: str, dags: dict[str, Any]) -> None:
    dag = dags[dag_id]

    assert {name: task["upstream"] for name, task in dag["tasks"].items()} == EDGES[dag_id]
    assert (dag["schedule"], dag["runs_at_once"]) == SCHEDULES[dag_id]
    assert application_of(dag_id) in dag["tags"]


def application_of(dag_id: str) -> str:
    if dag_id == "drill":
        return "drill"
    return "flights" if "flights" in dag_id or "agile" in dag_id else "activity"


def test_each_dag_runs_alone_and_looks_ahead_and_flights_wait_for_a_switch(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert (dag["active_runs"], dag["catchup"]) == (1, False)
        assert dag["paused"] == (application_of(dag_id) == "flights")
        assert dag["doc"]


def test_each_task_has_limits_retries_and_a_page(dags: dict[str, Any]) -> None:
    for task in tasks(dags):
        assert task["doc"]
        assert task["retries"] >= 2
        if "commands" in task:
            assert task["limit_s"] is not None
            assert task["links"] == ["MLflow", "Spark"]
        else:
            assert task["deferrable"] is True
            assert task["timeout_s"] is not None


def tasks(dags: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for dag in dags.values() for task in dag["tasks"].values()]


def test_each_command_is_one_that_the_jobs_take(dags: dict[str, Any]) -> None:
    commands = [command for task in tasks(dags) for command in task.get("commands", [])]
    names = application.names(["streamforest.applications", "streamforest.platform.applications"])

    assert commands
    for command in commands:
        main = command.index(str(REPOSITORY / "code" / "main.py"))
        options = cli.parser().parse_args(command[main + 1 :])
        assert options.application in names
        assert command[1:3] == ["--master", "spark://master:7077"]
        assert command[command.index("--deploy-mode") + 1] == "client"
        assert command[command.index("--name") + 1] == f"{options.job} {options.application}"


def test_a_task_takes_as_many_slots_as_cores(dags: dict[str, Any]) -> None:
    for task in tasks(dags):
        for command in task.get("commands", []):
            assert f"spark.cores.max={task['pool_slots']}" in command


@pytest.mark.parametrize("dag_id", ["train_model", "agile_data_science_batch_prediction_model_training"])
def test_both_pipelines_are_trained_and_tested_the_default_last(dag_id: str, dags: dict[str, Any]) -> None:
    trained = application.load(application_of(dag_id), ["streamforest.applications"])
    mapped = {name: dags[dag_id]["tasks"][name]["commands"] for name in ("train_model", "test_model")}

    for job, commands in zip(("train", "test"), mapped.values(), strict=True):
        assert [command[-4:] for command in commands] == [
            [job, trained.name, "--pipeline", name] for name in trained.pipelines
        ]
        assert commands[-1][-1] == trained.default_pipeline
    assert dags[dag_id]["tasks"]["partition_data"]["commands"][0][-1] == f"--split-at={trained.split.default}"


def test_the_stream_of_answers_has_a_core_for_each_task_it_holds(dags: dict[str, Any]) -> None:
    flights = application.load("flights", ["streamforest.applications"])

    assert dags["flights_stream"]["tasks"]["answer_requests"]["pool_slots"] == slots(flights)


def test_streams_serve_their_metrics_where_status_looks(dags: dict[str, Any]) -> None:
    tasks = {
        "activity": ("create_consumer_producer", "create_consumer"),
        "flights": ("flights_stream", "answer_requests"),
    }

    asked = dict(re.findall(r"\b(\w+)=(94\d\d)\b", (REPOSITORY / "docker" / "platform.sh").read_text()))

    assert tasks.keys() == asked.keys()
    for name, port in asked.items():
        dag_id, task_id = tasks[name]
        (command,) = dags[dag_id]["tasks"][task_id]["commands"]
        assert f"--metrics=0.0.0.0:{port}" in command


def test_the_streams_clock_is_now(dags: dict[str, Any]) -> None:
    (command,) = dags["create_consumer_producer"]["tasks"]["create_producer"]["commands"]

    assert "--clock=now" in command
