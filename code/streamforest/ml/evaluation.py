"""How good predictions are: from counts of (label, predicted) pairs to metrics by class.

Formulas: precision = tp / (tp + fp), recall = tp / (tp + fn), F1 = 2 tp / (2 tp + fp + fn); macro-F1 is the mean of the
F1 of all classes that the tested rows hold. A quotient without denominator is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

Counts = npt.NDArray[np.int64]

NO_CLASS = "(none)"
"""Stands for the prediction of a model that gave none."""
_SLICE, _UNIT = "_slice", "_unit"


@dataclass(frozen=True)
class Evaluation:
    """A confusion matrix with the names of its classes."""

    classes: tuple[str, ...]
    """Sorted names of all classes labelled or predicted."""
    confusion: Counts
    """Shape (classes, classes): rows are labels, columns predictions."""
    parts: Mapping[Any, Counts] = field(default_factory=dict)
    """The same for the rows of each unit, such as a user; empty where the rows name none."""

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


def evaluate(scored: DataFrame, variants: Sequence[str] = (), by: str = "") -> dict[str, Evaluation]:
    """Evaluations by column: ``predicted`` and each of ``variants``, against ``label``, in one pass.

    Rows with a null label are not counted. A null prediction counts as :data:`NO_CLASS`. ``by`` names the column of
    the units whose parts are kept; a column that the rows lack gives none.
    """
    columns = ["predicted", *variants]
    return _by_column(_counted(scored, columns, "", by), columns)


def evaluate_slices(
    scored: DataFrame, variants: Sequence[str], slice_: str, by: str = ""
) -> dict[str, dict[str, Evaluation]]:
    """The same for the rows of each value of ``slice_``, in the values' order; an empty name is one slice."""
    columns = ["predicted", *variants]
    slices: dict[str, list[Row]] = {}
    for row in _counted(scored, columns, slice_, by):
        slices.setdefault(row[_SLICE], []).append(row)
    return {value: _by_column(slices[value], columns) for value in sorted(slices)}


def _counted(scored: DataFrame, columns: Sequence[str], slice_: str, by: str) -> list[Row]:
    value = F.col(slice_).cast("string") if slice_ else F.lit("")
    unit = F.col(by) if by in scored.columns else F.lit(None)
    named = [F.coalesce(F.col(column), F.lit(NO_CLASS)).alias(column) for column in columns]
    rows = scored.where(F.col("label").isNotNull()).select(value.alias(_SLICE), unit.alias(_UNIT), "label", *named)
    return rows.groupBy(_SLICE, _UNIT, "label", *columns).count().collect()


def _by_column(counted: Sequence[Row], columns: Sequence[str]) -> dict[str, Evaluation]:
    return {column: _evaluation(counted, column) for column in columns}


def _evaluation(counted: Sequence[Row], column: str) -> Evaluation:
    classes = tuple(sorted({row["label"] for row in counted} | {row[column] for row in counted}))
    position = {name: index for index, name in enumerate(classes)}
    parts: dict[Any, Counts] = {}
    for row in counted:
        part = parts.setdefault(row[_UNIT], _empty(classes))
        part[position[row["label"]], position[row[column]]] += row["count"]
    return Evaluation(classes, sum(parts.values(), _empty(classes)), {} if set(parts) <= {None} else parts)


def _empty(classes: Sequence[str]) -> Counts:
    return np.zeros((len(classes), len(classes)), dtype=np.int64)


def add(parts: Iterable[Mapping[str, Evaluation]]) -> dict[str, Evaluation]:
    """Evaluations of several sets of rows to those of all of them together."""
    listed = list(parts)
    return {column: _sum([part[column] for part in listed]) for column in (listed[0] if listed else ())}


def _sum(evaluations: Sequence[Evaluation]) -> Evaluation:
    classes = tuple(sorted({name for found in evaluations for name in found.classes}))
    confusion = _empty(classes)
    parts: dict[Any, Counts] = {}
    for found in evaluations:
        position = [classes.index(name) for name in found.classes]
        cells = np.ix_(position, position)
        confusion[cells] += found.confusion
        for unit, counts in found.parts.items():
            parts.setdefault(unit, _empty(classes))[cells] += counts
    return Evaluation(classes, confusion, parts)


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
