"""Runs in Airflow's own environment: parse a folder of DAG files and print as JSON what came of it.

It is started without metadata, connections and variables, and refuses network, so that a DAG file that asks for any of
them while it is parsed is an import error.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator

ASKED_AT = datetime(2027, 1, 15, 8, tzinfo=UTC)
CONNECTION = "spark://master:7077"


def main(folder: str) -> None:
    """Print errors by file, and every DAG."""
    from airflow.dag_processing.dagbag import BundleDagBag

    sys.addaudithook(refuse_network)
    bag = BundleDagBag(folder, bundle_path=Path(folder), bundle_name="dags-folder")
    # From here on a task would run.
    os.environ["AIRFLOW_CONN_SPARK_DEFAULT"] = CONNECTION
    found = {"errors": bag.import_errors, "dags": {name: dag_facts(dag) for name, dag in bag.dags.items()}}
    print(json.dumps(found))  # noqa: T201  # what it is for


def refuse_network(event: str, _: object) -> None:
    if event in {"socket.connect", "socket.getaddrinfo"}:
        raise PermissionError(f"{event} while a DAG file is parsed")


def dag_facts(dag: DAG) -> dict[str, Any]:
    return {
        "file": dag.fileloc,
        "schedule": getattr(dag.timetable, "expression", type(dag.timetable).__name__),
        "runs_at_once": getattr(dag.timetable, "run_immediately", None) is True,
        "catchup": dag.catchup,
        "active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "tasks": {task.task_id: task_facts(dag, task) for task in dag.tasks},
    }


def task_facts(dag: DAG, task: BaseOperator) -> dict[str, Any]:
    facts = {
        "upstream": sorted(task.upstream_task_ids),
        "doc": task.doc_md,
        "retries": task.retries,
        "limit_s": seconds(task.execution_timeout),
        "timeout_s": getattr(task, "timeout", None),
        "deferrable": getattr(task, "deferrable", None),
        "pool_slots": task.pool_slots,
        "links": sorted(link.name for link in task.operator_extra_links),
    }
    if hasattr(task, "filepath"):
        facts["waits_for"] = task.path
    else:
        facts["commands"] = [command(dag, operator) for operator in operators(task)]
    return facts


def seconds(limit: timedelta | None) -> float | None:
    return limit.total_seconds() if limit else None


def operators(task: BaseOperator) -> list[BaseOperator]:
    """A task, or what a mapped one becomes."""
    if not hasattr(task, "expand_input"):
        return [task]
    return [task.unmap({"application_args": each}) for each in task.expand_input.value["application_args"]]


def command(dag: DAG, operator: BaseOperator) -> list[str]:
    """The command line that a run with the DAG's default parameters would start."""
    run = SimpleNamespace(run_after=ASKED_AT)
    context = {"params": dag.params.dump(), "dag_run": run}
    operator.application_args = operator.render_template(
        operator.application_args, context, jinja_env=dag.get_template_env()
    )
    built: list[str] = operator._get_hook()._build_spark_submit_command(operator.application)
    return built


if __name__ == "__main__":
    main(sys.argv[1])
