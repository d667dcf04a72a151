"""Users who fall silent: when they are forgotten shows in no prediction, and who comes back begins anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamforest.application import Advance
from streamforest.ml.clocks import LONGEST_STEP_MS
from streamforest.ml.window_stream import WindowStream
from tests.readings import SumScorer, events, predict, streams, told, walk

TTL_MS = 20_000
_LIKELY = (0.2, 0.4, 0.2, 0.15, 0.03, 0.01, 0.006, 0.002, 0.002)


@st.composite
def silences(draw: st.DrawFn) -> tuple[pa.Table, list[int], int]:
    """Like :func:`streams`, with times of arrival that hold silences, jumps and steps back, and two partitions."""
    table, cuts, lateness_ms = draw(streams())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps_ms = rng.choice([0, 1, 5, -3, 200, 5_000, 31_000, 86_400_000, -86_400_000], table.num_rows, p=_LIKELY)
    partition = table.column("userId").to_numpy() % 2
    columns = {"arrived_ms": pa.array(10**12 + np.cumsum(steps_ms)), "partition": pa.array(partition, pa.int32())}
    # Only a cut right behind a long step lets somebody be forgotten whose next reading is near.
    behind = [int(row) + 1 for row in np.flatnonzero(steps_ms > TTL_MS) if draw(st.booleans())]
    return with_columns(table, columns), sorted([*cuts, *behind]), lateness_ms


def with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


@settings(max_examples=150)
@given(silences())
def test_when_a_silent_user_is_forgotten_does_not_depend_on_the_cuts(stream: tuple[pa.Table, list[int], int]) -> None:
    table, cuts, lateness_ms = stream

    in_pieces, refused = told(table, cuts, lateness_ms, TTL_MS)
    at_once, refused_at_once = told(table, [], lateness_ms, TTL_MS)

    assert in_pieces.equals(at_once)
    assert refused == refused_at_once


@settings(max_examples=150)
@given(silences())
def test_what_was_not_refused_gives_the_same_predictions_without_forgetting(
    stream: tuple[pa.Table, list[int], int],
) -> None:
    table, cuts, lateness_ms = stream
    found, refused = told(table, cuts, lateness_ms, TTL_MS)

    accepted = table.take(np.setdiff1d(np.arange(table.num_rows), refused))
    in_order = accepted.take(np.argsort(accepted.column("timestamp").to_numpy(), kind="stable"))

    assert found.equals(predict(in_order, []))


def heard(table: pa.Table, arrived_ms: int) -> pa.Table:
    """The same readings, all of which arrived at one time."""
    return with_columns(table, {"arrived_ms": pa.array(np.full(table.num_rows, arrived_ms))})


def two_users(other: pa.Table, *, at_ms: Sequence[int]) -> list[pa.Table]:
    """One user's 120 readings, then another's, one after the other, at these times of arrival."""
    return [heard(walk(120), 0), *[heard(other.slice(nth, 1), time_ms) for nth, time_ms in enumerate(at_ms)]]


def run(pieces: Sequence[pa.Table], lateness_ms: int = 0, ttl_ms: int = TTL_MS) -> list[Advance]:
    """What came of each piece."""
    stream, found, state = WindowStream(SumScorer()), [], None  # type: ignore[arg-type]
    for piece in pieces:
        found.append(stream.advance(state, piece, lateness_ms=lateness_ms, final=False, ttl_ms=ttl_ms))
        state = found[-1].state
    return found


def test_of_a_silent_user_the_clocks_alone_are_kept() -> None:
    found = run(two_users(walk(3, user=8), at_ms=[0, TTL_MS, TTL_MS + 1]))

    with pa.ipc.open_file(pa.BufferReader(found[-1].state)) as reader:
        kept = reader.read_all()
    assert [one.counts["users"] for one in found] == [1, 2, 2, 1]
    assert kept.select(["user", "latest_ms"]).to_pylist() == [
        {"user": 8, "latest_ms": 1_370_367_549_273 + 100},
        {"user": 7, "latest_ms": 1_370_367_549_273 + 119 * 50},
    ]
    assert kept.column("times_ms").null_count == kept.column("next_number").null_count == 1


def test_a_user_who_was_silent_begins_anew_and_says_nothing_twice() -> None:
    pieces = two_users(walk(3, user=8), at_ms=[0, TTL_MS + 1])
    longer = walk(400)
    again = heard(longer.slice(100), TTL_MS + 2)

    found = run([*pieces, again])

    # Of the same event whatever is new lies within a gap of 500 ms behind the last reading: ten readings.
    assert found[-1].refused.column("position").to_pylist() == list(range(30))
    assert found[-1].predictions.num_rows == predict(longer.slice(130), []).num_rows


def test_the_last_windows_of_a_silent_user_wait_for_nothing() -> None:
    found = run(two_users(walk(3, user=8), at_ms=[0, TTL_MS, TTL_MS + 1]), lateness_ms=2000)

    assert [one.predictions.num_rows for one in found] == [0, 0, 0, 2]


def test_a_clock_that_jumps_makes_nobody_silent() -> None:
    a_month_ms = 30 * 86_400_000
    at_ms = [0, a_month_ms, 0, a_month_ms, 1000, a_month_ms]

    found = run(two_users(walk(6, user=8), at_ms=at_ms), ttl_ms=2 * LONGEST_STEP_MS)

    assert found[-1].counts["users"] == 2


def test_producers_whose_clocks_differ_do_not_make_time_run_faster() -> None:
    skewed_ms = [second * 1000 + ahead_ms for second in range(15) for ahead_ms in (0, 5000)]
    other = with_columns(walk(30, user=8), {"arrived_ms": pa.array(skewed_ms)})

    found = run([heard(walk(120), 0), other])

    assert found[-1].counts["users"] == 2


def test_a_night_without_readings_makes_nobody_silent() -> None:
    pieces = [heard(walk(120), 0), heard(walk(140).slice(120), 12 * 3_600_000)]

    found = run(pieces, ttl_ms=LONGEST_STEP_MS)

    assert found[-1].refused.num_rows == 0


def test_who_comes_by_another_partition_after_a_silence_begins_anew() -> None:
    pieces = two_users(walk(3, user=8), at_ms=[0, TTL_MS + 1])
    back = with_columns(walk(140).slice(120), {"partition": pa.array(np.full(20, 3), pa.int32())})

    found = run([*pieces, back])

    assert found[-1].refused.num_rows == 10


def test_a_forgotten_user_takes_a_twentieth_of_the_room() -> None:
    users = np.repeat(np.arange(500), 60)
    table = events(users, np.tile(50 * np.arange(60), 500) + 10**12, np.zeros((len(users), 3)))
    other = walk(2, user=1000)

    found = run([heard(table, 0), heard(other.slice(0, 1), 1), heard(other.slice(1), TTL_MS + 2)])

    assert found[-1].counts["users"] == 1
    assert len(found[-1].state) < len(found[0].state) / 20


def test_a_state_of_the_time_before_silences_goes_on() -> None:
    first = run([walk(120)])[0]
    with pa.ipc.open_file(pa.BufferReader(first.state)) as reader:
        old = reader.read_all().drop_columns(["heard_ms", "partition"]).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, old.schema) as writer:
        writer.write_table(old)
    stream = WindowStream(SumScorer())  # type: ignore[arg-type]

    state = sink.getvalue().to_pybytes()
    second = stream.advance(state, walk(200).slice(120), lateness_ms=0, final=False, ttl_ms=TTL_MS)

    assert first.predictions.num_rows + second.predictions.num_rows == predict(walk(200), []).num_rows
