"""The reference's features of a window: a moving average of each axis, laid out as 100 lags."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamforest.ml.statistics import AXES

READINGS = 100
SMOOTHING = 5
NAMES: tuple[str, ...] = tuple(f"{axis}_lag_{lag}" for axis in AXES for lag in range(READINGS))


def of_axes(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.floating[Any]]:
    """The lags (n, 300) of windows given as ``axes`` (n, 3, 100) in m/s²: x from newest to oldest, then y, then z.

    Each lag is the mean of its reading and the four before it; the first four readings of a window average what there
    is, so that no window looks at readings outside itself.
    """
    return _moving_average(axes)[:, :, ::-1].reshape(len(axes), -1)


def _moving_average(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Sums of shifted copies, always in the same order: a running sum would carry rounding along the window.
    total = axes.copy()
    for shift in range(1, SMOOTHING):
        total[:, :, shift:] += axes[:, :, :-shift]
    return total / np.minimum(np.arange(1, READINGS + 1), SMOOTHING)
