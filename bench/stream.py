"""Rows a second drained through Kafka at 100, 1,000 and 10,000 users, and the latency of live predictions.

Drained are readings that wait in Kafka, recorded values under as many users' names, in order of time: seconds are those
of the job consume --available-now in a session that runs already and was warmed up, from its checks to its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from bench import champion, live
from bench.messages import messages, readings, send
from bench.table import show
from bench.workspace import Workspace, require_users
from streamforest.errors import WrongUsage
from streamforest.progress import say

USERS = (100, 1_000, 10_000)
_STAGGER = 20
_WARM_USERS, _WARM_ROWS = 1_000, 500_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--users",
        type=int,
        nargs="*",
        default=list(USERS),
        metavar="N",
        help="how many users (default: 100 1000 10000)",
    )
    parser.add_argument(
        "--rows", type=int, default=5_000_000, metavar="N", help="readings to drain for each (default: 5,000,000)"
    )
    parser.add_argument(
        "--live-users", type=int, default=1_000, metavar="N", help="users who send live (default: 1,000)"
    )
    parser.add_argument(
        "--seconds", type=int, default=60, metavar="S", help="of live readings that count; 0: none (default: 60)"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    require_users(*options.users, options.live_users)
    if options.rows < 1:
        raise WrongUsage(f"--rows {options.rows} is not a number of readings", "give 1 or more")
    if options.seconds < 0:
        raise WrongUsage(f"--seconds {options.seconds} is not a time", "give 0 (not live) or more")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, and return what the JSON line holds."""
    spark = place.spark(streams=True)
    home = champion.trained(place, "stream")
    recorded = readings(spark, place).persist()
    say("warming up")
    _drain(place, home, recorded, _WARM_USERS, _WARM_ROWS)
    drained = {}
    for users in options.users:
        drained[str(users)] = _drain(place, home, recorded, users, options.rows)
    if drained:
        show(
            "drained through Kafka",
            ["users", "rows", "windows", "micro-batches", "seconds", "rows/s"],
            [
                [f"{int(users):,}", *(one[name] for name in ("rows", "windows", "batches", "seconds", "rows_per_s"))]
                for users, one in drained.items()
            ],
        )
    result: dict[str, Any] = {"users": drained}
    if options.seconds:
        say(f"live: {options.live_users:,} users for {live.WARM_S} + {options.seconds} s")
        found = live.measure(place, home, recorded, users=options.live_users, seconds=options.seconds)
        result["live"] = found
        _show_live(found)
    recorded.unpersist()
    spark.stop()
    return result


def _drain(place: Workspace, home: Path, recorded: DataFrame, users: int, rows: int) -> dict[str, Any]:
    tasks = min(place.settings.cores, users)
    with place.kafka(str(users)) as servers:
        say(f"{users:,} users: sending about {rows:,} readings")
        ticks = max(rows // (users // tasks * tasks), 1)
        planned = messages(recorded, users=users, ticks=ticks, tasks=tasks, stagger=_STAGGER)
        send(planned.select("key", "value"), place.application.topics.events, servers)
        say(f"{users:,} users: draining")
        report = place.job(home, "consume", "--bootstrap-servers", servers, "--available-now", "--reset")
    return {
        "rows": report["rows"],
        "windows": report["predictions"],
        "batches": report["batches"],
        "seconds": report["seconds"],
        "rows_per_s": report["rows"] / report["seconds"],
        "refused": report["refused"],
    }


def _show_live(found: dict[str, Any]) -> None:
    latency_ms = found["latency_ms"]
    show(
        "live: from the last reading of a window in Kafka to its prediction read from Kafka",
        [
            "users",
            "messages/s",
            "windows",
            "missing",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "largest ms",
            "generator late, p99 ms",
        ],
        [
            [
                f"{found['users']:,}",
                round(found["messages_per_s"]),
                found["windows"],
                found["missing"],
                *latency_ms.values(),
                found["latency_max_ms"],
                found["generator_late_ms"]["p99"],
            ]
        ],
    )
