"""The one place that builds a SparkSession."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pyspark.sql import SparkSession

from streamforest.settings import Settings, Share

_CODE = Path(__file__).resolve().parents[1]
_LOGGING = Path(__file__).with_name("log4j2.properties")


def build(
    settings: Settings,
    name: str,
    *,
    jars: Sequence[Path] = (),
    streams: bool = False,
    held: int = 0,
    options: Mapping[str, str] | None = None,
) -> SparkSession:
    """A session in UTC with Arrow on; under ``spark-submit`` the submitted master and the driver's memory win.

    ``jars`` are local files put on the class path of driver and executors (Kafka's connector for the stream jobs).
    ``streams`` tells which share of a cluster the session takes. ``held`` tasks are there all the time and mostly wait:
    a local master gets as many threads more, and of a cluster it takes at least as many cores.
    """
    # Python workers must be the driver's interpreter and find the stages' modules.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if settings.spark_master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    python_path = [str(_CODE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entry for entry in python_path if entry))
    # PySpark prints every failed query as JSON on top of raising it.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    builder = SparkSession.builder.appName(name)
    local = settings.spark_master.startswith("local")
    share = settings.stream if streams else settings.batch
    place = _alone(settings) if local else _in_cluster(settings, _with_cores(share, held))
    for key, value in {**_everywhere(settings), **place, **(options or {})}.items():
        builder = builder.config(key, value)
    if "SPARK_ENV_LOADED" not in os.environ:
        builder = builder.master(_with_threads(settings, held))
        if jars:
            builder = builder.config("spark.jars", ",".join(str(jar) for jar in jars))
    return builder.getOrCreate()


def _everywhere(settings: Settings) -> dict[str, str]:
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # A shard's or a user's rows go to Python in few pieces: each costs a round trip.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
        "spark.sql.parquet.compression.codec": "zstd",
        # Each table that is joined by broadcast takes at least a page, of up to 64 MB by default. A flight is looked up
        # in a dozen small tables.
        "spark.buffer.pageSize": "2m",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.sql.streaming.metricsEnabled": "false",
        # Kafka's options hold a password: no plan that a page or a log shows may tell it. Spark's own rules go by the
        # word password in the value; these go by the option's name too.
        "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas",
        "spark.sql.redaction.options.regex": "(?i)url|password|jaas",
        "spark.sql.redaction.string.regex": 'password="[^"]*"',
        # A stream that was killed in its first batch may leave a commit half written and no offsets; it begins again at
        # the first record. Whose a checkpoint is, jobs check themselves.
        "spark.sql.streaming.verifyCheckpointDirectoryEmptyOnStart": "false",
        "spark.driver.extraJavaOptions": (
            f"-Dlog4j2.configurationFile={_LOGGING.as_uri()} -Dstreamforest.log.level={settings.spark_log_level}"
        ),
    }


def _alone(settings: Settings) -> dict[str, str]:
    return {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(2 * settings.cores),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }


def _with_threads(settings: Settings, held: int) -> str:
    """The master, and where it is a local one with a number of threads, so many more."""
    matched = re.fullmatch(r"local(?:\[(\d+|\*)\])?", settings.spark_master)
    if not held or matched is None:
        return settings.spark_master
    threads = settings.cores if matched[1] == "*" else int(matched[1] or 1)
    return f"local[{threads + held}]"


def _with_cores(share: Share, held: int) -> Share:
    """The share, or the least that can run all tasks at once."""
    return share if share.cores is None else replace(share, cores=str(max(int(share.cores), held)))


def _in_cluster(settings: Settings, share: Share) -> dict[str, str]:
    """What one session takes; what all have in common is in the ``spark-defaults.conf`` of the images."""
    port = settings.spark_driver_port
    given = {
        "spark.driver.port": str(port) if port else None,
        "spark.driver.blockManager.port": str(port + 100) if port else None,
        "spark.cores.max": share.cores,
        "spark.executor.memory": share.memory,
        "spark.driver.host": settings.spark_driver_host,
        "spark.sql.shuffle.partitions": str(2 * int(share.cores)) if share.cores else None,
    }
    return {key: value for key, value in given.items() if value is not None}
