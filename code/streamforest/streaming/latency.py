"""Latencies of any number of predictions in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PER_DECADE = 100
_DECADES = 9
QUANTILES = (0.5, 0.95, 0.99)


class Latencies:
    """A histogram with bins 2.3 % wide, from 1 ms to 1e9 ms: quantiles are off by no more than that."""

    def __init__(self) -> None:
        self._counts = np.zeros(_PER_DECADE * _DECADES + 1, dtype=np.int64)

    def add(self, values_ms: npt.NDArray[np.int64]) -> None:
        """Count latencies; those below 1 ms count as 1 ms."""
        bins = (np.log10(np.maximum(values_ms, 1)) * _PER_DECADE).astype(np.int64)
        np.add.at(self._counts, np.minimum(bins, len(self._counts) - 1), 1)

    def quantiles(self) -> dict[str, float | None]:
        """p50, p95 and p99 in ms; null before the first prediction."""
        total = int(self._counts.sum())
        if not total:
            return {f"p{quantile * 100:.0f}": None for quantile in QUANTILES}
        reached = np.cumsum(self._counts)
        return {
            f"p{quantile * 100:.0f}": round(
                10 ** ((int(np.searchsorted(reached, quantile * total)) + 0.5) / _PER_DECADE), 1
            )
            for quantile in QUANTILES
        }
