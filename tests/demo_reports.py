"""Reports of a demo as the jobs would give them, without running one: made-up figures for tests of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamforest import application as contract
from streamforest.embedded.comparison import Comparison
from streamforest.embedded.evidence import DemoReport, Trained
from streamforest.embedded.excerpt import Excerpt, Predicted
from streamforest.ml.evaluation import Evaluation, report

ACTIVITY = contract.load("activity", ["streamforest.applications"])
CLASSES = ("Jogging", "LyingDown", "Sitting", "Stairs", "Standing", "Walking")


def evaluation(seed: int, classes: Sequence[str] = CLASSES) -> Evaluation:
    """Mostly right, with numbers of four digits."""
    size = len(classes)
    counts = np.random.default_rng(seed).integers(0, 150, (size, size)) + np.diag(np.arange(size) * 300 + 700)
    return Evaluation(tuple(classes), counts)


def scored(seed: int, *, passed: bool, synthetic: bool = True, classes: Sequence[str] = CLASSES) -> dict[str, Any]:
    """What the job test reports."""
    found = {"predicted": evaluation(seed, classes), "smoothed": evaluation(seed + 1, classes)}
    metrics = report(found)
    return {
        "version": str(seed),
        "windows": found["predicted"].rows,
        "metrics": metrics,
        "confusion": {
            name: {"classes": list(each.classes), "counts": each.confusion.tolist()} for name, each in found.items()
        },
        "unseen_classes": [],
        "run_id": f"{seed:032x}",
        "synthetic": synthetic,
        "gate": {
            "passed": passed,
            "metric": "smoothed.macro_f1",
            "candidate": metrics["smoothed"]["macro_f1"],
            "champion": None if passed else 0.9,
            "reasons": [] if passed else ["smoothed.macro_f1 0.7000 is more than 0.01 below the champion's 0.9000"],
        },
    }


def minute(actions: Sequence[str] = ("Walking", "Stairs", "Standing", "Sitting"), key: str = "userId 1601") -> Excerpt:
    """A minute at 20 Hz, each of the actions for an equal part of it."""
    seconds = [index / 20 for index in range(1200)]
    lively = [1 + 3 * (int(second / 15) % 2 == 0) for second in seconds]
    series = {
        name: [
            rest + size * math.sin(2 * math.pi * rate * second) * (1 + 0.3 * math.sin(second))
            for second, size in zip(seconds, lively, strict=True)
        ]
        for name, rest, rate in (("x", 0.6, 1.9), ("y", 9.2, 2.1), ("z", -1.3, 0.8))
    }
    share = 55 / len(actions)
    predictions = [
        Predicted(
            5.0 + index, actions[min(int(index / share), len(actions) - 1)], 0.45 + 0.5 * abs(math.sin(index / 7))
        )
        for index in range(55)
    ]
    assert ACTIVITY.signal
    return Excerpt(key=key, signal=ACTIVITY.signal, seconds=seconds, series=series, predictions=predictions)


def demo_report(home: Path, *, synthetic: bool = True) -> DemoReport:
    """A demo that held."""
    train = {"windows": 10_286, "version": "7", "run_id": "d5f3c58a7ea94c4c99f6c7f9617ff3de", "synthetic": synthetic}
    return DemoReport(
        application=ACTIVITY,
        home=home,
        elsewhere=True,
        history=[home / "data" / "WISDM_at_v2.0_raw.txt"],
        live=home / "data" / "WISDM_at_v2.0_unlabeled_raw.txt.xz",
        partition={
            "rows_read": 309_094,
            "rows_refused": {"empty": 1_215, "blank": 243},
            "rows_training": 231_018,
            "rows_testing": 76_448,
            "users_training": 27,
            "users_testing": 9,
            "synthetic": synthetic,
        },
        pipelines={
            "lags": Trained(train=train, test=scored(1, passed=False, synthetic=synthetic)),
            "statistics": Trained(train=train, test=scored(3, passed=True, synthetic=synthetic)),
        },
        sample={"rows_refused": {"zero": 171}, "rows": 16_606, "keys": 15, "synthetic": synthetic},
        produce={"rows": 16_606},
        consume={
            "refused": {"late": 12},
            "predictions": 734,
            "versions": ["4"],
            "duplicates": 3,
            "latency_ms": {"p50": 2_900.0, "p95": 4_100.0, "p99": 4_200.0},
        },
        batch={"predictions": 734},
        messages={"HAR": 16_606, "HAR.predictions": 734, "HAR.invalid": 12},
        comparison=Comparison(equal=734, missing=0, added=0, different=0, repeated=0),
        excerpt=minute(),
        predictions=home / "predictions",
        seconds=132.4,
        generated="2026-11-22T05:42:00+0000",
        revision="0123456789abcdef0123456789abcdef01234567",
    )
