"""Where code, libraries, files and pages are, and what a job may take of the cluster: the reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one job takes of the cluster."""

    cores: int
    """Of all executors together; each executor has one, so that they fit wherever a core is free."""
    memory: str
    """Of each executor."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The platform as a task sees it."""

    code: Path
    python: Path
    """The interpreter of drivers and workers, which has the jobs' libraries."""
    home: Path
    batch: Share
    stream: Share
    driver_memory: str
    log_level: str
    """Of what Spark says itself in a task's log."""
    mlflow_url: str
    """MLflow's page as a browser reaches it."""
    spark_url: str
    """The page of Spark's master as a browser reaches it."""

    @property
    def main(self) -> Path:
        return self.code / "main.py"

    @property
    def spark_submit(self) -> Path:
        return self.python.with_name("spark-submit")

    @property
    def driver_options(self) -> str:
        """Of the driver's JVM; it runs before the job could say them."""
        logging = (self.code / "streamforest" / "log4j2.properties").as_uri()
        return f"-Dlog4j2.configurationFile={logging} -Dstreamforest.log.level={self.log_level}"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings: variables first, then what the images hold.

    | variable | default |
    | --- | --- |
    | ``STREAMFOREST_CODE`` | ``/opt/streamforest/code`` |
    | ``PYSPARK_PYTHON`` | ``/opt/streamforest/venv/bin/python`` |
    | ``STREAMFOREST_HOME`` | ``/srv/streamforest`` |
    | ``STREAMFOREST_SPARK_BATCH_CORES`` | ``2`` |
    | ``STREAMFOREST_SPARK_BATCH_MEMORY`` | ``1g`` |
    | ``STREAMFOREST_SPARK_STREAM_CORES`` | ``1`` |
    | ``STREAMFOREST_SPARK_STREAM_MEMORY`` | ``640m`` |
    | ``STREAMFOREST_SPARK_DRIVER_MEMORY`` | ``1g`` |
    | ``STREAMFOREST_SPARK_LOG_LEVEL`` | ``warn`` |
    | ``STREAMFOREST_MLFLOW_URL`` | ``http://localhost:5000`` |
    | ``STREAMFOREST_SPARK_URL`` | ``http://localhost:8080`` |
    """
    return Settings(
        code=Path(environ.get("STREAMFOREST_CODE", "/opt/streamforest/code")),
        python=Path(environ.get("PYSPARK_PYTHON", "/opt/streamforest/venv/bin/python")),
        home=Path(environ.get("STREAMFOREST_HOME", "/srv/streamforest")),
        batch=Share(
            cores=int(environ.get("STREAMFOREST_SPARK_BATCH_CORES", "2")),
            memory=environ.get("STREAMFOREST_SPARK_BATCH_MEMORY", "1g"),
        ),
        stream=Share(
            cores=int(environ.get("STREAMFOREST_SPARK_STREAM_CORES", "1")),
            memory=environ.get("STREAMFOREST_SPARK_STREAM_MEMORY", "640m"),
        ),
        driver_memory=environ.get("STREAMFOREST_SPARK_DRIVER_MEMORY", "1g"),
        log_level=environ.get("STREAMFOREST_SPARK_LOG_LEVEL", "warn"),
        mlflow_url=environ.get("STREAMFOREST_MLFLOW_URL", "http://localhost:5000").rstrip("/"),
        spark_url=environ.get("STREAMFOREST_SPARK_URL", "http://localhost:8080").rstrip("/"),
    )
