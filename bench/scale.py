"""How partition, train and test of the default pipeline grow with the rows: 0.5, 1, 2 and 4 times the history.

Larger histories repeat the users under new numbers, smaller ones leave users out; the share of testing users and the
mix of activities stay. Every size runs in a fresh process, after a warm-up on a few users, so that its memory is its
own. Seconds are those of the jobs; starting Spark counts for none. Memory is the peak of resident memory of the
driver's Python and of its JVM, which in local mode is also the executor and may use all of its heap, and
``collected_mb``: what all tasks together sent back to the driver.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from bench import process, recordings
from bench.table import show
from bench.workspace import Workspace
from streamforest.errors import WrongUsage
from streamforest.progress import say

SIZES = (0.5, 1.0, 2.0, 4.0)
_FOLDS = 5
_WARM_USERS = 4
_MB = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=list(SIZES), metavar="X", help="times the rows (default: 0.5 1 2 4)"
    )
    parser.add_argument("--users", type=int, metavar="N", help="start from N users, for a quick look (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of users (default: 0)")


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    for size in options.sizes:
        if size <= 0 or (size > 1 and size != int(size)):
            raise WrongUsage(f"--sizes {size:g} is no size", "give a part of 1, or whole numbers")
    if options.users is not None and options.users < _FOLDS:
        raise WrongUsage(f"--users {options.users} leaves too few to test on", f"give {_FOLDS} or more")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the table, and return what the JSON line holds."""
    persons = recordings.in_order(recordings.people(place.source), options.seed)
    if options.users:
        persons = recordings.share(persons, min(1.0, options.users / len(persons)))
    warm = place.folder / "warm.txt"
    few = recordings.share(persons, min(1.0, _WARM_USERS / len(persons)))
    recordings.write_split(place.source, warm, few, folds=2)
    found: dict[str, dict[str, Any]] = {}
    for size in sorted(options.sizes):
        source = place.folder / f"{size:g}.txt"
        _history(place, persons, size, source)
        say(f"size {size:g}: {source.stat().st_size / _MB:,.0f} MB")
        with ProcessPoolExecutor(max_workers=1, mp_context=process.CONTEXT) as pool:
            found[f"{size:g}"] = pool.submit(_measure, place, f"{size:g}", source, warm).result()
        source.unlink()
    _show(found)
    return _result(found)


def _history(place: Workspace, persons: list[recordings.Person], size: float, path: Path) -> None:
    testing, *training = recordings.deal(persons, _FOLDS)
    sides = [[person for hand in training for person in hand], testing]
    if size < 1:
        sides = [recordings.share(side, size) for side in sides]
    recordings.write(place.source, path, recordings.numbering(sides[0], sides[1], copies=max(1, int(size))))


def _measure(place: Workspace, name: str, source: Path, warm: Path) -> dict[str, Any]:
    """Seconds by job, rows, and the memory that they took; in a process of its own."""
    process.enter()
    spark = place.spark()
    _jobs(place, place.home(f"warm-{name}"), warm)
    jvm = process.jvm(spark)
    for number in (os.getpid(), jvm):
        _forget_peak(number)
    before = _collected(spark)
    reports = _jobs(place, place.home(name), source)
    memory = {
        "python_mb": _peak_mb(os.getpid()),
        "jvm_mb": _peak_mb(jvm),
        "collected_mb": (_collected(spark) - before) / _MB,
    }
    spark.stop()
    seconds = {job: float(report["seconds"]) for job, report in reports.items()}
    rows = int(reports["partition"]["rows_training"] + reports["partition"]["rows_testing"])
    return {"rows": rows, "seconds": sum(seconds.values()), "jobs": seconds, "driver_memory": memory}


def _jobs(place: Workspace, home: Path, source: Path) -> dict[str, Any]:
    (home / "data" / place.application.inputs.history).symlink_to(source)
    split = ["--split-at", str(recordings.SPLIT_AT)]
    return {
        name: place.job(home, name, *(split if name == "partition" else [])) for name in ("partition", "train", "test")
    }


def _forget_peak(number: int) -> None:
    """Let the peak of a process's resident memory start from what it is now."""
    Path(f"/proc/{number}/clear_refs").write_text("5", encoding="ascii")


def _peak_mb(number: int) -> float:
    """Peak of resident memory, from the kernel's VmHWM (in kB)."""
    status = Path(f"/proc/{number}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _collected(spark: SparkSession) -> int:
    """Bytes of the results that all finished tasks sent to the driver."""
    jvm: Any = spark.sparkContext._jsc  # noqa: SLF001 - Spark's store of finished stages has no door in Python
    no_quantiles = spark.sparkContext._gateway.new_array(spark.sparkContext._jvm.double, 0)  # type: ignore[union-attr]  # noqa: SLF001
    stages = jvm.sc().statusStore().stageList(None, False, False, no_quantiles, None)
    return sum(int(stages.apply(index).resultSize()) for index in range(stages.size()))


def _show(found: dict[str, dict[str, Any]]) -> None:
    smallest = min(found, key=float)
    first = found.get("1", found[smallest])
    show(
        "partition, train and test of the default pipeline",
        ["size", "rows", "seconds", "rows/s", "times size 1", "Python MB", "JVM MB", "collected MB"],
        [
            [
                size,
                one["rows"],
                one["seconds"],
                one["rows"] / one["seconds"],
                one["seconds"] / first["seconds"],
                *one["driver_memory"].values(),
            ]
            for size, one in found.items()
        ],
    )


def _result(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    result = {
        "growth": {size: one["seconds"] for size, one in found.items()},
        "rows": {size: one["rows"] for size, one in found.items()},
        "jobs": {size: one["jobs"] for size, one in found.items()},
        "driver_memory": {size: one["driver_memory"] for size, one in found.items()},
    }
    if {"1", "4"} <= found.keys():
        result["growth_1_to_4"] = found["4"]["seconds"] / found["1"]["seconds"]
    return result
