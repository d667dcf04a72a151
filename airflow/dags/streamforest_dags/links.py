"""Buttons of a task: its run in MLflow, and Spark's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from streamforest_dags import settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class MlflowLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow's classes are Any to mypy
    """The run that the job's report names; MLflow's first page where it names none."""

    name = "MLflow"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        report: dict[str, Any] = getattr(operator, "report", None) or {}
        url, run_id = settings.load().mlflow_url, report.get("run_id")
        return f"{url}/#/runs/{run_id}" if run_id else url


class SparkLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow's classes are Any to mypy
    """Spark's master, which lists the job under its name, running or completed."""

    name = "Spark"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        return settings.load().spark_url
