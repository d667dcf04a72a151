"""The window kernel against a second opinion: numpy's own interpolation, one window at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from streamforest.ml.windows import WindowSpec, complete, cut, event_starts

SPEC = WindowSpec(length=10, step=4, grid_ms=50, gap_ms=200)


@given(st.lists(st.integers(1, 250), min_size=1, max_size=200), st.integers(0, 2**32))
def test_windows_equal_plain_interpolation(steps: list[int], seed: int) -> None:
    times_ms = 10**12 + np.cumsum(np.array(steps))
    values = np.random.default_rng(seed).normal(size=(len(steps), 3))
    first_row = np.flatnonzero(event_starts(np.zeros(len(steps), dtype=np.int64), times_ms, SPEC.gap_ms))
    last_row = np.append(first_row[1:], len(times_ms)) - 1
    origin_ms = times_ms[first_row]
    count = complete(origin_ms, times_ms[last_row], SPEC)

    found = cut(times_ms, values, first_row, origin_ms, np.zeros_like(count), count, SPEC)

    expected = [
        window
        for first, last in zip(first_row, last_row, strict=True)
        for window in plain(times_ms[first : last + 1], values[first : last + 1])
    ]
    assert len(found.values) == len(expected)
    for window, (_, points) in zip(found.values, expected, strict=True):
        np.testing.assert_allclose(window, points, atol=1e-9)
    assert found.end_ms.tolist() == [end_ms for end_ms, _ in expected]


def plain(
    times_ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Windows of one event, one by one."""
    windows = []
    start_ms = int(times_ms[0])
    while start_ms + (SPEC.length - 1) * SPEC.grid_ms <= times_ms[-1]:
        grid = start_ms + SPEC.grid_ms * np.arange(SPEC.length)
        points = np.stack([np.interp(grid - 10**12, times_ms - 10**12, values[:, axis]) for axis in range(3)], axis=1)
        windows.append((int(grid[-1]), points))
        start_ms += SPEC.step * SPEC.grid_ms
    return windows


def test_a_tail_gives_the_same_bits_as_the_whole_event() -> None:
    rng = np.random.default_rng(1)
    times_ms, values = 10**12 + np.cumsum(rng.integers(30, 70, 500)), rng.normal(size=(500, 3))
    zero, origin_ms = np.zeros(1, dtype=np.int64), times_ms[:1]
    count = complete(origin_ms, times_ms[-1:], SPEC)
    whole = cut(times_ms, values, zero, origin_ms, zero, count, SPEC)
    wanted = count - 5
    start_ms = origin_ms[0] + wanted[0] * SPEC.step_ms
    row = int(np.searchsorted(times_ms, start_ms, side="right")) - 1

    tail = cut(times_ms[row:], values[row:], zero, origin_ms, wanted, count - wanted, SPEC)

    assert np.array_equal(tail.values, whole.values[-5:])
    assert np.array_equal(tail.end_ms, whole.end_ms[-5:])


def test_a_gap_is_longer_than_the_limit_not_as_long() -> None:
    users, times_ms = np.array([1, 1, 1, 2]), np.array([0, 200, 401, 402])

    starts = event_starts(users, times_ms, gap_ms=200)

    assert starts.tolist() == [True, False, True, True]


def test_no_readings_no_windows() -> None:
    none = np.zeros(0, dtype=np.int64)

    found = cut(none, np.empty((0, 3)), none, none, none, none, SPEC)

    assert found.values.shape == (0, SPEC.length, 3)
