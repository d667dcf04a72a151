"""Made-up readings and a scorer without a model, for tests of windows and streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from streamforest.ml.window_stream import WindowStream
from streamforest.ml.windows import WindowSpec

STEADY, IRREGULAR = (50, 50, 50, 51, 49), (50, 50, 50, 60, 40, 0, 300, 700, 5000)
ORDER = [("userId", "ascending"), ("timestamp", "ascending")]


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


def predict(table: pa.Table, cuts: Sequence[int], lateness_ms: int = 0, scorer: SumScorer | None = None) -> pa.Table:
    """All predictions of the events given in pieces, then flushed."""
    return told(table, cuts, lateness_ms, 0, scorer)[0]


def told(
    table: pa.Table, cuts: Sequence[int], lateness_ms: int, ttl_ms: int, scorer: SumScorer | None = None
) -> tuple[pa.Table, list[int]]:
    """All predictions of the events given in pieces, then flushed, and the positions of the refused ones."""
    stream = WindowStream(scorer or SumScorer())  # type: ignore[arg-type]
    state, found, refused = None, [], []
    for start, end in zip([0, *cuts], [*cuts, table.num_rows], strict=True):
        piece = table.slice(start, end - start)
        result = stream.advance(state, piece, lateness_ms=lateness_ms, final=False, ttl_ms=ttl_ms)
        state = result.state
        found.append(result.predictions)
        refused += [start + position for position in result.refused.column("position").to_pylist()]
    last = stream.advance(state, table.slice(0, 0), lateness_ms=lateness_ms, final=True, ttl_ms=ttl_ms)
    predictions = pa.concat_tables([*found, last.predictions])
    return predictions.drop_columns(["arrived_ms"]).sort_by(ORDER), refused


def walk(rows: int, user: int = 7, start_ms: int = 1_370_367_549_273, seed: int = 0) -> pa.Table:
    """A user's readings every 50 ms."""
    values = np.random.default_rng(seed).normal(size=(rows, 3)) * 5
    return events(np.full(rows, user), start_ms + 50 * np.arange(rows), values)


@st.composite
def streams(draw: st.DrawFn) -> tuple[pa.Table, list[int], int]:
    """Interleaved users with gaps and equal times, disorder within the lateness, repeats; and where to cut."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lateness_ms = draw(st.sampled_from([0, 0, 1000, 3000]))
    steps = draw(st.sampled_from([STEADY, IRREGULAR]))
    lengths = draw(st.lists(st.integers(1, 700), min_size=1, max_size=4))
    users = np.repeat(np.arange(len(lengths)), lengths)
    times_ms = np.concatenate([rng.integers(10**6, 10**6 + 1000) + np.cumsum(rng.choice(steps, n)) for n in lengths])
    values = rng.normal(size=(len(users), 3)) * 8
    arrival = times_ms + rng.integers(0, 100_000, len(lengths))[users]
    arrival = arrival + rng.integers(0, lateness_ms + 1, len(users))
    order = np.argsort(arrival, kind="stable")
    if draw(st.booleans()):
        repeats = rng.integers(0, len(users), 30)
        order = order[np.argsort(np.concatenate((np.arange(len(users)), repeats + 0.5)), kind="stable") % len(users)]
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=12)))
    return events(users[order], times_ms[order], values[order]), cuts, lateness_ms
