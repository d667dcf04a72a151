"""MLflow's store: one home's is never taken for another's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamforest import settings
from streamforest.model.tracking import Tracker


def test_the_store_of_one_home_is_not_the_next_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()

    for home in homes:
        Tracker(settings.load(home=home), "activity").connect()

    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert all((home / "model" / "mlflow.db").is_file() for home in homes)
