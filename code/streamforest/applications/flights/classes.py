"""Classes of arrival delay: numbers for programs, words for people."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column
from pyspark.sql import functions as F


class DelayClass(NamedTuple):
    """One class: delays up to ``limit`` minutes, and above those of the class before it."""

    name: str
    limit: float
    meaning: str


CLASSES = (
    DelayClass("early", -15.0, "15 minutes early or more"),
    DelayClass("on time", 0.0, "less than 15 minutes early, or on the minute"),
    DelayClass("slightly late", 30.0, "up to 30 minutes late"),
    DelayClass("very late", float("inf"), "more than 30 minutes late"),
)
"""In the order of their numbers, 0 to 3. By alphabet their names stand in the same order."""

NAMES = [each.name for each in CLASSES]


def class_of(delay: Column) -> Column:
    """Name of the class of a delay in minutes; null for null."""
    name = F.lit(None).cast("string")
    for each in reversed(CLASSES):
        name = F.when(delay <= each.limit, each.name).otherwise(name)
    return name


def number_of(name: Column) -> Column:
    """Number of a class from its name; null for null."""
    return F.array_position(F.array(*map(F.lit, NAMES)), name).cast("int") - 1
