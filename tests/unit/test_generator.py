"""Made-up recordings: the same for a seed, read like real ones, dirty like real ones, and marked."""

from __future__ import annotations

import gzip
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from streamforest import synthetic
from streamforest.applications.activity import gait, generator, reading

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "wisdm51"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    generator.generate(made, 7)
    return made


@pytest.fixture(scope="module")
def records(folder: Path) -> pd.DataFrame:
    parts = reading.split(folder / generator.HISTORY)
    read: pd.DataFrame = pa.Table.from_batches([batch for part in parts for batch in reading.rows(part)]).to_pandas()
    return read


def test_a_seed_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    generator.generate(tmp_path / "same", 7)
    generator.generate(tmp_path / "other", 8)

    for name in (generator.HISTORY, generator.LIVE):
        assert (tmp_path / "same" / name).read_bytes() == (folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_only_the_two_raw_files_are_left(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([generator.HISTORY, generator.LIVE])


def test_nearly_all_records_are_accepted_and_the_known_dirt_is_there(records: pd.DataFrame) -> None:
    refused = Counter(records["reason"].dropna())

    assert 250_000 < len(records) < 400_000
    assert 0.001 < sum(refused.values()) / len(records) < 0.02
    assert {"blank", "empty", "truncated", "zero"} <= set(refused)
    assert records["line"].duplicated().any()
    assert records[["x", "y", "z"]].abs().max().max() > 1e15
    read = records.dropna(subset="userId")
    assert read.duplicated(["userId", "timestamp"]).any()
    assert (read.groupby("userId")["timestamp"].diff() < 0).any()


def test_both_sides_of_the_default_split_hold_every_activity(records: pd.DataFrame) -> None:
    read = records.dropna(subset="userId")
    training = read["userId"] < 1607

    assert read["userId"].between(1500, 1800).all()
    assert 0.65 < training.mean() < 0.85
    for side in (read[training], read[~training]):
        assert set(side["action"]) == set(gait.ACTIVITIES)
    assert read.groupby("userId")["action"].nunique().min() < len(gait.ACTIVITIES)


def test_the_live_file_names_no_activity(folder: Path) -> None:
    parts = reading.split(folder / generator.LIVE)
    read = pa.Table.from_batches([batch for part in parts for batch in reading.rows(part)]).to_pandas()

    assert set(read["action"].dropna()) == {"No Label"}
    assert 300_000 < len(read) < 500_000


@pytest.mark.parametrize("activity", gait.ACTIVITIES)
def test_a_signal_is_gravity_and_steps_at_the_steps_frequency(activity: str) -> None:
    rng = np.random.default_rng(3)

    values = gait.record(gait.make_person(rng), activity, 2_000, rng)

    magnitude = np.linalg.norm(values, axis=1)
    power = np.abs(np.fft.rfft(magnitude - magnitude.mean())) ** 2
    step_hz = np.fft.rfftfreq(len(magnitude), gait.SAMPLE_MS / 1000)[power.argmax()]
    moving = {"Walking": (1.4, 2.4), "Jogging": (2.0, 3.2), "Stairs": (1.1, 2.0)}
    if activity in moving:
        low, high = moving[activity]
        assert low < step_hz < high or low < step_hz / 2 < high
    else:
        assert magnitude.mean() == pytest.approx(gait.GRAVITY, abs=1)
        assert magnitude.std() < 1


@pytest.mark.parametrize(("suffix", "opener"), [("", Path.open), (".xz", lzma.open), (".gz", gzip.open)])
def test_the_mark_survives_a_new_name_and_an_archive(
    folder: Path, tmp_path: Path, suffix: str, opener: type[lzma.LZMAFile]
) -> None:
    copy = tmp_path / f"renamed.txt{suffix}"
    with opener(copy, "wb") as file:
        file.write((folder / generator.LIVE).read_bytes()[:100_000])

    assert synthetic.is_synthetic(copy)


@pytest.mark.parametrize("content", [b"", b"33,Walking,5,1,2,3;\n", b"\xfd7zXZ"])
def test_other_files_are_not_marked(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_bytes(content)
    (tmp_path / "raw.txt.xz").write_bytes(content)

    assert not synthetic.is_synthetic(tmp_path / "raw.txt")
    assert not synthetic.is_synthetic(tmp_path / "raw.txt.xz")
    assert not synthetic.is_synthetic(tmp_path / "missing")


def test_the_real_recordings_are_not_marked() -> None:
    path = RECORDINGS / "WISDM51_20hz_raw.txt.xz"
    if not path.exists():
        pytest.skip(f"no recordings at {path}")

    assert not synthetic.is_synthetic(path)
