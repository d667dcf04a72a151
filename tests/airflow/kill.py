"""Runs in Airflow's own environment: run a task as its worker does, and end it as Airflow does when it is killed.

Arguments: the program to submit, and a file that it writes once it runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path


def main(program: str, running: str) -> None:
    from airflow.sdk.exceptions import AirflowException

    from streamforest_dags import settings
    from streamforest_dags.job import JobOperator

    task = JobOperator(
        task_id="endless",
        application=program,
        application_args=[running],
        name="endless",
        deploy_mode="client",
        spark_binary=str(settings.load().spark_submit),
    )
    signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    threading.Thread(target=kill_when, args=(Path(running),), daemon=True).start()
    try:
        task.execute({})
    except AirflowException as error:
        print(f"\nended: {type(error).__name__}", flush=True)  # noqa: T201  # what the test reads


def kill_when(running: Path) -> None:
    """Send SIGTERM to this process once the program runs."""
    while not running.exists():
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
