"""The promise on the kernel: predictions do not depend on how the input was cut, repeated or shuffled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from streamforest.application import Advance
from streamforest.ml.clocks import LONGEST_STEP_MS
from streamforest.ml.window_stream import WindowStream
from tests.readings import SumScorer, events

STEADY, IRREGULAR = (50, 50, 50, 51, 49), (50, 50, 50, 60, 40, 0, 300, 700, 5000)
CLASSES = ("Jogging", "Sitting", "Walking", "Stairs")
ORDER = [("userId", "ascending"), ("timestamp", "ascending")]


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


@settings(max_examples=150)
@given(streams())
def test_predictions_do_not_depend_on_the_cuts(stream: tuple[pa.Table, list[int], int]) -> None:
    table, cuts, lateness_ms = stream

    in_pieces, at_once = predict(table, cuts, lateness_ms), predict(table, [], lateness_ms)

    assert in_pieces.equals(at_once)


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.sampled_from([1000, 3000]))
def test_disorder_within_the_lateness_changes_nothing(seed: int, lateness_ms: int) -> None:
    rng = np.random.default_rng(seed)
    in_order = walk(400, seed=seed)
    arrival = in_order.column("timestamp").to_numpy() + rng.integers(0, lateness_ms + 1, 400)
    shuffled = in_order.take(np.argsort(arrival, kind="stable"))

    assert predict(shuffled, [100, 101, 250], lateness_ms).equals(predict(in_order, []))


@given(st.integers(0, 399), st.integers(1, 40))
def test_a_replay_adds_nothing(start: int, length: int) -> None:
    table = walk(400)
    replayed = pa.concat_tables([table, table.slice(start, length), table])

    assert predict(replayed, [400, 400 + length]).equals(predict(table, []))


def test_a_window_a_second_from_the_fifth_on() -> None:
    found = predict(walk(200), [])

    assert found.column("timestamp").to_pylist() == [1_370_367_549_273 + 4950 + 1000 * nth for nth in range(6)]


def test_a_window_is_due_with_the_reading_at_its_end() -> None:
    stream = WindowStream(SumScorer())  # type: ignore[arg-type]

    early = stream.advance(None, walk(99), lateness_ms=0, final=False)
    due = stream.advance(early.state, walk(100).slice(99), lateness_ms=0, final=False)

    assert early.predictions.num_rows == 0
    assert due.predictions.num_rows == 1


def test_no_window_crosses_a_gap() -> None:
    before, after = walk(150), walk(150, start_ms=1_370_367_549_273 + 150 * 50 + 501)

    both = predict(pa.concat_tables([before, after]), [])

    assert both.equals(pa.concat_tables([predict(before, []), predict(after, [])]))


def test_users_do_not_meet() -> None:
    one, other = walk(200, user=1, seed=1), walk(200, user=2, seed=2)
    interleaved = pa.concat_tables([one, other]).take(np.arange(400).reshape(2, 200).T.reshape(-1))

    together = predict(interleaved, [77, 230])

    assert together.equals(pa.concat_tables([predict(one, []), predict(other, [])]))


def test_late_readings_are_refused_by_position_and_the_first_of_a_time_counts() -> None:
    table = events(
        np.array([1, 1, 1, 1, 2]), np.array([1000, 2000, 1999, 2000, 5]), np.arange(15, dtype=np.float64).reshape(5, 3)
    )

    result = WindowStream(SumScorer()).advance(None, table, lateness_ms=0, final=False)  # type: ignore[arg-type]

    assert result.refused.to_pylist() == [{"position": 2, "reason": "late"}]
    assert result.counts["duplicates"] == 1


def test_what_was_flushed_is_final() -> None:
    stream = WindowStream(SumScorer())  # type: ignore[arg-type]
    table = walk(120)
    flushed = stream.advance(None, table, lateness_ms=2000, final=True)

    again = stream.advance(flushed.state, table.slice(100, 10), lateness_ms=2000, final=False)

    assert flushed.predictions.num_rows == 2
    assert again.refused.num_rows == 10


def test_a_silent_user_keeps_little() -> None:
    stream = WindowStream(SumScorer())  # type: ignore[arg-type]

    short = stream.advance(None, walk(200), lateness_ms=0, final=False)
    long = stream.advance(None, walk(20_000), lateness_ms=0, final=False)

    assert len(long.state) <= len(short.state) + 1024


TTL_MS = 20_000


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


_LIKELY = (0.2, 0.4, 0.2, 0.15, 0.03, 0.01, 0.006, 0.002, 0.002)


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


def run(pieces: Sequence[pa.Table], lateness_ms: int = 0) -> list[Advance]:
    """What came of each piece, with a time to live of 20 s."""
    stream, found, state = WindowStream(SumScorer()), [], None  # type: ignore[arg-type]
    for piece in pieces:
        found.append(stream.advance(state, piece, lateness_ms=lateness_ms, final=False, ttl_ms=TTL_MS))
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
    stream, state = WindowStream(SumScorer()), None  # type: ignore[arg-type]

    for piece in two_users(walk(6, user=8), at_ms=at_ms):
        found = stream.advance(state, piece, lateness_ms=0, final=False, ttl_ms=2 * LONGEST_STEP_MS)
        state = found.state

    assert found.counts["users"] == 2


def test_producers_whose_clocks_differ_do_not_make_time_run_faster() -> None:
    skewed_ms = [second * 1000 + ahead_ms for second in range(15) for ahead_ms in (0, 5000)]
    other = with_columns(walk(30, user=8), {"arrived_ms": pa.array(skewed_ms)})

    found = run([heard(walk(120), 0), other])

    assert found[-1].counts["users"] == 2


def test_a_night_without_readings_makes_nobody_silent() -> None:
    pieces = [heard(walk(120), 0), heard(walk(140).slice(120), 12 * 3_600_000)]
    stream = WindowStream(SumScorer())  # type: ignore[arg-type]

    first = stream.advance(None, pieces[0], lateness_ms=0, final=False, ttl_ms=LONGEST_STEP_MS)
    second = stream.advance(first.state, pieces[1], lateness_ms=0, final=False, ttl_ms=LONGEST_STEP_MS)

    assert second.refused.num_rows == 0


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


def test_values_beyond_the_limit_count_as_the_limit() -> None:
    table = walk(100)
    wild = table.set_column(2, "x", pa.array(np.full(100, 5.9e20)))
    capped = table.set_column(2, "x", pa.array(np.full(100, 20.0)))

    assert predict(wild, []).equals(predict(capped, []))


def swapped(pieces: Sequence[tuple[SumScorer, pa.Table]]) -> pa.Table:
    """Predictions of pieces of a stream, each by a version of its own, which column ``version`` names."""
    state, found = None, []
    for scorer, piece in pieces:
        result = WindowStream(scorer).advance(state, piece, lateness_ms=0, final=False)  # type: ignore[arg-type]
        state = result.state
        versions = pa.repeat(pa.scalar(scorer.version), result.predictions.num_rows)
        found.append(result.predictions.append_column("version", versions))
    return pa.concat_tables(found).drop_columns(["arrived_ms"]).sort_by(ORDER)


@settings(max_examples=60)
@given(streams(), st.lists(st.sampled_from(["1", "2", "3"]), min_size=13, max_size=13))
def test_across_swaps_each_prediction_is_that_of_its_own_version(
    stream: tuple[pa.Table, list[int], int], versions: list[str]
) -> None:
    table, cuts, _ = stream
    bounds = [0, *cuts, table.num_rows]
    pieces = [table.slice(start, end - start) for start, end in itertools.pairwise(bounds)]
    scorers = [SumScorer(version=version, classes=CLASSES[: 1 + int(version)]) for version in versions]
    mixed = swapped(list(zip(scorers, pieces, strict=False)))

    # The same by another way: every user alone, and a version's turn from its first window on to the next one's.
    by_version = {scorer.version: scorer for scorer in scorers}
    for user in set(mixed.column("userId").to_pylist()):
        predicted = mixed.filter(pc.equal(mixed.column("userId"), user))
        alone = table.filter(pc.equal(table.column("userId"), user))
        times_ms, named = (predicted.column(name).to_pylist() for name in ("timestamp", "version"))
        turns = dict(zip(times_ms, named, strict=True))
        assert swapped(turn_by_turn(alone, turns, by_version)).equals(predicted)


def turn_by_turn(
    readings: pa.Table, turns: dict[int, str], scorers: dict[str, SumScorer]
) -> list[tuple[SumScorer, pa.Table]]:
    """A user's readings one by one, each with the version of the first window that ends at it or before."""
    times_ms, pieces = sorted(turns), []
    for row in range(readings.num_rows):
        reading = readings.slice(row, 1)
        due = [time_ms for time_ms in times_ms if time_ms <= reading.column("timestamp")[0].as_py()]
        version = turns[due[-1]] if due else next(iter(scorers))
        pieces.append((scorers[version], reading))
    return pieces


def test_the_smoothing_starts_anew_with_another_version() -> None:
    table = walk(400)
    new = SumScorer(version="2")

    found = swapped([(SumScorer(), table.slice(0, 200)), (new, table.slice(200))])

    alone = predict(table, [], scorer=replace(new, smoothing_windows=1))
    at = found.column("version").to_pylist().index("2")
    assert found.slice(at, 1).drop_columns(["version"]).equals(alone.slice(at, 1))


def test_a_version_that_comes_back_finds_what_it_said_of_a_user_who_was_silent_meanwhile() -> None:
    table, other = walk(400), walk(200, user=8)
    pieces = [(SumScorer(), table.slice(0, 250)), (SumScorer(version="2"), other), (SumScorer(), table.slice(250))]

    found = swapped(pieces)

    one = found.filter(pc.equal(found.column("userId"), 7)).drop_columns(["version"])
    assert one.equals(predict(table, []))


def test_a_model_with_other_classes_goes_on_from_the_same_windows() -> None:
    table = walk(400)
    old, new = SumScorer(), SumScorer(classes=("Jogging", "Walking"), version="2")
    first = WindowStream(old).advance(None, table.slice(0, 200), lateness_ms=0, final=False)  # type: ignore[arg-type]

    second = WindowStream(new).advance(first.state, table.slice(200), lateness_ms=0, final=False)  # type: ignore[arg-type]

    times_ms = [part.predictions.column("timestamp").to_pylist() for part in (first, second)]
    assert times_ms[0] + times_ms[1] == predict(table, []).column("timestamp").to_pylist()
    assert set(second.predictions.column("action").to_pylist()) <= set(new.classes)
