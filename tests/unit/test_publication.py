"""Models on disk: pointers, the swap, and what damage does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamforest.errors import BadInput
from streamforest.model.publication import ModelFolder, Version


def add(models: ModelFolder, version: str, pipeline: str = "statistics") -> Version:
    def write(folder: Path) -> None:
        (folder / "metadata").mkdir(parents=True)
        (folder / "metadata" / "part-00000").write_text(version)

    def describe(checksum: str) -> Version:
        return Version(
            version=version, pipeline=pipeline, run_id=f"run{version}", checksum=checksum, serving={}, created="now"
        )

    return models.add_candidate(version, write, describe)


def judged(models: ModelFolder, version: str) -> Version:
    verdict = {"passed": True, "metric": "macro_f1", "candidate": 0.9, "reasons": []}
    return models.judged(add(models, version), verdict)


def test_a_candidate_does_not_touch_the_champion(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)
    models.publish(judged(models, "1"))

    add(models, "2")

    champion = models.champion()
    assert champion is not None
    assert champion.version == "1"
    assert (models.trained_pipeline / "metadata" / "part-00000").read_text() == "1"


def test_promotion_swaps_the_published_path_and_says_what_it_is(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)
    models.publish(judged(models, "1"))

    models.publish(judged(models, "2"))

    created = json.loads((tmp_path / ".created").read_text())
    assert (created["version"], created["run_id"], created["metric"]) == ("2", "run2", {"macro_f1": 0.9})
    assert (models.trained_pipeline / "metadata" / "part-00000").read_text() == "2"


def test_each_pipeline_has_its_own_candidate(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)
    add(models, "1", "lags")
    add(models, "2", "statistics")

    assert [models.candidate(name).version for name in ("lags", "statistics")] == ["1", "2"]


@pytest.mark.parametrize("damage", ["changed", "removed", "added"])
def test_a_damaged_file_is_told_with_its_cure(tmp_path: Path, damage: str) -> None:
    models = ModelFolder(tmp_path)
    version = add(models, "1")
    part = models.path(version) / "metadata" / "part-00000"
    if damage == "changed":
        part.write_text("x")
    elif damage == "removed":
        part.unlink()
    else:
        part.with_name("part-00001").write_text("x")

    with pytest.raises(BadInput, match=r"damaged .*train and test again"):
        models.verify(version)


def test_no_model_is_told_with_its_cure(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)

    with pytest.raises(BadInput, match="run the job train"):
        models.candidate("statistics")
    with pytest.raises(BadInput, match="run the jobs train and test"):
        models.require_champion()


def test_a_damaged_pointer_is_told(tmp_path: Path) -> None:
    (tmp_path / ".created").write_text("{")

    with pytest.raises(BadInput, match="damaged"):
        ModelFolder(tmp_path).champion()


def test_old_versions_go_but_those_that_a_pointer_names_stay(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)
    champion = models.publish(judged(models, "1"))
    for number in range(2, 20):
        add(models, str(number))

    kept = {path.name for path in (tmp_path / "versions").iterdir() if path.is_dir()}
    assert len(kept) == 11
    assert champion.version in kept
    assert models.find("2") is None


def test_versions_to_go_back_to_are_kept(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path)
    models.publish(judged(models, "2"), [judged(models, "1").version])
    for number in range(3, 20):
        add(models, str(number))

    assert [one.version for one in models.versions()][:2] == ["1", "2"]
    assert models.linked() == "2"
