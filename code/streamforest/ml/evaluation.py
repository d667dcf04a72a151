"""How good predictions are: from counts of (label, predicted) pairs to metrics by class.

Formulas: precision = tp / (tp + fp), recall = tp / (tp + fn), F1 = 2 tp / (2 tp + fp + fn); macro-F1 is the mean of the
F1 of all classes that the tested rows hold. A quotient without denominator is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """A confusion matrix with the names of its classes."""

    classes: tuple[str, ...]
    """Sorted names of all classes labelled or predicted."""
    confusion: Counts
    """Shape (classes, classes): rows are labels, columns predictions."""

    @property
    def rows(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return _share(int(np.trace(self.confusion)), self.rows)

    @property
    def macro_f1(self) -> float:
        f1 = [values["f1"] for values in self.by_class().values() if values["support"]]
        return float(np.mean(f1)) if f1 else 0.0

    def by_class(self) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and support (rows with that label) of each class."""
        result = {}
        for index, name in enumerate(self.classes):
            hits = int(self.confusion[index, index])
            support, predicted = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
            result[name] = {
                "precision": _share(hits, predicted),
                "recall": _share(hits, support),
                "f1": _share(2 * hits, support + predicted),
                "support": support,
            }
        return result

    def metrics(self) -> dict[str, Any]:
        """``accuracy``, ``macro_f1`` and ``classes``, as reports show them."""
        return {**self.totals(), "classes": self.by_class()}

    def totals(self) -> dict[str, float]:
        """The metrics that are one number."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}


def evaluate(scored: DataFrame, variants: Sequence[str] = ()) -> dict[str, Evaluation]:
    """Evaluations by column: ``predicted`` and each of ``variants``, against ``label``, in one pass.

    Rows with a null label are not counted.
    """
    columns = ["predicted", *variants]
    return _by_column(_counted(scored, columns), columns)


def evaluate_slices(scored: DataFrame, variants: Sequence[str], by: str) -> dict[str, dict[str, Evaluation]]:
    """The same for the rows of each value of the column ``by``, in the values' order; an empty ``by`` is one slice."""
    columns = ["predicted", *variants]
    parts: dict[str, list[Row]] = {}
    for row in _counted(scored, [*columns, by] if by else columns):
        parts.setdefault(str(row[by]) if by else "", []).append(row)
    return {value: _by_column(parts[value], columns) for value in sorted(parts)}


def _counted(scored: DataFrame, columns: Sequence[str]) -> list[Row]:
    return scored.where(F.col("label").isNotNull()).groupBy("label", *columns).count().collect()


def _by_column(counted: Sequence[Row], columns: Sequence[str]) -> dict[str, Evaluation]:
    result = {}
    for column in columns:
        classes = tuple(sorted({row["label"] for row in counted} | {row[column] for row in counted}))
        position = {name: index for index, name in enumerate(classes)}
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for row in counted:
            confusion[position[row["label"]], position[row[column]]] += row["count"]
        result[column] = Evaluation(classes, confusion)
    return result


def add(parts: Iterable[Mapping[str, Evaluation]]) -> dict[str, Evaluation]:
    """Evaluations of several sets of rows to those of all of them together."""
    listed = list(parts)
    return {column: _sum([part[column] for part in listed]) for column in (listed[0] if listed else ())}


def _sum(parts: Sequence[Evaluation]) -> Evaluation:
    classes = tuple(sorted({name for part in parts for name in part.classes}))
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for part in parts:
        position = [classes.index(name) for name in part.classes]
        confusion[np.ix_(position, position)] += part.confusion
    return Evaluation(classes, confusion)


def report(
    evaluations: Mapping[str, Evaluation], slices: Mapping[str, Mapping[str, Evaluation]] | None = None
) -> dict[str, Any]:
    """Metrics of ``predicted`` at the top, those of each variant below its name; of each slice below ``by`` the same
    without classes.
    """
    metrics = _nested({name: found.metrics() for name, found in evaluations.items()})
    if slices:
        metrics["by"] = {
            value: _nested({name: each.totals() for name, each in part.items()}) for value, part in slices.items()
        }
    return metrics


def _nested(metrics: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return metrics["predicted"] | {name: found for name, found in metrics.items() if name != "predicted"}


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested metrics to one level, names joined by dots."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = float(value)
    return flat


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
