"""The notebook runs from top to bottom: on generated data with a model, on real recordings without one."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from pyspark.sql import SparkSession

from streamforest import application, cli
from tests import notebooks
from tests.homes import HISTORY, LIVE, RECORDINGS
from tests.streams import copy_users

ACTIVITY = application.load("activity", ["streamforest.applications"])
FIGURES_WITHOUT_A_MODEL = 7


@pytest.fixture(scope="module")
def generated(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with made-up readings of some users, damage included, and a published model."""
    home = tmp_path_factory.mktemp("notebook")
    ACTIVITY.inputs.generate(home / "data", 0)
    keep_every_third_user(home / "data" / LIVE)
    users = keep_every_third_user(home / "data" / HISTORY)
    for job in (["partition", "--split-at", users[-3]], ["train"], ["test"]):
        cli.run([job[0], "activity", *job[1:], "--home", str(home)], spark=spark)
    return home


def keep_every_third_user(path: Path) -> list[str]:
    """Lines of every third user, and those that begin with no user's number; the users, in order."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    users = [line.partition(",")[0] for line in lines]
    numbers = sorted({user for user in users if user.isdigit()}, key=int)[::3]
    kept = [line for line, user in zip(lines, users, strict=True) if user in numbers or not user.isdigit()]
    path.write_text("".join(kept), encoding="utf-8")
    return numbers


@pytest.mark.slow
def test_it_runs_on_generated_data_and_shows_the_models_errors(generated: Path) -> None:
    notebook = notebooks.execute(generated)

    text = notebooks.printed(notebook)
    assert "labelled readings: made up by the generator" in text
    assert all(reason in text for reason in ("kept", "empty", "truncated"))
    assert re.findall(r"model \w+ \(pipeline \w+\)", text) == ["model 1 (pipeline statistics)"]
    assert "there is no WISDM_at_v2.0_demographics.txt" in text
    assert len(notebooks.figures(notebook)) == FIGURES_WITHOUT_A_MODEL + 1


@pytest.mark.slow
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings beside the checkout")
def test_it_runs_on_recordings_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    copy_users(RECORDINGS / "WISDM51_20hz_raw.txt.xz", tmp_path / "data" / HISTORY, [1600, 1604])
    (tmp_path / "data" / "WISDM_at_v2.0_demographics.txt").write_text("1600,70,M,30,180\n", encoding="utf-8")

    notebook = notebooks.execute(tmp_path)

    text = notebooks.printed(notebook)
    assert "labelled readings: recorded" in text
    assert f"not counted: there is no {LIVE}" in text
    assert "1 people described, 1 of the 2 who recorded" in text
    assert "not scored: no model is published yet" in text
    assert len(notebooks.figures(notebook)) == FIGURES_WITHOUT_A_MODEL


def test_the_committed_copy_was_run_whole_and_holds_figures_not_rows() -> None:
    notebook = nbformat.read(notebooks.NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = notebooks.NOTEBOOK.read_text(encoding="utf-8")

    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(notebooks.figures(notebook)) == FIGURES_WITHOUT_A_MODEL + 1
    assert len(text) < 1_500_000
    assert not re.search(r"/(?:work|tmp|home|root)/", text)
    # A reading has a time of thirteen digits.
    assert not re.search(r"\b1[2-6]\d{11}\b", notebooks.printed(notebook))
    assert "error" not in {output.output_type for output in notebooks.outputs(notebook)}
