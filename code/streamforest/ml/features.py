"""What a window of accelerometer readings is turned into before the forest sees it.

Every row of features depends on its own window only, bit for bit: on neither the other windows of the batch, nor the
window's place in it, nor its memory layout. So the batch path and the stream compute the same numbers.
That holds because windows are copied to one contiguous layout, every sum runs over the contiguous last axis, and no
matrix product (whose blocking depends on the shape) is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from streamforest.ml import lags as _lags
from streamforest.ml import spectrum as _spectrum
from streamforest.ml import statistics as _statistics

Windows = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]

# Windows computed at a time: few enough for the intermediate arrays to stay in the processor's cache, and memory
# bounded for any batch.
CHUNK = 256


def statistics(windows: Windows) -> Features:
    """The features named by ``STATISTICS`` of ``windows`` (n, 100, 3): x, y, z in m/s², every 50 ms, without NaN.

    Shape (n, len(STATISTICS)), always finite: what a constant window leaves undefined (a correlation, a rhythm) is 0.
    """
    return _in_chunks(windows, _statistics_of_axes, len(STATISTICS))


def lags(windows: Windows) -> Features:
    """The features named by ``LAGS`` of ``windows`` (n, 100, 3): averages over 5 readings, newest first, (n, 300)."""
    return _in_chunks(windows, _lags.of_axes, len(LAGS))


def _statistics_of_axes(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack(list(_named_statistics(axes).values()), axis=1)


def _named_statistics(axes: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    signals = _statistics.Signals.of(axes)
    return {**_statistics.of_signals(signals), **_spectrum.of_signals(signals)}


def _in_chunks(
    windows: Windows, of_axes: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.floating[Any]]], width: int
) -> Features:
    features = np.empty((len(windows), width), dtype=np.float32)
    for start in range(0, len(windows), CHUNK):
        axes = np.ascontiguousarray(windows[start : start + CHUNK].transpose(0, 2, 1), dtype=np.float64)
        features[start : start + CHUNK] = of_axes(axes)
    return features


# The names come from the computation itself, so that they cannot fall out of step with the columns.
STATISTICS: tuple[str, ...] = tuple(_named_statistics(np.zeros((1, len(_statistics.AXES), _spectrum.READINGS))))
LAGS: tuple[str, ...] = _lags.NAMES

COMPUTE: Mapping[str, Callable[[Windows], Features]] = {"lags": lags, "statistics": statistics}
"""Kinds of features by name, as stages and saved models know them."""
