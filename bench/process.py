"""Processes of a benchmark beside its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from multiprocessing.context import SpawnContext
from pathlib import Path

from pyspark.sql import SparkSession

CONTEXT: SpawnContext = multiprocessing.get_context("spawn")
"""Fresh interpreters: a fork would share the parent's connection to its JVM."""


def enter() -> None:
    """To be called first in a spawned process that uses Spark.

    PySpark takes a main module without a file for a doctest and ends the process; that of a spawned one has none.
    """
    main = sys.modules["__main__"]
    if not hasattr(main, "__file__"):
        main.__file__ = __file__


def jvm(spark: SparkSession) -> int:
    """The driver's JVM, whose ProcessHandle reads as its number."""
    return int(spark.sql("SELECT reflect('java.lang.ProcessHandle', 'current')").collect()[0][0])


def resident_bytes(number: int) -> int:
    """Memory of a process and of those below it; what several of them share counts once."""
    total = 0
    for one in [number, *_below(number)]:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii")
            total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return total


def _below(number: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{number}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found + [child for one in found for child in _below(one)]
