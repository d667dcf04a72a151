"""The platform in a checkout of its own: its verbs, its pages' interfaces, its containers."""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamforest.applications.activity import generator
from streamforest.kafka import Kafka, Login
from tests.homes import HISTORY, LIVE, RECORDINGS, copy_checkout

PROJECT = "streamforest-test"
PORTS = ("SPARK_PORT", "AIRFLOW_PORT", "MLFLOW_PORT", "KAFKA_PORT", "JUPYTER_PORT", "WEB_PORT")


_USERS = {str(user).encode() for user in (*range(1600, 1607), 1640, 1645)}
"""Of the recordings, on both sides of the DAG's split."""


def engine_answers() -> bool:
    """True where there is a Docker engine with compose."""
    command = ["docker", "compose", "version"]
    return bool(shutil.which("docker")) and all(
        subprocess.run(each, capture_output=True, check=False).returncode == 0 for each in (["docker", "info"], command)
    )


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def until(what: str, predicate: Callable[[], str | None], limit_s: float = 300) -> str:
    """What the predicate gives once it is true."""
    deadline = time.monotonic() + limit_s
    while not (found := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(1)
    return found


class Platform:
    """A copy of what git knows of this checkout, with a project name, image tag and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        copy_checkout(self.root)
        self.ports = {name: str(_free_port()) for name in PORTS}
        self.settings = {
            **self.ports,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "STREAMFOREST_TAG": "test",
            # Of no user that an image knows, as most of a host's are.
            "STREAMFOREST_UID": "4242",
            "STREAMFOREST_GID": "4242",
        }

    def verb(self, *arguments: str, limit_s: float = 1200, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ./control_env.sh as a user does."""
        environ = {**os.environ, **self.settings, **settings}
        command = [str(self.root / "control_env.sh"), *arguments]
        return subprocess.run(
            command, env=environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s,
            check=False,
        )  # fmt: skip

    def secrets(self) -> dict[str, str]:
        lines = (self.root / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def kafka(self, user: str) -> Kafka:
        """Kafka as a program on this machine reaches it, by what the verb token tells."""
        told = self.verb("token", "kafka", user).stdout
        ((servers, password),) = re.findall(r'(?s)^bootstrap\.servers=(\S+).* password="(.*?)"', told)
        return Kafka(servers, Login(user=user, password=password))

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each container, by service."""
        label = f"label=com.docker.compose.project={PROJECT}"
        found = json.loads(output("docker", "inspect", *output("docker", "ps", "-aq", "--filter", label).split()))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def airflow(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:  # noqa: ANN401
        """What Airflow's API answers."""
        login = {"username": "admin", "password": self.secrets()["AIRFLOW_PASSWORD"]}
        token = self.ask("AIRFLOW_PORT", "/auth/token", login)["access_token"]
        return self.ask("AIRFLOW_PORT", f"/api/v2{path}", body, {"Authorization": f"Bearer {token}"}, method)

    def ask(
        self,
        port: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> Any:  # noqa: ANN401  # JSON
        """What a service answers, from JSON to JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[port]}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own address
            return json.load(answer)

    def page(self, port: str, path: str) -> str:
        """A page as text."""
        address = f"http://127.0.0.1:{self.ports[port]}{path}"
        with urllib.request.urlopen(address, timeout=60) as answer:  # our own address
            return str(answer.read().decode())

    def trigger(self, dag_id: str, **params: object) -> str:
        """Start a run of a DAG, in the place of one that its schedule began; returns its id."""
        self._end_runs(dag_id)
        made = self.airflow(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params})
        return str(made["dag_run_id"])

    def begun(self, dag_id: str) -> str:
        """The id of the run that the schedule of a resumed DAG begins."""

        def first() -> str | None:
            runs = self.airflow(f"/dags/{dag_id}/dagRuns")["dag_runs"]
            return str(runs[0]["dag_run_id"]) if runs else None

        return until(f"a run of {dag_id}", first)

    def resume(self, *dag_ids: str) -> None:
        """Let these DAGs run by their schedules."""
        for dag_id in dag_ids:
            self.airflow(f"/dags/{dag_id}", {"is_paused": False}, "PATCH")

    def pause(self, *dag_ids: str) -> None:
        """Let no run of these DAGs begin or go on; returns when the cluster has nothing to do."""
        for dag_id in dag_ids:
            self.airflow(f"/dags/{dag_id}", {"is_paused": True}, "PATCH")
            self._end_runs(dag_id)
        until("an idle cluster", lambda: None if self.ask("SPARK_PORT", "/json/")["activeapps"] else "idle")

    def _end_runs(self, dag_id: str) -> None:
        for run in self.airflow(f"/dags/{dag_id}/dagRuns?state=running&state=queued")["dag_runs"]:
            self.airflow(f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}", {"state": "failed"}, "PATCH")

    def ended(self, dag_id: str, run_id: str, limit_s: float = 900) -> str:
        """The state in which a run of a DAG ends."""

        def state() -> str | None:
            found = self.airflow(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in ("success", "failed") else None

        return until(f"{dag_id} {run_id}", state, limit_s)

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """What a task that is not mapped said in its last try."""
        instance = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        attempt = self.airflow(instance)["try_number"]
        return json.dumps(self.airflow(f"{instance}/logs/{attempt}?full_content=true"))


def add_recordings(data: Path) -> None:
    """A few users' real recordings, or made-up ones where there are none."""
    if not RECORDINGS.exists():
        generator.generate(data, 1)
        return
    for source, target in (("WISDM51_20hz_raw", HISTORY), ("WISDM51_20hz_unlabeled_raw", LIVE)):
        with lzma.open(RECORDINGS / f"{source}.txt.xz") as lines, (data / target).open("wb") as file:
            file.writelines(line for line in lines if line.partition(b",")[0] in _USERS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
