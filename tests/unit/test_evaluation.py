"""Metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from streamforest.ml.evaluation import Evaluation, flatten

CLASSES = ("Jogging", "Sitting", "Stairs", "Walking")


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=80))
def test_metrics_equal_those_of_another_library(pairs: list[tuple[str, str]]) -> None:
    labels, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    present = sorted(set(labels))

    found = Evaluation(CLASSES, metrics.confusion_matrix(labels, predicted, labels=list(CLASSES)))

    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(
        metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=list(CLASSES), zero_division=0)
    for index, name in enumerate(CLASSES):
        values = found.by_class()[name]
        assert [values[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            [column[index] for column in expected]
        )


def test_flat_names_are_joined_by_dots() -> None:
    found = Evaluation(("Walking",), np.array([[3]]))

    assert flatten(found.metrics())["classes.Walking.f1"] == 1.0
