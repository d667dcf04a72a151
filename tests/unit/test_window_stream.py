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

from streamforest.ml.window_stream import WindowStream
from tests.readings import ORDER, SumScorer, events, predict, streams, walk

CLASSES = ("Jogging", "Sitting", "Walking", "Stairs")


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
