"""Latency of live predictions: 1,000 users who each send a reading every 50 ms.

Three processes beside the broker: the job consume, a load generator (a Spark task that sleeps until a reading is due
and hands it to Kafka's own producer), and a listener that notes when it could read a prediction. A latency runs from
Kafka's time of the reading that ends a window, which the producer sets when it takes the reading, to that note; all
clocks are this machine's. Windows that end in the first seconds do not count: there the query is still starting.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench import messages, process
from bench.messages import GRID_MS, START_MS
from bench.workspace import Workspace
from streamforest import session
from streamforest.application import Application
from streamforest.errors import StreamforestError
from streamforest.jars import CONNECTOR, ensure
from streamforest.settings import Settings

WARM_S = 20
_LEAD_S = 3
_AFTER_S = 6
_READY_LIMIT_S = 60
_WINDOW_TICKS, _STEP_TICKS = 100, 20
_QUANTILES = (50, 95, 99)

Index = npt.NDArray[np.int64]


def measure(place: Workspace, home: Path, recorded: DataFrame, *, users: int, seconds: int) -> dict[str, Any]:
    """Latencies of the windows that end in ``seconds`` seconds of live readings, with the champion in ``home``."""
    ticks = (WARM_S + seconds) * 1000 // GRID_MS
    planned = place.folder / "planned"
    rows = messages.messages(recorded, users=users, ticks=ticks, tasks=1, stagger=_STEP_TICKS)
    rows.write.mode("overwrite").parquet(str(planned))
    with place.kafka("live") as servers:
        heard = place.folder / "heard.npz"
        with _beside(place, servers, planned, heard) as start_ms:
            # the generator's first reading is due when the query has had time to start
            limit_s = start_ms / 1000 - time.time() + WARM_S + seconds + _AFTER_S
            options = ["--bootstrap-servers", servers, "--reset", "--seconds", f"{limit_s:.1f}"]
            report = place.job(home, "consume", *options)
        sent = _sent(place.spark(), place.application, servers)
    due_ms = start_ms + (sent[1] - START_MS)
    return {"users": users, "seconds": seconds, **_latencies(sent, heard, due_ms), "batches": report["batches"]}


@contextmanager
def _beside(place: Workspace, servers: str, planned: Path, heard: Path) -> Iterator[int]:
    """Load generator and listener at work; yields when the first reading is due, in epoch ms."""
    context = process.CONTEXT
    ready, go, stop = [context.Event(), context.Event()], context.Event(), context.Event()
    start_ms = context.Value("q", 0)
    topic = place.application.topics
    generator = context.Process(
        target=_generate,
        args=(place.settings, servers, topic.events, planned, ready[0], go, start_ms),
        name="load generator",
        daemon=True,
    )
    listener = context.Process(
        target=_listen, args=(servers, topic.predictions, heard, ready[1], stop), name="listener", daemon=True
    )
    processes = [generator, listener]
    try:
        for one in processes:
            one.start()
        for event, one in zip(ready, processes, strict=True):
            if not event.wait(_READY_LIMIT_S):
                raise StreamforestError(f"the benchmark's process {one.name} did not start", "run it again")
        start_ms.value = int(time.time() * 1000) + _LEAD_S * 1000
        go.set()
        yield start_ms.value
        stop.set()
        _require_end(processes)
    finally:
        for one in processes:
            if one.is_alive():
                one.terminate()


def _require_end(processes: list[SpawnProcess]) -> None:
    for one in processes:
        one.join(_READY_LIMIT_S)
        if one.exitcode != 0:
            raise StreamforestError(f"the benchmark's process {one.name} failed", "see its error above")


def _generate(
    given: Settings, servers: str, topic: str, planned: Path, ready: Event, go: Event, start_ms: Synchronized[int]
) -> None:
    """Send the planned readings, each when it is due. One task, whose rows are pulled one by one by the producer."""
    process.enter()
    given = dataclasses.replace(given, spark_master="local[1]", spark_driver_memory="512m")
    spark = session.build(given, "load", jars=ensure(CONNECTOR, given.jars))
    rows = spark.read.schema("tick int, key string, value string").parquet(str(planned))
    rows.limit(1).collect()
    ready.set()
    go.wait(_READY_LIMIT_S)
    messages.send(messages.due(rows, start_ms.value).select("key", "value"), topic, servers, linger_ms=5)
    spark.stop()


def _listen(servers: str, topic: str, heard: Path, ready: Event, stop: Event) -> None:
    """Note when each prediction could be read, until told to stop and nothing more comes."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=servers, check_crcs=False, fetch_max_wait_ms=50, auto_offset_reset="earliest", group_id=None
    )
    consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
    ready.set()
    found: list[tuple[int, int, int]] = []
    while True:
        ended = stop.is_set()
        polled = consumer.poll(timeout_ms=200, max_records=10_000)
        now_ms = time.time_ns() // 1_000_000
        for records in polled.values():
            for record in records:
                user, _, timestamp = record.key.decode().partition(":")
                found.append((int(user), int(timestamp), now_ms))
        if ended and not polled:
            break
    consumer.close()
    np.savez(heard, heard=np.array(found, dtype=np.int64).reshape(-1, 3))


def _sent(spark: SparkSession, application: Application, servers: str) -> tuple[Index, Index, Index]:
    """User, timestamp, and Kafka's time in ms, of all readings in the topic."""
    event, _ = application.decode(F.col("value"))
    records = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("subscribe", application.topics.events)
        .load()
        .select(event.alias("event"), F.unix_millis("timestamp").alias("sent_ms"))
    )
    table = records.select("event.userId", "event.timestamp", "sent_ms").toArrow()
    user, timestamp, sent_ms = (column.to_numpy().astype(np.int64) for column in table.columns)
    return user, timestamp, sent_ms


def _latencies(sent: tuple[Index, Index, Index], heard: Path, due_ms: Index) -> dict[str, Any]:
    user, timestamp, sent_ms = sent
    tick = (timestamp - START_MS) // GRID_MS
    warm_ticks = WARM_S * 1000 // GRID_MS
    ends = (tick >= warm_ticks) & ((tick - user % _STEP_TICKS - (_WINDOW_TICKS - 1)) % _STEP_TICKS == 0)
    with np.load(heard) as file:
        predicted = file["heard"]
    # A prediction may be told twice after a crash: the first time counts.
    keys, first = np.unique(_key(predicted[:, 0], predicted[:, 1]), return_index=True)
    wanted = _key(user[ends], timestamp[ends])
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    known = keys[at] == wanted if len(keys) else np.zeros(len(wanted), dtype=bool)
    latency_ms = predicted[first[at[known]], 2] - sent_ms[ends][known]
    measured = tick >= warm_ticks
    span_s = (sent_ms[measured].max() - sent_ms[measured].min()) / 1000
    return {
        "latency_ms": {f"p{q}": float(np.percentile(latency_ms, q)) if len(latency_ms) else None for q in _QUANTILES},
        "latency_max_ms": float(latency_ms.max()) if len(latency_ms) else None,
        "windows": len(wanted),
        "missing": int((~known).sum()),
        "messages_per_s": float(measured.sum() / span_s),
        "generator_late_ms": {f"p{q}": float(np.percentile((sent_ms - due_ms)[measured], q)) for q in _QUANTILES},
    }


def _key(user: Index, timestamp: Index) -> Index:
    key: Index = (user << 40) + (timestamp - START_MS)
    return key
