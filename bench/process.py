"""Processes of a benchmark beside its own."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.context import SpawnContext

CONTEXT: SpawnContext = multiprocessing.get_context("spawn")
"""Fresh interpreters: a fork would share the parent's connection to its JVM."""


def enter() -> None:
    """To be called first in a spawned process that uses Spark.

    PySpark takes a main module without a file for a doctest and ends the process; that of a spawned one has none.
    """
    main = sys.modules["__main__"]
    if not hasattr(main, "__file__"):
        main.__file__ = __file__
