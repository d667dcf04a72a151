"""Causal smoothing: the mean of a window's class probabilities and those of the windows just before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]

DECIMALS = 12
"""Digits that decide between classes. Two computations of one probability differ in the last bits (about 1e-16);
rounding keeps such a difference from deciding a tie."""


def smooth(probabilities: Probabilities, number: npt.NDArray[np.int64], windows: int) -> Probabilities:
    """The mean over up to ``windows`` windows of the same run that end at each row.

    Args:
        probabilities: shape (rows, classes), in order of time within a run.
        number: position of each row within its run (event): a row starts a new run where it is not the last plus one.
        windows: 1 leaves everything as it is.

    Returns:
        Shape (rows, classes). A sum in fixed order from the oldest row to the newest: the same bits however the rows
        were cut into calls, provided that the ``windows - 1`` rows before the first wanted one are given.
    """
    rows = len(probabilities)
    starts = np.ones(rows, dtype=bool)
    starts[1:] = number[1:] != number[:-1] + 1
    position = np.arange(rows)
    run_start = np.maximum.accumulate(np.where(starts, position, 0))
    before = np.minimum(position - run_start, windows - 1)
    total = np.zeros_like(probabilities)
    for back in range(windows - 1, -1, -1):
        reaches = before >= back
        total[reaches] += probabilities[position[reaches] - back]
    return np.asarray(total / (before + 1)[:, None])


def decide(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """Index of the most probable class of each row; the lowest index among equals."""
    return np.asarray(np.argmax(np.round(probabilities, DECIMALS), axis=1), dtype=np.int64)
