"""A stream under load for an hour: memory, state and lag over time, and whether anything was lost.

1,000 users send 20 readings a second each. Every five minutes each of them falls silent for good and another one takes
the place, so that a state which forgot nobody would grow all the time. Then a day of twenty users' readings that waited
in Kafka is drained, and a producer sends ten times faster than the stream is allowed to read.

Growth is what a figure was on average over the last quarter of the time, divided by what it was over the second one: 1
is flat. The first quarter does not count, in which the JVM takes its heap.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from pyspark.sql import functions as F

from bench import champion, messages, process
from bench.messages import GRID_MS
from bench.table import show
from bench.workspace import Workspace, require_users
from streamforest import session
from streamforest.errors import StreamforestError, WrongUsage
from streamforest.jars import CONNECTOR, ensure
from streamforest.jobs.context import Report
from streamforest.progress import say
from streamforest.settings import Settings

_WINDOW_TICKS, _STEP_TICKS = 100, 20
_TURN_S = 300
_TTL_S = 120
_LEAD_S, _AFTER_S = 20, 20
_READY_LIMIT_S = 120
_SAMPLE_S = 2.0
_DAY_TASKS = 2
_PRESSURE_RECORDS, _PRESSURE_TIMES = 2_000, 10
_MB = 1 << 20
FIGURES = ("memory_mb", "state_mb", "state_keys", "lag_records")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--users", type=int, default=1_000, metavar="N", help="at a time (default: 1,000)")
    parser.add_argument("--seconds", type=int, default=3_600, metavar="S", help="of load (default: 3,600)")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="of backlog; 0: none (default: 24)")
    parser.add_argument("--backlog-users", type=int, default=20, metavar="N", help="of the backlog (default: 20)")


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    require_users(options.users, options.backlog_users)
    if options.seconds < 1:
        raise WrongUsage(f"--seconds {options.seconds} is too short", "give 1 or more")
    if options.hours < 0:
        raise WrongUsage(f"--hours {options.hours} is not a time", "give 0 (no backlog) or more")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who sends how much."""

    users: int
    """At a time."""
    ticks: int
    turn_ticks: int = _TURN_S * 1000 // GRID_MS
    paced: bool = True
    """Each reading when it is due, not as fast as can be."""

    def windows(self) -> tuple[int, int]:
        """How many windows come of it, and of how many users."""
        place = np.arange(self.users)
        shift = place * self.turn_ticks // self.users
        bounds = np.arange((self.ticks + self.turn_ticks) // self.turn_ticks + 2) * self.turn_ticks
        ends = np.clip(bounds[:, None] - shift, 0, self.ticks)
        lengths = np.diff(ends, axis=0)
        windows = np.maximum((lengths - _WINDOW_TICKS) // _STEP_TICKS + 1, 0)
        return int(windows.sum()), int((lengths > 0).sum())


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, and return what the JSON line holds."""
    spark = place.spark(streams=True)
    home = champion.trained(place, "load")
    messages.readings(spark, place)
    plan = Plan(options.users, options.seconds * 1000 // GRID_MS)
    say(f"load: {plan.users:,} users at a time for {options.seconds:,} s")
    result: dict[str, Any] = {"load": _load(place, home, plan, options.seconds)}
    if options.hours:
        result["backlog"] = _backlog(place, home, options.backlog_users, int(options.hours * 3_600_000 / GRID_MS))
    say("pressure: a producer that is faster than the stream may read")
    result["pressure"] = _pressure(place, home, Plan(options.users, min(plan.ticks, 1_000), paced=False))
    spark.stop()
    _show(result)
    return result


def _load(place: Workspace, home: Path, plan: Plan, seconds: int) -> dict[str, Any]:
    with place.kafka("load") as servers:
        with _generator(place, servers, plan):
            limit_s = _LEAD_S + seconds + _AFTER_S
            report, samples = _sampled(place, home, servers, "--seconds", str(limit_s), "--state-ttl", str(_TTL_S))
        rest = place.job(home, "consume", "--bootstrap-servers", servers, "--available-now")
    windows, users = plan.windows()
    return {
        "users": plan.users,
        "users_in_all": users,
        "seconds": seconds,
        "rows": report["rows"] + rest["rows"],
        "rows_expected": plan.users * plan.ticks,
        "refused": report["refused"],
        **_held(place, home, windows),
        "latency_ms": report["latency_ms"],
        "lag_records_end": rest["rows"],
        **_quarters(samples),
    }


def _backlog(place: Workspace, home: Path, users: int, ticks: int) -> dict[str, Any]:
    recorded = place.spark().read.parquet(str(place.folder / "readings"))
    with place.kafka("backlog") as servers:
        planned = messages.messages(recorded, users=users, ticks=ticks, tasks=_DAY_TASKS)
        say(f"backlog: sending {users * ticks:,} readings")
        messages.send(planned.select("key", "value"), place.application.topics.events, servers)
        say("backlog: draining")
        report, samples = _sampled(place, home, servers, "--available-now", "--reset")
    each = max((ticks - _WINDOW_TICKS) // _STEP_TICKS + 1, 0)
    users = users // _DAY_TASKS * _DAY_TASKS
    return {
        "users": users,
        "rows": report["rows"],
        "rows_expected": users * ticks,
        "seconds": report["seconds"],
        "rows_per_s": report["rows"] / report["seconds"],
        **_held(place, home, users * each),
        **_quarters(samples),
    }


def _pressure(place: Workspace, home: Path, plan: Plan) -> dict[str, Any]:
    with place.kafka("pressure") as servers:
        few = ["--bootstrap-servers", servers, "--max-records", str(_PRESSURE_RECORDS)]
        with _generator(place, servers, plan) as sent:
            started = time.monotonic()
            report = place.job(home, "consume", *few, "--reset", "--seconds", str(_LEAD_S))
            read_s = time.monotonic() - started
            sent.wait(_READY_LIMIT_S)
        rest = place.job(home, "consume", "--bootstrap-servers", servers, "--available-now")
        first_ms, last_ms = _span_ms(place, servers)
    windows, _ = plan.windows()
    rows = plan.users * plan.ticks
    sent_per_s, read_per_s = rows / max((last_ms - first_ms) / 1000, 0.001), report["rows"] / read_s
    return {
        "rows": report["rows"] + rest["rows"],
        "rows_expected": rows,
        "sent_per_s": sent_per_s,
        "read_per_s": read_per_s,
        "times_faster": sent_per_s / max(read_per_s, 1e-9),
        **_held(place, home, windows),
    }


def _span_ms(place: Workspace, servers: str) -> tuple[int, int]:
    """Kafka's times of the first and the last reading in the topic."""
    records = place.spark().read.format("kafka").option("kafka.bootstrap.servers", servers)
    found = records.option("subscribe", place.application.topics.events).load()
    first, last = (F.unix_millis(edge("timestamp")) for edge in (F.min, F.max))
    row = found.select(first.alias("first"), last.alias("last")).collect()[0]
    return int(row["first"]), int(row["last"])


def _held(place: Workspace, home: Path, expected: int) -> dict[str, int]:
    """Whether the record holds each window once."""
    record = place.spark().read.parquet(str(home / "predictions" / "pred_batch_*"))
    keys = record.select(place.application.key, place.application.event_time)
    found, different = keys.count(), keys.distinct().count()
    return {"windows": found, "missing": expected - different, "twice": found - different}


@contextlib.contextmanager
def _generator(place: Workspace, servers: str, plan: Plan) -> Iterator[Event]:
    """A process that sends what is planned; yields what is set when everything was sent."""
    ready, sent = process.CONTEXT.Event(), process.CONTEXT.Event()
    given = (place.settings, servers, place.application.topics.events, place.folder / "readings", plan, ready, sent)
    generator = process.CONTEXT.Process(target=_generate, args=given, name="load generator", daemon=True)
    generator.start()
    try:
        if not ready.wait(_READY_LIMIT_S):
            raise StreamforestError("the load generator did not start", "run it again")
        yield sent
        if not sent.wait(_READY_LIMIT_S):
            raise StreamforestError("the load generator did not come to its end", "see its error above")
    finally:
        generator.join(5)
        if generator.is_alive():
            generator.terminate()


def _generate(given: Settings, servers: str, topic: str, readings: Path, plan: Plan, ready: Event, sent: Event) -> None:
    process.enter()
    given = dataclasses.replace(given, spark_master="local[1]", spark_driver_memory="512m")
    spark = session.build(given, "load", jars=ensure(CONNECTOR, given.jars))
    recorded = spark.read.parquet(str(readings))
    rows = messages.turns(recorded, users=plan.users, ticks=plan.ticks, turn_ticks=plan.turn_ticks)
    ready.set()
    start_ms = int(time.time() * 1000) + (_LEAD_S // 2) * 1000
    chosen = messages.due(rows, start_ms) if plan.paced else rows
    messages.send(chosen.select("key", "value"), topic, servers, linger_ms=5)
    sent.set()
    spark.stop()


def _sampled(place: Workspace, home: Path, servers: str, *options: str) -> tuple[Report, list[dict[str, float]]]:
    """The report of consume, and what was seen of it every few seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    samples: list[dict[str, float]] = []
    ended = threading.Event()
    events = place.application.topics.events
    given = (address, servers, events, process.jvm(place.spark()), samples, ended)
    watcher = threading.Thread(target=_watch, args=given, daemon=True)
    watcher.start()
    try:
        report = place.job(home, "consume", "--bootstrap-servers", servers, "--metrics", address, *options)
    finally:
        ended.set()
        watcher.join()
    return report, samples


def _watch(
    address: str, servers: str, topic: str, jvm: int, samples: list[dict[str, float]], ended: threading.Event
) -> None:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    while not ended.wait(_SAMPLE_S):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
            families = text_string_to_metric_families(page.read().decode())
            told = {sample.name: sample.value for family in families for sample in family.samples}
            # Kafka is asked last: what is in flight counts as not read.
            samples.append(
                {
                    "memory_mb": process.resident_bytes(jvm) / _MB,
                    "state_mb": told["streamforest_state_bytes"] / _MB,
                    "state_keys": told["streamforest_state_keys"],
                    "lag_records": sum(consumer.end_offsets(partitions).values()) - told["streamforest_records_total"],
                }
            )
    consumer.close()


def _quarters(samples: list[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Of each figure the means over the second and the last quarter, their ratio, and the largest from then on."""
    found: dict[str, dict[str, float | None]] = {}
    quarter = len(samples) // 4
    for name in FIGURES:
        values = np.array([sample[name] for sample in samples])
        if not quarter:
            found[name] = dict.fromkeys(("second_quarter", "last_quarter", "growth", "largest"))
            continue
        second, last = values[quarter : 2 * quarter].mean(), values[-quarter:].mean()
        growth = float(last / second) if second else None
        largest = float(values[quarter:].max())
        found[name] = {
            "second_quarter": float(second),
            "last_quarter": float(last),
            "growth": growth,
            "largest": largest,
        }
    return found


def _show(result: dict[str, Any]) -> None:
    for name in ("load", "backlog"):
        if name in result:
            found = result[name]
            rows = [[figure, *found[figure].values()] for figure in FIGURES]
            show(name, [f"{found['rows']:,} rows", "second quarter", "last quarter", "growth", "largest"], rows)
    held = [[name, *(one[key] for key in ("rows", "windows", "missing", "twice"))] for name, one in result.items()]
    show("each window once", ["", "rows", "windows", "missing", "twice"], held)
