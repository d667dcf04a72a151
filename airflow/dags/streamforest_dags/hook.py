"""One job under ``spark-submit``: its report, its exit code, its end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import psutil
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

_OURS = "streamforest: "
_TERM_LIMIT_S = 3.0
"""Airflow kills what has not ended 5 s after it asked."""
_POLL_S = 0.05


class JobHook(SparkSubmitHook):  # type: ignore[misc]  # Airflow's classes are Any to mypy
    """Runs ``spark-submit`` and keeps what the job said last.

    Attributes:
        report: the JSON object that a job prints as its last line; None before that.
        error: the job's own line about what went wrong; None where it said none.
    """

    report: dict[str, Any] | None = None
    error: str | None = None

    @property
    def exit_code(self) -> int | None:
        """Of the job, which ``spark-submit`` hands on; None before it ended."""
        return None if self._submit_sp is None else self._submit_sp.poll()

    def submit(self, application: str = "", **kwargs: object) -> str | None:
        """Run the job to its end. It gets no variable of Airflow's, since those hold its secrets."""
        environ = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
        started: str | None = super().submit(application, env=environ, **kwargs)
        return started

    def on_kill(self) -> None:
        """End the whole application: ``spark-submit`` and the driver below it, kindly at first."""
        if self._submit_sp is None or self._submit_sp.poll() is not None:
            return
        try:
            parent = psutil.Process(self._submit_sp.pid)
            processes = [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            return
        self.log.info("Ending spark-submit and its driver: %s", [process.pid for process in processes])
        _signal(processes, "terminate")
        end = time.monotonic() + _TERM_LIMIT_S
        while any(map(_runs, processes)) and time.monotonic() < end:
            time.sleep(_POLL_S)
        _signal(processes, "kill")

    def _process_spark_submit_log(self, itr: Iterable[str]) -> None:
        super()._process_spark_submit_log(self._heard(itr))

    def _heard(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if line.startswith(_OURS):
                self.error = line.removeprefix(_OURS).strip()
            elif line.startswith('{"job": '):
                self.report = json.loads(line)
            yield line


def _runs(process: psutil.Process) -> bool:
    """Looked up, not waited for: a wait would take spark-submit's exit status from who waits for it in `submit`."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Iterable[psutil.Process], method: str) -> None:
    for process in processes:
        try:
            getattr(process, method)()
        except psutil.NoSuchProcess:
            continue
