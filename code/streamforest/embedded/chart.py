"""Where everything of the chart goes: a minute's series above, the predicted classes on the same axis below.

Only geometry, in the units of the SVG's view box; the markup is the template's, the colours are the style sheet's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from streamforest.embedded.excerpt import LENGTH_MS, Excerpt, Predicted

_LEFT, _RIGHT, _TOP = 54, 12, 12
_PLOT_HEIGHT, _STRIP_HEIGHT, _LINE_HEIGHT = 190, 22, 34
_GAP_S = 1.0
_LONGEST_CELL_S = 1.5
_LETTER_WIDTH = 6.6
_FAINTEST = 0.25


class Tick(NamedTuple):
    """A mark of an axis."""

    at: float
    text: str


class Series(NamedTuple):
    """One line; ``path`` is SVG path data, broken where no events were."""

    name: str
    path: str


class Cell(NamedTuple):
    """One prediction in the strip."""

    left: float
    width: float
    colour: int
    opacity: float


class Run(NamedTuple):
    """Successive predictions of one class."""

    name: str
    colour: int
    first_s: float
    last_s: float
    probability: float | None
    """Their mean."""
    left: float
    middle: float
    fits: bool
    """Whether the name has room below the strip."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart of a given width."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    """Of the plot."""
    strip_top: float
    strip_height: float
    label_base: float
    line_top: float
    line_bottom: float
    """Of the probability's line."""
    axis_base: float
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    series: Sequence[Series]
    cells: Sequence[Cell]
    runs: Sequence[Run]
    probability: str
    """Path data; empty where the application predicts none."""
    clipped: bool
    """Whether values lie beyond the signal's limit."""


def draw(excerpt: Excerpt, colours: Mapping[str, int], width: int) -> Chart:
    """The chart of a minute, ``width`` units wide; ``colours`` numbers the classes."""
    span_s = LENGTH_MS / 1000
    right = width - _RIGHT
    bottom = _TOP + _PLOT_HEIGHT
    strip_top = bottom + 10
    label_base = strip_top + _STRIP_HEIGHT + 15
    line_top = label_base + 10
    has_probability = any(found.probability is not None for found in excerpt.predictions)
    line_bottom = line_top + (_LINE_HEIGHT if has_probability else 0)

    def x(second: float) -> float:
        return round(_LEFT + (right - _LEFT) * min(max(second / span_s, 0.0), 1.0), 1)

    limit = excerpt.signal.limit
    series = {name: [min(max(value, -limit), limit) for value in column] for name, column in excerpt.series.items()}
    values = [value for column in series.values() for value in column]
    marks = _nice(min(values, default=0.0), max(values, default=1.0))

    def y(value: float) -> float:
        return round(bottom - _PLOT_HEIGHT * (value - marks[0]) / (marks[-1] - marks[0]), 1)

    def level(probability: float) -> float:
        return round(line_bottom - _LINE_HEIGHT * probability, 1)

    cells = _cells(excerpt.predictions)
    known = [(end, found.probability) for _, end, found in cells if found.probability is not None]
    step_s = 10 if width > 500 else 20
    return Chart(
        width=width,
        height=round(line_bottom + 42),
        left=_LEFT,
        right=right,
        top=_TOP,
        bottom=bottom,
        strip_top=strip_top,
        strip_height=_STRIP_HEIGHT,
        label_base=label_base,
        line_top=line_top,
        line_bottom=line_bottom,
        axis_base=line_bottom + 16,
        x_ticks=[Tick(x(second), str(second)) for second in range(0, int(span_s) + 1, step_s)],
        y_ticks=[Tick(y(mark), f"{mark:g}") for mark in marks],
        series=[
            Series(
                name, _path(excerpt.seconds, [x(second) for second in excerpt.seconds], [y(each) for each in column])
            )
            for name, column in series.items()
        ],
        cells=[
            Cell(x(begin), round(x(end) - x(begin), 1), colours[found.name], _opacity(found.probability))
            for begin, end, found in cells
        ],
        runs=[
            Run(
                name,
                colours[name],
                begin,
                end,
                mean,
                x(begin),
                round((x(begin) + x(end)) / 2, 1),
                _fits(name, x(end) - x(begin)),
            )
            for name, begin, end, mean in _runs(cells)
        ],
        probability=_path([end for end, _ in known], [x(end) for end, _ in known], [level(each) for _, each in known]),
        clipped=series != {name: list(column) for name, column in excerpt.series.items()},
    )


def _nice(low: float, high: float) -> list[float]:
    """Round numbers, equally far apart, around both values: three to seven."""
    high = high if high > low else low + 1
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _path(seconds: Sequence[float], across: Sequence[float], down: Sequence[float]) -> str:
    """A line through points, broken where more than a second lies between two."""
    before = [-math.inf, *seconds[:-1]] if seconds else []
    return "".join(
        f"{'M' if second - previous > _GAP_S * 1.5 else 'L'}{x:g} {y:g}"
        for previous, second, x, y in zip(before, seconds, across, down, strict=True)
    )


def _cells(predictions: Sequence[Predicted]) -> list[tuple[float, float, Predicted]]:
    """Begin and end of the time each prediction stands for: from the one before it, and no more than its own share."""
    ends = [found.second for found in predictions]
    gaps = sorted(later - earlier for earlier, later in pairwise(ends)) or [1.0]
    usual = min(gaps[len(gaps) // 2], _LONGEST_CELL_S)
    begins = (
        [max(end - usual, before) for before, end in zip([-math.inf, *ends[:-1]], ends, strict=True)] if ends else []
    )
    return [(begin, found.second, found) for begin, found in zip(begins, predictions, strict=True)]


def _runs(cells: Sequence[tuple[float, float, Predicted]]) -> list[tuple[str, float, float, float | None]]:
    """Name, begin, end and mean probability of each unbroken row of one class."""
    groups: list[list[tuple[float, float, Predicted]]] = []
    for cell in cells:
        last = groups[-1][-1] if groups else None
        if last and last[2].name == cell[2].name and cell[0] - last[1] < _GAP_S:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return [(group[0][2].name, max(group[0][0], 0.0), group[-1][1], _mean(group)) for group in groups]


def _mean(group: Sequence[tuple[float, float, Predicted]]) -> float | None:
    known = [found.probability for _, _, found in group if found.probability is not None]
    return sum(known) / len(known) if known else None


def _opacity(probability: float | None) -> float:
    return 1.0 if probability is None else round(_FAINTEST + (1 - _FAINTEST) * probability, 2)


def _fits(name: str, width: float) -> bool:
    return width >= len(name) * _LETTER_WIDTH
