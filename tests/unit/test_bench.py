from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as command
from bench import batch, live, load, messages, process, quality, recordings, scale, workspace
from bench.recordings import Person
from bench.table import render
from streamforest.ml.evaluation import Evaluation, add

PEOPLE = st.lists(
    st.builds(
        Person,
        user=st.integers(0, 10**6),
        rows=st.integers(1, 10**4),
        activities=st.sampled_from([("Walking",), ("Sitting", "Walking"), ("Jogging", "Sitting", "Walking")]),
    ),
    min_size=2,
    max_size=40,
    unique_by=lambda person: person.user,
)


def test_a_table_has_columns_of_one_width_and_a_dash_for_nothing() -> None:
    table = render(["name", "rows", "share"], [["first", 12_345, 0.5], ["second one", 1, None]])

    assert table.splitlines() == [
        "name          rows  share",
        "----------  ------  -----",
        "first       12,345  0.500",
        "second one       1      -",
    ]


def test_a_table_refuses_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        render(["a", "b"], [["only one"]])


@given(persons=PEOPLE, folds=st.integers(2, 6), seed=st.integers(0, 9))
def test_dealing_gives_each_user_to_one_fold_and_each_fold_its_share_of_each_kind(
    persons: list[Person], folds: int, seed: int
) -> None:
    hands = recordings.deal(recordings.in_order(persons, seed), folds)

    assert sorted(person.user for hand in hands for person in hand) == sorted(person.user for person in persons)
    for count in (1, 2, 3):
        of_kind = [sum(len(person.activities) == count for person in hand) for hand in hands]
        assert max(of_kind) - min(of_kind) <= 1


@given(persons=PEOPLE, part=st.floats(0.05, 1.0))
def test_a_share_holds_its_part_of_the_users(persons: list[Person], part: float) -> None:
    chosen = recordings.share(persons, part)

    assert len(chosen) == max(1, int(len(persons) * part))
    assert len({person.user for person in chosen}) == len(chosen)


@given(persons=PEOPLE, copies=st.integers(1, 4))
def test_numbering_keeps_users_copies_and_sides_apart(persons: list[Person], copies: int) -> None:
    testing, *training = recordings.deal(persons, 2)

    numbers = recordings.numbering(training[0], testing, copies)

    assert max(Counter(number for new in numbers.values() for number in new).values()) == 1
    assert all(len(new) == copies for new in numbers.values())
    assert all(number < recordings.SPLIT_AT for person in training[0] for number in numbers[person.user])
    assert all(number >= recordings.SPLIT_AT for person in testing for number in numbers[person.user])


def test_a_written_history_repeats_chosen_users_under_their_new_numbers(tmp_path: Path) -> None:
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("7,Walking,1,0,0,0;\n8,Walking,1,0,0,0;\n7,Walking,51,0,0,0;\nno comma\n", encoding="utf-8")

    recordings.write(source, target, {7: [1, 2]})

    assert target.read_text(encoding="utf-8").splitlines() == [
        "1,Walking,1,0,0,0;",
        "1,Walking,51,0,0,0;",
        "2,Walking,1,0,0,0;",
        "2,Walking,51,0,0,0;",
    ]


def test_people_are_counted_with_their_activities(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("8,Walking,1,0,0,0;\n7,Sitting,1,0,0,0;\n7,Walking,51,0,0,0;\n9,,,,,;\n", encoding="utf-8")

    found = recordings.people(source)

    assert found == [Person(7, 2, ("Sitting", "Walking")), Person(8, 1, ("Walking",))]


def test_a_workspace_leaves_the_home_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    raw = tmp_path / "data" / "WISDM_at_v2.0_raw.txt"
    raw.write_text("7,Walking,1,0,0,0;\n", encoding="utf-8")
    (tmp_path / "data" / ".bench-99999999").mkdir()

    with workspace.opened(str(tmp_path)) as place:
        (place.home("one") / "model").mkdir()
        assert place.source == raw
        assert not place.synthetic

    assert list(tmp_path.rglob("*")) == [tmp_path / "data", raw]


@given(users=st.integers(1, 9), ticks=st.integers(1, 900), turn_ticks=st.integers(1, 400))
def test_the_windows_of_a_load_are_those_of_each_turn(users: int, ticks: int, turn_ticks: int) -> None:
    turns = Counter(
        (place, (tick + place * turn_ticks // users) // turn_ticks) for place in range(users) for tick in range(ticks)
    )

    windows = sum(max((readings - 100) // 20 + 1, 0) for readings in turns.values())

    assert load.Plan(users, ticks, turn_ticks).windows() == (windows, len(turns))


def test_growth_compares_the_last_quarter_with_the_second() -> None:
    samples = [dict.fromkeys(load.FIGURES, float(value)) for value in (1, 1, 5, 5, 7, 9, 10, 10)]

    found = load._quarters(samples)

    assert found["memory_mb"] == {"second_quarter": 5.0, "last_quarter": 10.0, "growth": 2.0, "largest": 10.0}
    assert load._quarters(samples[:3])["lag_records"]["growth"] is None


def test_what_several_processes_share_counts_once() -> None:
    assert process.resident_bytes(os.getpid()) > 10 * 2**20
    assert process.resident_bytes(2**22 + 1) == 0


def test_batch_reports_ratios_of_what_it_timed(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {
        name: [batch.Timed({"partition": 1.0, "train": train, "test": 1.0}, 1000, 0.5)]
        for name, train in (("reference", 10.0), ("lags", 2.0), ("statistics", 1.0))
    }

    result = json.loads(json.dumps(batch._report(measured, {"reference": 30.0, "statistics": 1.0})))

    assert result["seconds"] == {"reference": 12.0, "lags": 4.0, "statistics": 3.0}
    assert result["speedup"] == 4.0
    assert result["features_speedup"] == 30.0
    assert result["rows"] == 1000
    assert "reference" in capsys.readouterr().out


def test_quality_pools_the_counts_of_all_folds() -> None:
    first = Evaluation(("Jogging", "Walking"), np.array([[8, 2], [0, 10]]))
    second = Evaluation(("Sitting", "Walking"), np.array([[5, 0], [5, 0]]))
    folds = [{"predicted": first, "smoothed": first}, {"predicted": second, "smoothed": second}]

    result = json.loads(json.dumps(quality._result(add(folds), folds)))

    assert result["accuracy"] == pytest.approx(23 / 30)
    assert result["smoothed"]["accuracy"] == pytest.approx(23 / 30)
    assert result["fold_mean"]["accuracy"] == pytest.approx((0.9 + 0.5) / 2)
    assert result["classes"]["Walking"]["support"] == 15


def test_scale_reports_growth_from_size_one_to_four() -> None:
    one = {"rows": 10, "seconds": 2.0, "jobs": {}, "driver_memory": {}}
    found = {"1": one, "4": {**one, "rows": 40, "seconds": 7.0}}

    result = json.loads(json.dumps(scale._result(found)))

    assert result["growth"] == {"1": 2.0, "4": 7.0}
    assert result["growth_1_to_4"] == 3.5


def test_a_latency_runs_from_the_last_reading_of_a_window_to_its_prediction(tmp_path: Path) -> None:
    ticks = np.arange(live.WARM_S * 20 + 200)
    timestamp, sent_ms = messages.START_MS + ticks * messages.GRID_MS, 5_000_000 + ticks * messages.GRID_MS
    ends = ticks[(ticks >= live.WARM_S * 20) & ((ticks - 99) % 20 == 0)]
    heard = np.column_stack([np.zeros_like(ends), timestamp[ends], sent_ms[ends] + 700])
    np.savez(tmp_path / "heard.npz", heard=np.concatenate([heard[1:], heard[1:] + np.array([0, 0, 300])]))

    found = live._latencies((np.zeros_like(ticks), timestamp, sent_ms), tmp_path / "heard.npz", sent_ms)

    assert found["latency_ms"] == {"p50": 700.0, "p95": 700.0, "p99": 700.0}
    assert (found["windows"], found["missing"]) == (len(ends), 1)
    assert found["messages_per_s"] == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "NAME"),
        (["speed"], "speed"),
        (["batch", "--rounds", "0"], "--rounds 0"),
        (["batch", "--users", "2"], "--users 2"),
        (["quality", "--folds", "1"], "--folds 1"),
        (["quality", "--folds", "5", "--users", "4"], "--users 4"),
        (["scale", "--sizes", "1.5"], "--sizes 1.5"),
        (["scale", "--sizes", "0"], "--sizes 0"),
        (["stream", "--rows", "0"], "--rows 0"),
        (["stream", "--users", "0"], "0 is not a number of users"),
        (["stream", "--seconds", "-1"], "--seconds -1"),
        (["stream", "--seconds", "soon"], "soon"),
        (["batch", "--unknown"], "--unknown"),
    ],
)
def test_wrong_usage_is_one_line_and_64(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(argv)

    error = capsys.readouterr().err
    assert code == 64
    assert told in error
    assert len(error.splitlines()) == 1


def test_a_home_that_is_no_folder_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["quality", "--home", str(tmp_path / "missing")])

    assert code == 65
    assert "missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["batch", "stream", "scale", "quality"])
def test_every_benchmark_takes_a_home(name: str) -> None:
    options = command.parser().parse_args([name, "--home", "here"])

    assert isinstance(options, argparse.Namespace)
    assert options.home == "here"
