"""Made-up readings and a scorer without a model, for tests of windows and streams."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforest.ml.windows import WindowSpec


@dataclass(frozen=True)
class SumScorer:
    """Stands where a forest would: probabilities that any change of any value in a window changes."""

    classes: tuple[str, ...] = ("Jogging", "Sitting", "Walking")
    limit: float = 20.0
    spec: WindowSpec = field(default_factory=WindowSpec)
    smoothing_windows: int = 15
    version: str = "1"
    """Another version finds other probabilities."""

    def probabilities(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        total = windows.reshape(len(windows), self.spec.length * 3).sum(axis=1)
        phase = int(self.version) - 1
        waves = [np.abs(np.sin(total * (index + 1) + phase)) + 0.01 for index in range(len(self.classes))]
        votes = np.stack(waves, axis=1)
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def events(
    users: npt.NDArray[np.int64],
    times_ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    arrived_ms: npt.NDArray[np.int64] | None = None,
    partition: npt.NDArray[np.int64] | None = None,
) -> pa.Table:
    """Events as the stream hands them to a shard, in this order of arrival; one a millisecond where nothing is said."""
    return pa.table(
        {
            "userId": pa.array(users, pa.int32()),
            "timestamp": pa.array(times_ms, pa.int64()),
            **{axis: pa.array(values[:, column]) for column, axis in enumerate("xyz")},
            "arrived_ms": pa.array(np.arange(1, len(users) + 1) if arrived_ms is None else arrived_ms, pa.int64()),
            "partition": pa.array(np.zeros(len(users), dtype=np.int64) if partition is None else partition, pa.int32()),
        }
    )
