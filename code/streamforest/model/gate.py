"""The gate: may a candidate replace the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from streamforest.application import Gate
from streamforest.ml.evaluation import NO_CLASS, Evaluation, flatten, report
from streamforest.model.difference import interval

Evaluations = Mapping[str, Evaluation]


def judge(
    gate: Gate, candidate: Evaluations, champion: Evaluations | None, *, lacking: Sequence[str] = ()
) -> dict[str, Any]:
    """The verdict, with what spoke against the candidate in ``reasons``.

    ``passed``; ``metric`` and its values ``candidate`` and ``champion``; ``difference`` (candidate minus champion), its
    ``interval`` (lower and upper end) and the number of ``units`` drawn for it. What needs a champion is null without
    one, the interval also where the scored rows name no unit.

    Args:
        gate: the rules.
        candidate: evaluations of the test rows, as :func:`streamforest.ml.evaluation.evaluate` gives them.
        champion: those of the champion on the same rows.
        lacking: classes that the champion learnt and the candidate did not.
    """
    mine = flatten(report(candidate))
    value = mine[gate.metric]
    theirs = flatten(report(champion)) if champion is not None else None
    best = theirs[gate.metric] if theirs is not None else None
    found = interval(candidate, champion, gate.metric, gate.confidence) if champion is not None else None
    reasons = _alone(gate, value, candidate["predicted"], lacking)
    if theirs is not None and best is not None:
        if not value >= best - gate.tolerance:
            reasons.append(f"{gate.metric} {value:.4f} is more than {gate.tolerance} below the champion's {best:.4f}")
        elif found and not found.low >= -gate.tolerance:
            reasons.append(
                f"{gate.metric} {value:.4f} may be noise beside the champion's {best:.4f}: the difference lies between "
                f"{found.low:+.4f} and {found.high:+.4f}, and {-gate.tolerance:+} is the least"
            )
        reasons += _collapsed(gate, mine, theirs)
    return {
        "passed": not reasons,
        "metric": gate.metric,
        "candidate": value,
        "champion": best,
        "difference": value - best if best is not None else None,
        "interval": [found.low, found.high] if found else None,
        "units": found.units if found else None,
        "reasons": reasons,
    }


def refuse(gate: Gate, reason: str) -> dict[str, Any]:
    """The verdict on a candidate that could not be scored."""
    empty = dict.fromkeys(("candidate", "champion", "difference", "interval", "units"))
    return {"passed": False, "metric": gate.metric, **empty, "reasons": [reason]}


def _alone(gate: Gate, value: float, predicted: Evaluation, lacking: Sequence[str]) -> list[str]:
    """What speaks against the candidate whatever the champion does."""
    reasons = []
    if not math.isfinite(value) or value < gate.floor:
        reasons.append(f"{gate.metric} {value:.4f} is below the floor {gate.floor}")
    if NO_CLASS in predicted.classes:
        silent = int(predicted.confusion[:, predicted.classes.index(NO_CLASS)].sum())
        reasons.append(f"{silent:,} of {predicted.rows:,} predictions have no class: probabilities that are no numbers")
    if lacking:
        reasons.append(f"it was not taught {', '.join(lacking)}, which the champion knows")
    return reasons


def _collapsed(gate: Gate, mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    reasons = []
    for name, recall in theirs.items():
        if not (name.startswith("classes.") and name.endswith(".recall")):
            continue
        if mine.get(name, 0.0) < recall - gate.recall_drop:
            label = name.removeprefix("classes.").removesuffix(".recall")
            reasons.append(f"recall of {label} fell from {recall:.3f} to {mine.get(name, 0.0):.3f}")
    return reasons
