"""The gate: what may replace a champion."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamforest.application import Gate
from streamforest.ml.evaluation import NO_CLASS, Evaluation
from streamforest.model.gate import judge, refuse

GATE = Gate(metric="macro_f1", tolerance=0.01, floor=0.5, recall_drop=0.2)
CLASSES = ("Sitting", "Walking")


def scored(sitting: list[float], walking: list[float], rows: int = 1000) -> dict[str, Evaluation]:
    """Evaluations of as many users as there are recalls, each with ``rows`` rows of each class."""
    parts = {}
    for user, recalls in enumerate(zip(sitting, walking, strict=True)):
        hits = [round(rows * recall) for recall in recalls]
        parts[user] = np.array([[hits[0], rows - hits[0]], [rows - hits[1], hits[1]]])
    return {"predicted": Evaluation(CLASSES, sum(parts.values(), np.zeros((2, 2), dtype=np.int64)), parts)}


def alike(recall: float, users: int = 8) -> dict[str, Evaluation]:
    return scored([recall] * users, [recall] * users)


def test_the_first_candidate_needs_the_floor_only() -> None:
    assert judge(GATE, alike(0.5), None)["passed"]
    assert not judge(GATE, alike(0.49), None)["passed"]


def test_a_candidate_within_the_tolerance_passes() -> None:
    assert judge(GATE, alike(0.795), alike(0.80))["passed"]


def test_a_worse_candidate_is_refused_with_both_values() -> None:
    verdict = judge(GATE, alike(0.78), alike(0.80))

    assert not verdict["passed"]
    assert (verdict["candidate"], verdict["champion"]) == (pytest.approx(0.78), pytest.approx(0.80))
    assert verdict["reasons"] == ["macro_f1 0.7800 is more than 0.01 below the champion's 0.8000"]


def test_a_candidate_that_is_better_by_the_luck_of_a_few_users_is_refused() -> None:
    champion = scored([0.8] * 8, [0.8] * 8)
    lucky = scored([0.99, 0.99, 0.99, 0.7, 0.7, 0.7, 0.7, 0.7], [0.8] * 8)

    verdict = judge(GATE, lucky, champion)

    assert verdict["candidate"] > verdict["champion"]
    assert verdict["interval"][0] < -GATE.tolerance < verdict["difference"] < verdict["interval"][1]
    assert [reason for reason in verdict["reasons"] if "may be noise" in reason] == verdict["reasons"]
    assert not verdict["passed"]


def test_a_candidate_that_is_better_with_nearly_every_user_passes() -> None:
    champion = scored([0.8, 0.7, 0.6, 0.9] * 2, [0.8] * 8)
    better = scored([0.85, 0.76, 0.7, 0.91] * 2, [0.8] * 8)

    verdict = judge(GATE, better, champion)

    assert verdict["passed"]
    assert 0 < verdict["interval"][0] < verdict["difference"] < verdict["interval"][1]
    assert verdict["units"] == 8


def test_the_interval_is_of_the_same_users_for_both_models() -> None:
    """Users differ far more than models do: drawn apart, the difference would drown."""
    hard_and_easy = [0.55, 0.99] * 4
    champion = scored(hard_and_easy, hard_and_easy)
    better = scored([recall + 0.005 for recall in hard_and_easy], [recall + 0.005 for recall in hard_and_easy])

    low, high = judge(GATE, better, champion)["interval"]

    assert 0 < low <= high < 0.01


def test_the_same_model_again_has_no_difference_and_passes() -> None:
    found = scored([0.9, 0.6, 0.7], [0.8, 0.5, 0.9])

    verdict = judge(GATE, found, found)

    assert (verdict["passed"], verdict["interval"]) == (True, [0, 0])


def test_without_units_the_difference_alone_decides() -> None:
    no_parts = {"predicted": replace(alike(0.8)["predicted"], parts={})}

    verdict = judge(GATE, no_parts, no_parts)

    assert (verdict["passed"], verdict["interval"]) == (True, None)


def test_a_variants_metric_is_the_variants() -> None:
    gate = replace(GATE, metric="smoothed.macro_f1")
    candidate = {**alike(0.7), "smoothed": alike(0.9)["predicted"]}
    champion = {**alike(0.7), "smoothed": alike(0.8)["predicted"]}

    verdict = judge(gate, candidate, champion)

    assert verdict["interval"] == [pytest.approx(0.1), pytest.approx(0.1)]


def test_a_collapsed_class_is_refused_by_name() -> None:
    verdict = judge(GATE, scored([0.6] * 8, [0.99] * 8), scored([0.81] * 8, [0.7] * 8))

    assert verdict["reasons"] == ["recall of Sitting fell from 0.810 to 0.600"]


def test_a_class_that_it_was_not_taught_is_named() -> None:
    verdict = judge(GATE, alike(0.9), alike(0.8), lacking=["Stairs"])

    assert verdict["reasons"] == ["it was not taught Stairs, which the champion knows"]


def test_predictions_without_class_are_counted_and_refused() -> None:
    confusion = np.array([[0, 3, 0], [0, 97, 0], [0, 0, 100]])
    found = {"predicted": Evaluation((NO_CLASS, "Sitting", "Walking"), confusion.T.copy())}

    verdict = judge(GATE, found, None)

    assert not verdict["passed"]
    assert "have no class" in verdict["reasons"][0] or "have no class" in verdict["reasons"][-1]


def test_not_a_number_is_refused() -> None:
    class Broken(Evaluation):
        def metrics(self) -> dict[str, Any]:
            return {"macro_f1": math.nan, "classes": {}}

    found = {"predicted": Broken(CLASSES, alike(0.9)["predicted"].confusion)}

    assert not judge(GATE, found, None)["passed"]
    assert not judge(GATE, found, alike(0.8))["passed"]


def test_what_cannot_be_scored_is_refused_with_its_reason() -> None:
    verdict = refuse(GATE, "it cannot be scored: no readable forest")

    assert (verdict["passed"], verdict["reasons"]) == (False, ["it cannot be scored: no readable forest"])
    assert verdict.keys() == judge(GATE, alike(0.9), None).keys()
