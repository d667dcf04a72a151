"""The window kernel: readings of many users in, complete windows on the grid out. One function for batch and stream.

An *event* is a run of one user's readings in which no two neighbours are more than ``gap_ms`` apart. Its grid starts
at its first reading and has a point every ``grid_ms``; values between two readings are interpolated linearly. A
*window* is ``length`` grid points of one event; windows of an event begin ``step`` grid points apart. A window's time
is that of its last point.

Every number that comes out depends on the readings around it alone, never on how the input was cut: the interpolation
is a formula of two neighbours, so a window computed from the tail of an event equals the same window computed from
the whole event bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Shape of the windows. The defaults are 5 s windows at 20 Hz, one each second."""

    length: int = 100
    """Grid points in a window."""
    step: int = 20
    """Grid points from one window's beginning to the next one's."""
    grid_ms: int = 50
    gap_ms: int = 500
    """The longest silence between two readings that is interpolated; a longer one ends the event."""

    @property
    def span_ms(self) -> int:
        """From a window's first point to its last."""
        return (self.length - 1) * self.grid_ms

    @property
    def step_ms(self) -> int:
        return self.step * self.grid_ms


@dataclass(frozen=True)
class Windows:
    """Complete windows, ordered by event and time."""

    values: Values
    """Shape (windows, length, axes)."""
    event: Index
    """Position of each window's event in the arrays that were given."""
    number: Index
    """0 for an event's first window, 1 for the next."""
    end_ms: Times


def event_starts(users: Index, times_ms: Times, gap_ms: int) -> Flags:
    """True where an event begins, for readings sorted by user and time."""
    starts = np.ones(len(times_ms), dtype=bool)
    starts[1:] = (users[1:] != users[:-1]) | (np.diff(times_ms) > gap_ms)
    return starts


def complete(origin_ms: Times, last_ms: Times, spec: WindowSpec) -> Index:
    """How many windows an event from ``origin_ms`` to ``last_ms`` holds, elementwise."""
    return np.asarray(np.maximum((last_ms - origin_ms - spec.span_ms) // spec.step_ms + 1, 0))


def cut(
    times_ms: Times,
    values: Values,
    first_row: Index,
    origin_ms: Times,
    first_number: Index,
    count: Index,
    spec: WindowSpec,
) -> Windows:
    """``count`` windows of each event from number ``first_number`` on.

    Args:
        times_ms: readings' times, strictly rising within an event; events lie one after the other.
        values: shape (readings, axes).
        first_row: for each event, the row of its first reading that is given.
        origin_ms: for each event, where its grid starts; may lie before the first reading that is given, whose time
            must then not be after the first wanted window's first point.
        first_number: for each event, the first wanted window.
        count: for each event, how many windows; its last reading must not lie before the last one's end.
        spec: the windows' shape.
    """
    wanted = np.flatnonzero(count)
    points = (count[wanted] - 1) * spec.step + spec.length
    point_event = np.repeat(wanted, points)
    within = np.arange(len(point_event)) - np.repeat(np.cumsum(points) - points, points)
    grid_ms = origin_ms[point_event] + (first_number[point_event] * spec.step + within) * spec.grid_ms
    series = _interpolate(times_ms, values, first_row, point_event, grid_ms)

    event = np.repeat(wanted, count[wanted])
    nth = np.arange(len(event)) - np.repeat(np.cumsum(count[wanted]) - count[wanted], count[wanted])
    first_point = np.repeat(np.cumsum(points) - points, count[wanted]) + nth * spec.step
    number = first_number[event] + nth
    return Windows(
        values=series[first_point[:, None] + np.arange(spec.length)],
        event=event,
        number=number,
        end_ms=origin_ms[event] + number * spec.step_ms + spec.span_ms,
    )


def _interpolate(times_ms: Times, values: Values, first_row: Index, point_event: Index, grid_ms: Times) -> Values:
    """Values at the grid points, shape (points, axes); each from the two readings around it in the same event."""
    if not len(grid_ms):
        return np.empty((0, values.shape[1]))
    row_event = np.zeros(len(times_ms), dtype=np.int64)
    row_event[first_row[1:]] = 1
    row_event = np.cumsum(row_event)
    # One search for all events: times are moved so far apart that events cannot meet.
    base = times_ms[first_row]
    offset = times_ms - base[row_event]
    point_offset = grid_ms - base[point_event]
    stride = int(max(offset.max(), point_offset.max())) + 1
    right = np.searchsorted(row_event * stride + offset, point_event * stride + point_offset, side="right")
    left = right - 1
    exact = times_ms[left] == grid_ms
    right = np.where(exact, left, right)
    span_ms = np.where(exact, 1, times_ms[right] - times_ms[left])
    share = ((grid_ms - times_ms[left]) / span_ms)[:, None]
    return values[left] + (values[right] - values[left]) * share
