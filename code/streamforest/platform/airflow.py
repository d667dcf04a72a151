"""Airflow's API, as far as the platform's own checks and drills use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamforest.platform.asking import ask
from streamforest.settings import secret

ADDRESS = "http://airflow:9090"


class Airflow:
    """Airflow as its admin sees it; every method raises Unreachable where it does not answer."""

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """What a path below /api/v2 holds."""
        return self._ask(path)

    def trigger(self, dag_id: str, **params: object) -> str:
        """Start a run of a DAG, in the place of one that goes on; returns its id."""
        for run in self._ask(f"/dags/{dag_id}/dagRuns?state=running&state=queued")["dag_runs"]:
            self._ask(f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}", {"state": "failed"}, "PATCH")
        made = self._ask(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params})
        return str(made["dag_run_id"])

    def last(self, dag_id: str) -> Mapping[str, Any]:
        """The latest run of a DAG."""
        found: Mapping[str, Any] = self._ask(f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]
        return found

    def tasks(self, dag_id: str, run_id: str) -> Mapping[str, Mapping[str, Any]]:
        """The tasks of a run, by name: state, try_number and more."""
        found = self._ask(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def _ask(self, path: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401  # JSON
        login = {"username": "admin", "password": secret("AIRFLOW_PASSWORD")}
        token = ask(f"{ADDRESS}/auth/token", login)["access_token"]
        return ask(f"{ADDRESS}/api/v2{path}", body, {"Authorization": f"Bearer {token}"}, method)
