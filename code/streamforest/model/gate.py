"""The gate: may a candidate replace the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from streamforest.application import Gate
from streamforest.ml.evaluation import flatten


def judge(gate: Gate, candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> dict[str, Any]:
    """The verdict: ``passed``, ``metric``, both values (``champion`` null at first), and ``reasons`` against it.

    Both metrics come from the same test rows, as :func:`streamforest.ml.evaluation.report` gives them.
    """
    mine = flatten(candidate)
    value = mine[gate.metric]
    reasons = []
    if not math.isfinite(value) or value < gate.floor:
        reasons.append(f"{gate.metric} {value:.4f} is below the floor {gate.floor}")
    theirs = flatten(champion) if champion is not None else None
    if theirs is not None:
        if value < theirs[gate.metric] - gate.tolerance:
            best = theirs[gate.metric]
            reasons.append(f"{gate.metric} {value:.4f} is more than {gate.tolerance} below the champion's {best:.4f}")
        reasons += _collapsed(gate, mine, theirs)
    return {
        "passed": not reasons,
        "metric": gate.metric,
        "candidate": value,
        "champion": theirs[gate.metric] if theirs is not None else None,
        "reasons": reasons,
    }


def _collapsed(gate: Gate, mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    reasons = []
    for name, recall in theirs.items():
        if not (name.startswith("classes.") and name.endswith(".recall")):
            continue
        if mine.get(name, 0.0) < recall - gate.recall_drop:
            label = name.removeprefix("classes.").removesuffix(".recall")
            reasons.append(f"recall of {label} fell from {recall:.3f} to {mine.get(name, 0.0):.3f}")
    return reasons
