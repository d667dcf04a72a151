"""Windows over a stream: the tails of a shard's users, carried from one micro-batch to the next.

The state is an Arrow table with one row a user, so that it can be looked at:

=================  ==================  ==========================================================================
column             type                meaning
=================  ==================  ==========================================================================
user               int64               unique; first, sorted, those with readings, then, sorted, those without
latest_ms          int64               the user's clock: the latest time accepted
heard_ms           int64               what the partition's clock said at the user's last reading
partition          int64               the Kafka partition of that reading
origin_ms          int64               where the grid of the first kept reading's event starts
next_number        int64               number of that event's next window
times_ms, x, y, z  lists, same length  readings that windows to come still need
probabilities      list of doubles     class probabilities of that event's last windows, flattened, oldest first
model              string              version of the model that gave them
=================  ==================  ==========================================================================

The table's metadata hold the clocks of the partitions. Of a user who was silent for too long (see
:mod:`streamforest.ml.clocks`) the clocks are kept and nothing else: from origin_ms on all is null.

Only probabilities of one version are averaged: a user's first window by another one starts the smoothing anew. Those of
a user who got no window meanwhile are kept as they are, so that a model that comes back finds them.

What is final: a reading older than the user's clock minus the lateness is refused, so everything up to there (the
horizon) cannot change any more. A window is due when a reading at its end or later, within the same event, lies
at or before the horizon: then none of the readings that it is interpolated from can change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamforest.application import Advance
from streamforest.ml.clocks import NEVER_MS, Arrivals, Clocks, Limits
from streamforest.ml.serving import WindowScorer
from streamforest.ml.smoothing import Probabilities, decide, smooth
from streamforest.ml.windows import Flags, Index, Times, Values, complete, cut, event_starts

_AXES = ("x", "y", "z")
_CLOCKS = ("user", "latest_ms", "heard_ms", "partition")
_PARTITIONS = b"partitions"
_RUN_BITS = 32


@dataclass(frozen=True)
class _Tails:
    """State as arrays; readings and probabilities of user i lie at offsets[i]:offsets[i + 1]."""

    users: Index
    origin_ms: Times
    next_number: Index
    offsets: Index
    times_ms: Times
    values: Values
    probability_offsets: Index
    probabilities: Probabilities
    foreign: Index
    """Users whose probabilities another version gave; above they have none."""
    foreign_rows: pa.Table
    """Columns ``probabilities`` and ``model`` of those, as they were."""


@dataclass(frozen=True)
class _Readings:
    """Kept and new readings, sorted by user (position in ``users``) and time, one a time."""

    user: Index
    times_ms: Times
    values: Values
    arrived_ms: Times
    kept: Flags
    """True where the reading was in the state."""


@dataclass(frozen=True)
class _Events:
    """Events of the sorted readings, one entry each."""

    user: Index
    first_row: Index
    final_row: Index
    """Last row at or before the user's horizon; ``first_row - 1`` where there is none."""
    origin_ms: Times
    first_number: Index
    count: Index
    """Windows due."""


class WindowStream:
    """A :class:`streamforest.application.StreamModel` for windows of readings."""

    def __init__(self, scorer: WindowScorer) -> None:
        self._scorer = scorer
        self._spec = scorer.spec

    def advance(
        self, state: bytes | None, events: pa.Table, *, lateness_ms: int, final: bool, ttl_ms: int = 0
    ) -> Advance:
        """See :meth:`streamforest.application.StreamModel.advance`."""
        tails, clocks = _load(state, self._scorer)
        new_users, partition, arrived_ms, new_times_ms = (
            _numpy(events, name).astype(np.int64) for name in ("userId", "partition", "arrived_ms", "timestamp")
        )
        arrivals = Arrivals(user=new_users, times_ms=new_times_ms, partition=partition, arrived_ms=arrived_ms)
        limits = Limits(lateness_ms=lateness_ms, gap_ms=self._spec.gap_ms, ttl_ms=ttl_ms)
        clocks, late = clocks.take(arrivals, limits)
        accepted = np.flatnonzero(~late)

        users = np.union1d(tails.users, new_users[accepted])
        clock = np.searchsorted(clocks.user, users)
        silent = clocks.silent(ttl_ms)[clock]
        # What can still come: after the end, or of a silent user, nothing that is older.
        wait_ms = np.where(silent | final, 0, lateness_ms)
        readings, duplicates = self._merge(tails, users, events, np.searchsorted(users, new_users), accepted)
        runs = self._events(tails, users, readings, clocks.latest_ms[clock] - wait_ms)

        windows = cut(
            readings.times_ms,
            readings.values,
            runs.first_row,
            runs.origin_ms,
            runs.first_number,
            runs.count,
            self._spec,
        )
        raw = self._scorer.probabilities(windows.values)
        smoothed, history = self._smooth(tails, users, runs, readings, windows.event, windows.number, raw)
        chosen = decide(smoothed)
        owner = runs.user[windows.event]
        predictions = pa.table(
            {
                "userId": pa.array(users[owner].astype(np.int32)),
                "timestamp": pa.array(windows.end_ms),
                "action": pa.array(self._scorer.classes).take(pa.array(chosen)),
                "probability": pa.array(smoothed[np.arange(len(chosen)), chosen]),
                "arrived_ms": pa.array(_completed_by(readings, owner, windows.end_ms + wait_ms[owner])),
            }
        )
        # After the end nothing older is accepted: what was flushed stays as it was said.
        clocks = replace(clocks, latest_ms=clocks.latest_ms + lateness_ms) if final else clocks
        kept = self._keep(tails, users, readings, runs, history).filter(pa.array(~silent))
        return Advance(
            state=_dump(clocks, users[~silent], kept),
            predictions=predictions,
            refused=pa.table(
                {
                    "position": pa.array(np.flatnonzero(late)),
                    "reason": pa.array(["late"] * int(late.sum()), pa.string()),
                }
            ),
            counts={"duplicates": duplicates, "users": kept.num_rows},
        )

    def _merge(
        self, tails: _Tails, users: Index, events: pa.Table, position: Index, accepted: Index
    ) -> tuple[_Readings, int]:
        """All readings that count, and how many did not since an earlier one to arrive had the same time."""
        kept_user = np.repeat(np.searchsorted(users, tails.users), np.diff(tails.offsets))
        limit = self._scorer.limit
        new_values = np.column_stack([_numpy(events, axis) for axis in _AXES]).astype(np.float64)[accepted]
        user = np.concatenate((kept_user, position[accepted]))
        times_ms = np.concatenate((tails.times_ms, _numpy(events, "timestamp").astype(np.int64)[accepted]))
        values = np.concatenate((tails.values, np.clip(new_values, -limit, limit)))
        arrived_ms = np.concatenate((np.zeros(len(kept_user), np.int64), _numpy(events, "arrived_ms")[accepted]))
        kept = np.arange(len(user)) < len(kept_user)
        # lexsort is stable: kept readings come first, then new ones in their order of arrival
        order = np.lexsort((times_ms, user))
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (np.diff(times_ms[order]) != 0) | (np.diff(user[order]) != 0)
        rows = order[fresh]
        merged = _Readings(user[rows], times_ms[rows], values[rows], arrived_ms[rows], kept[rows])
        return merged, int(len(order) - len(rows))

    def _events(self, tails: _Tails, users: Index, readings: _Readings, horizon_ms: Times) -> _Events:
        starts = event_starts(readings.user, readings.times_ms, self._spec.gap_ms)
        first_row = np.flatnonzero(starts)
        user = readings.user[first_row]
        origin_ms = readings.times_ms[first_row]
        first_number = np.zeros(len(first_row), dtype=np.int64)

        # The event that a user's kept readings begin with goes on with its grid and its count.
        event_of_row = np.cumsum(starts) - 1
        kept_rows = np.flatnonzero(readings.kept)
        first_kept = kept_rows[np.concatenate(([True], np.diff(readings.user[kept_rows]) != 0))[: len(kept_rows)]]
        carried = event_of_row[first_kept]
        in_state = np.searchsorted(tails.users, users[readings.user[first_kept]])
        origin_ms[carried] = np.minimum(tails.origin_ms[in_state], origin_ms[carried])
        first_number[carried] = tails.next_number[in_state]

        final = (readings.times_ms <= horizon_ms[readings.user]).astype(np.int64)
        finals = np.add.reduceat(final, first_row) if len(first_row) else first_row
        final_row = first_row + finals - 1
        last_ms = np.where(finals > 0, readings.times_ms[np.maximum(final_row, 0)] if len(first_row) else 0, NEVER_MS)
        count = np.maximum(complete(origin_ms, last_ms, self._spec) - first_number, 0)
        return _Events(user, first_row, final_row, origin_ms, first_number, count)

    def _smooth(
        self,
        tails: _Tails,
        users: Index,
        runs: _Events,
        readings: _Readings,
        event: Index,
        number: Index,
        raw: Probabilities,
    ) -> tuple[Probabilities, tuple[Index, Index, Probabilities]]:
        """Smoothed probabilities of the new windows, and (event, number, raw) of all windows known, in order."""
        kept_rows = np.flatnonzero(readings.kept)
        first_kept = kept_rows[np.concatenate(([True], np.diff(readings.user[kept_rows]) != 0))[: len(kept_rows)]]
        event_of_user = np.zeros(len(users), dtype=np.int64)
        event_of_user[readings.user[first_kept]] = np.searchsorted(runs.first_row, first_kept, side="right") - 1
        known = np.diff(tails.probability_offsets)
        back = np.repeat(tails.probability_offsets[1:], known) - np.arange(len(tails.probabilities))
        old_event = np.repeat(event_of_user[np.searchsorted(users, tails.users)], known)
        old_number = np.repeat(tails.next_number, known) - back

        all_event = np.concatenate((old_event, event))
        all_number = np.concatenate((old_number, number))
        all_raw = np.concatenate((tails.probabilities, raw))
        order = np.lexsort((all_number, all_event))
        all_event, all_number, all_raw = all_event[order], all_number[order], all_raw[order]
        run = (all_event << _RUN_BITS) + all_number
        smoothed = smooth(all_raw, run, self._scorer.smoothing_windows)
        return smoothed[order >= len(old_event)], (all_event, all_number, all_raw)

    def _keep(
        self,
        tails: _Tails,
        users: Index,
        readings: _Readings,
        runs: _Events,
        history: tuple[Index, Index, Probabilities],
    ) -> pa.Table:
        """What the next window of each user's current event needs, and all that is later: a row for each user."""
        current = _current_events(runs, len(users))
        next_number = runs.first_number[current] + runs.count[current]
        next_start_ms = runs.origin_ms[current] + next_number * self._spec.step_ms
        first, final = runs.first_row[current], runs.final_row[current]
        past_end = np.append(runs.first_row[1:], len(readings.times_ms))[current]
        event_rows = np.arange(len(readings.times_ms))
        in_current = (event_rows >= first[readings.user]) & (event_rows < past_end[readings.user])
        before = in_current & (readings.times_ms <= next_start_ms[readings.user])
        keep_from = first + np.maximum(np.bincount(readings.user[before], minlength=len(users)) - 1, 0)
        keep_from = np.minimum(keep_from, np.maximum(final, first))
        keep = event_rows >= keep_from[readings.user]

        event, number, raw = history
        owner = runs.user[event]
        wanted = (event == current[owner]) & (number >= next_number[owner] - self._scorer.smoothing_windows + 1)
        offsets = np.searchsorted(readings.user[keep], np.arange(len(users) + 1))
        known_offsets = np.concatenate(([0], np.cumsum(np.bincount(owner[wanted], minlength=len(users)))))
        known = _lists(known_offsets * raw.shape[1], raw[wanted].reshape(-1))
        origin_ms = runs.origin_ms[current]
        return pa.table(
            {
                "origin_ms": origin_ms,
                "next_number": next_number,
                "times_ms": _lists(offsets, readings.times_ms[keep]),
                **{axis: _lists(offsets, readings.values[keep, column]) for column, axis in enumerate(_AXES)},
                **self._probabilities(tails, users, origin_ms, next_number, known),
            }
        )

    def _probabilities(
        self, tails: _Tails, users: Index, origin_ms: Times, next_number: Index, known: pa.Array
    ) -> dict[str, pa.Array]:
        """Columns ``probabilities`` and ``model``: ``known`` of this version, or of another one for users without a
        window meanwhile, whose event goes on where it was.
        """
        models = pa.repeat(pa.scalar(self._scorer.version), len(users))
        if not len(tails.foreign):
            return {"probabilities": known, "model": models}
        before = np.searchsorted(tails.users, tails.foreign)
        after = np.searchsorted(users, tails.foreign)
        same = (origin_ms[after] == tails.origin_ms[before]) & (next_number[after] == tails.next_number[before])
        source = np.arange(len(users))
        source[after[same]] = len(users) + np.flatnonzero(same)
        merged = pa.concat_tables([pa.table({"probabilities": known, "model": models}), tails.foreign_rows])
        taken = merged.take(source)
        return {name: taken.column(name).combine_chunks() for name in ("probabilities", "model")}


def _current_events(runs: _Events, users: int) -> Index:
    """Of each user the last event with a final reading, else the first."""
    current = np.full(users, -1, dtype=np.int64)
    has_final = np.flatnonzero(runs.final_row >= runs.first_row)
    current[runs.user[has_final]] = has_final
    first = np.searchsorted(runs.user, np.arange(users))
    return np.where(current < 0, first, current)


def _completed_by(readings: _Readings, user: Index, due_ms: Times) -> Times:
    """When the reading arrived that made each window due; 0 where it was none of the new ones."""
    if not len(user):
        return np.zeros(0, dtype=np.int64)
    low_ms = readings.times_ms.min()
    stride = int(max(readings.times_ms.max(), due_ms.max()) - low_ms) + 1
    rows = np.searchsorted(readings.user * stride + (readings.times_ms - low_ms), user * stride + (due_ms - low_ms))
    rows = np.minimum(rows, len(readings.user) - 1)
    return np.where(readings.user[rows] == user, readings.arrived_ms[rows], 0)


def _numpy(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.asarray(table.column(name).to_numpy())


def _dump(clocks: Clocks, users: Index, kept: pa.Table) -> bytes:
    """The state: all clocks, and what is kept of these users."""
    with_readings = np.isin(clocks.user, users, assume_unique=True)
    rows = np.concatenate((np.flatnonzero(with_readings), np.flatnonzero(~with_readings)))
    nothing = pa.table({field.name: pa.nulls(len(rows) - len(users), field.type) for field in kept.schema})
    table = pa.concat_tables([kept, nothing]).combine_chunks()
    for column, name in enumerate(_CLOCKS):
        table = table.add_column(column, name, pa.array(getattr(clocks, name)[rows]))
    table = table.replace_schema_metadata({_PARTITIONS: json.dumps(clocks.partitions)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _load(state: bytes | None, scorer: WindowScorer) -> tuple[_Tails, Clocks]:
    """Tails of a state, with the probabilities that the scorer's version gave, and the clocks of all users."""
    width = len(scorer.classes)
    if state is None:
        none = np.zeros(0, dtype=np.int64)
        one = np.zeros(1, dtype=np.int64)
        rows = pa.schema({"probabilities": pa.large_list(pa.float64()), "model": pa.string()}).empty_table()
        tails = _Tails(none, none, none, one, none, np.empty((0, 3)), one, np.empty((0, width)), none, rows)
        return tails, Clocks.none()
    with pa.ipc.open_file(pa.BufferReader(state)) as reader:
        table = reader.read_all().combine_chunks()
    clocks = _clocks(table)
    table = table.slice(0, table.num_rows - table.column("origin_ms").null_count)
    lists = {name: _flat(table.column(name)) for name in ("times_ms", *_AXES)}
    others = pc.not_equal(table.column("model"), scorer.version)
    own = pc.if_else(others, pa.scalar([], table.schema.field("probabilities").type), table.column("probabilities"))
    offsets, probabilities = _flat(own)
    tails = _Tails(
        users=_numpy(table, "user"),
        origin_ms=_numpy(table, "origin_ms"),
        next_number=_numpy(table, "next_number"),
        offsets=lists["times_ms"][0],
        times_ms=lists["times_ms"][1],
        values=np.column_stack([lists[axis][1] for axis in _AXES]),
        probability_offsets=offsets // width,
        probabilities=probabilities.reshape(-1, width),
        foreign=_numpy(table, "user")[others.to_numpy()],
        foreign_rows=table.filter(others).select(["probabilities", "model"]),
    )
    return tails, clocks


def _clocks(table: pa.Table) -> Clocks:
    if _CLOCKS[-1] not in table.column_names:
        # A state of the time before silences were known: nobody has been silent yet.
        table = table.append_column("heard_ms", pa.repeat(NEVER_MS, table.num_rows))
        table = table.append_column("partition", pa.repeat(np.int64(-1), table.num_rows))
    told = json.loads((table.schema.metadata or {}).get(_PARTITIONS, b"{}"))
    order = np.argsort(_numpy(table, "user"), kind="stable")
    return Clocks(
        **{name: _numpy(table, name)[order] for name in _CLOCKS},
        partitions={int(number): (clock_ms, newest_ms) for number, (clock_ms, newest_ms) in told.items()},
    )


def _lists(offsets: Index, values: npt.NDArray[Any]) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values)))


def _flat(column: pa.ChunkedArray) -> tuple[Index, npt.NDArray[Any]]:
    lengths = np.asarray(pc.list_value_length(column).to_numpy())
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return offsets, np.asarray(pc.list_flatten(column).to_numpy())
