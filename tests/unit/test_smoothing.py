"""Causal smoothing and the choice of a class."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamforest.ml import window_scoring
from streamforest.ml.smoothing import decide, smooth


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_smoothing_is_the_mean_of_the_run_so_far(breaks: list[bool], windows: int) -> None:
    number = np.cumsum(np.where(breaks, 5, 1))
    probabilities = np.random.default_rng(len(breaks)).dirichlet([1, 1, 1], len(breaks))

    found = smooth(probabilities, number, windows)

    run_start = 0
    for row in range(len(breaks)):
        if row and number[row] != number[row - 1] + 1:
            run_start = row
        first = max(run_start, row - windows + 1)
        np.testing.assert_allclose(found[row], probabilities[first : row + 1].mean(axis=0))


def test_length_one_changes_nothing() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1], 5)

    assert np.array_equal(smooth(probabilities, np.arange(5), 1), probabilities)


def test_no_rows() -> None:
    assert smooth(np.empty((0, 3)), np.zeros(0, dtype=np.int64), 15).shape == (0, 3)


def test_a_tie_goes_to_the_first_class_whatever_the_last_bits_say() -> None:
    assert decide(np.array([[0.5, 0.5 + 1e-16, 0.0], [0.2, 0.3, 0.5]])).tolist() == [0, 2]


def test_a_probability_that_is_no_number_gives_no_class() -> None:
    probabilities = [[0.2, 0.8], [math.nan, math.nan], [0.9, 0.1]]
    group = pa.table(
        {
            "event": [0, 0, 1],
            "timestamp": [1000, 2000, 9000],
            "position": [0, 20, 0],
            "probabilities": pa.array(probabilities, pa.list_(pa.float64())),
        }
    )

    found = window_scoring._Smoothing(["Sitting", "Walking"], 20, 15).run(group)

    assert found.column("predicted").to_pylist() == ["Walking", None, "Sitting"]
    assert found.column("smoothed").to_pylist() == ["Walking", None, "Sitting"]
