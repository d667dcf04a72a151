"""Airflow's environment beside the jobs': scripts and commands run in it, with a metadata base of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.homes import REPOSITORY

DAGS = REPOSITORY / "airflow" / "dags"
PYTHON = REPOSITORY / ".venv-airflow" / "bin" / "python"

needed = pytest.mark.skipif(
    not PYTHON.with_name("airflow").exists(),
    reason="Airflow's environment is not set up: ./control_env.sh test makes it",
)


def environment(airflow_home: Path, **changes: str) -> dict[str, str]:
    """Nothing of a user's own Airflow; jobs run in the jobs' environment, on local Spark."""
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name and name != "PYTHONPATH"}
    return {
        **inherited,
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "STREAMFOREST_CODE": str(REPOSITORY / "code"),
        **changes,
    }


def run(arguments: list[str], environ: dict[str, str], limit_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Airflow's Python with arguments."""
    command = [str(PYTHON), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=limit_s, check=False)


def describe(folder: Path, airflow_home: Path) -> dict[str, Any]:
    """What tests/airflow/describe.py says of a folder of DAG files."""
    script = Path(__file__).with_name("describe.py")
    result = run([str(script), str(folder)], environment(airflow_home))
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found
