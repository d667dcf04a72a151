"""A minute of one key's events and what was predicted of it, for the report to draw."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from streamforest.application import Application, Signal

LENGTH_MS = 60_000
PROBABILITY = "probability"


class Predicted(NamedTuple):
    """One prediction of the minute."""

    second: float
    """Its event time, in seconds since the minute's begin: the end of what it was made from."""
    name: str
    probability: float | None
    """None where the application predicts none."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """One minute. Times are seconds since its begin, on the key's own clock."""

    key: str
    """Name and value of the key, such as ``userId 1601``."""
    signal: Signal
    """What the series are."""
    seconds: Sequence[float]
    """When each event was, ascending."""
    series: Mapping[str, Sequence[float]]
    """Values by column, as many as ``seconds``."""
    predictions: Sequence[Predicted]
    """Ascending."""


def choose(predictions: pa.Table, application: Application) -> tuple[object, int] | None:
    """Key and begin (ms) of the minute with the most different classes; None where nothing was predicted.

    A minute begins where some prediction lies. Among equals the one with more predictions is taken, then the smallest
    key, then the earliest: the same predictions give the same minute, in whatever order they come.
    """
    ordered = predictions.sort_by([(application.key, "ascending"), (application.event_time, "ascending")])
    times: dict[object, list[int]] = {}
    classes: dict[object, list[str]] = {}
    columns = (
        ordered.column(name).to_pylist() for name in (application.key, application.event_time, application.label)
    )
    for key, time_ms, name in zip(*columns, strict=True):
        times.setdefault(key, []).append(time_ms)
        classes.setdefault(key, []).append(name)
    best: tuple[tuple[int, int], object, int] | None = None
    for key, starts in times.items():
        for index, start_ms in enumerate(starts):
            end = bisect_right(starts, start_ms + LENGTH_MS)
            worth = (len(set(classes[key][index:end])), end - index)
            if best is None or worth > best[0]:
                best = (worth, key, start_ms)
    return (best[1], best[2]) if best else None


def take(predictions: pa.Table, events: Path, application: Application) -> Excerpt | None:
    """The chosen minute, its events read from the parquet files in ``events``.

    None where the application has no signal to draw, or nothing was predicted.
    """
    signal = application.signal
    chosen = choose(predictions, application) if signal else None
    if signal is None or chosen is None:
        return None
    key, first_ms = chosen
    mine = predictions.filter(pc.equal(predictions.column(application.key), key)).sort_by(application.event_time)
    found = ds.dataset(events, format="parquet").to_table(
        columns=[application.event_time, *signal.columns], filter=ds.field(application.key) == key
    )
    found = found.sort_by(application.event_time)
    start_ms = _begin(found.column(application.event_time).to_pylist(), first_ms)
    within = _within(found, application.event_time, start_ms)
    return Excerpt(
        key=f"{application.key} {key}",
        signal=signal,
        seconds=[(time_ms - start_ms) / 1000 for time_ms in within.column(application.event_time).to_pylist()],
        series={name: within.column(name).to_pylist() for name in signal.columns},
        predictions=_predicted(_within(mine, application.event_time, start_ms), application, start_ms),
    )


def _begin(times_ms: list[int], first_ms: int) -> int:
    """When the unbroken stretch of events that led to the first prediction began, at most 5 s before it."""
    begin_ms = first_ms
    for time_ms in reversed(times_ms[: bisect_right(times_ms, first_ms)]):
        if begin_ms - time_ms > 1000 or first_ms - time_ms > 5000:
            break
        begin_ms = time_ms
    return begin_ms


def _within(table: pa.Table, time: str, start_ms: int) -> pa.Table:
    times_ms = table.column(time)
    after, before = pc.greater_equal(times_ms, start_ms), pc.less_equal(times_ms, start_ms + LENGTH_MS)
    return table.filter(pc.and_(after, before))


def _predicted(minute: pa.Table, application: Application, start_ms: int) -> list[Predicted]:
    probability = PROBABILITY in minute.column_names
    return [
        Predicted(
            (row[application.event_time] - start_ms) / 1000,
            row[application.label],
            row[PROBABILITY] if probability else None,
        )
        for row in minute.to_pylist()
    ]
