"""How sure a difference between two models is: a paired bootstrap over whole units, such as users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamforest.ml.evaluation import Counts, Evaluation, flatten

_DRAWS = 1000
_SEED = 42


@dataclass(frozen=True)
class Interval:
    """Where the difference of a metric lies, first minus second."""

    low: float
    high: float
    units: int
    """How many units there are to draw from."""


def interval(
    first: Mapping[str, Evaluation], second: Mapping[str, Evaluation], metric: str, confidence: float
) -> Interval | None:
    """The percentile interval of a metric's difference; None where the evaluations hold no units.

    Rows of one user are alike, so whole units are drawn, with replacement, the same ones for both models. The seed is
    fixed: the same evaluations give the same interval.

    Args:
        first: evaluations by column, as :func:`streamforest.ml.evaluation.evaluate` gives them.
        second: those of the other model on the same rows.
        metric: such as ``macro_f1``, or ``smoothed.macro_f1`` for a variant.
        confidence: share of the drawn differences between the ends.
    """
    head, _, rest = metric.partition(".")
    column, name = (head, rest) if head in first else ("predicted", metric)
    mine, theirs = first[column], second[column]
    units = sorted({*mine.parts, *theirs.parts}, key=str)
    if not units:
        return None
    rng = np.random.default_rng(_SEED)
    shares = np.full(len(units), 1 / len(units))
    drawn = rng.multinomial(len(units), shares, size=_DRAWS)
    parts = [_stacked(evaluation, units) for evaluation in (mine, theirs)]
    differences = np.empty(_DRAWS)
    for number, weights in enumerate(drawn):
        values = [
            flatten(Evaluation(evaluation.classes, np.tensordot(weights, part, axes=1)).metrics()).get(name, 0.0)
            for evaluation, part in zip((mine, theirs), parts, strict=True)
        ]
        differences[number] = values[0] - values[1]
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), len(units))


def _stacked(evaluation: Evaluation, units: list[object]) -> Counts:
    """Shape (units, classes, classes); zeros for a unit without rows."""
    none = np.zeros_like(evaluation.confusion)
    return np.stack([evaluation.parts.get(unit, none) for unit in units])
