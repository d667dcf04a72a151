"""The gate: what may replace a champion."""

from __future__ import annotations

import math
from typing import Any

from streamforest.application import Gate
from streamforest.model.gate import judge

GATE = Gate(metric="macro_f1", tolerance=0.01, floor=0.5, recall_drop=0.2)


def metrics(macro_f1: float, sitting: float = 0.8) -> dict[str, Any]:
    return {"macro_f1": macro_f1, "classes": {"Sitting": {"recall": sitting}, "Walking": {"recall": 0.9}}}


def test_the_first_candidate_needs_the_floor_only() -> None:
    assert judge(GATE, metrics(0.5), None)["passed"]
    assert not judge(GATE, metrics(0.49), None)["passed"]


def test_a_candidate_within_the_tolerance_passes() -> None:
    assert judge(GATE, metrics(0.795), metrics(0.80))["passed"]


def test_a_worse_candidate_is_refused_with_both_values() -> None:
    verdict = judge(GATE, metrics(0.78), metrics(0.80))

    assert not verdict["passed"]
    assert (verdict["candidate"], verdict["champion"]) == (0.78, 0.80)
    assert verdict["reasons"] == ["macro_f1 0.7800 is more than 0.01 below the champion's 0.8000"]


def test_a_collapsed_class_is_refused_by_name() -> None:
    verdict = judge(GATE, metrics(0.85, sitting=0.5), metrics(0.80))

    assert verdict["reasons"] == ["recall of Sitting fell from 0.800 to 0.500"]


def test_a_missing_class_is_refused() -> None:
    candidate = {"macro_f1": 0.9, "classes": {"Walking": {"recall": 0.9}}}

    assert not judge(GATE, candidate, metrics(0.80))["passed"]


def test_not_a_number_is_refused() -> None:
    assert not judge(GATE, metrics(math.nan), None)["passed"]
