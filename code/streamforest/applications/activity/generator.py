"""Made-up recordings in the layout of the Actitracker files, with the dirt that those are known for.

There are several users, each with an own gait, pocket and sensor; some recorded few activities. Users are numbered so
that the default ``--split-at 1607`` leaves about three quarters of the rows on the training side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamforest import files, synthetic
from streamforest.applications.activity import gait

HISTORY, LIVE = "WISDM_at_v2.0_raw.txt", "WISDM_at_v2.0_unlabeled_raw.txt"
NO_LABEL = "No Label"

_TRAINING_USERS, _TESTING_USERS = 27, 9
_SHARES = {"Walking": 0.36, "Sitting": 0.18, "Jogging": 0.16, "Standing": 0.12, "LyingDown": 0.1, "Stairs": 0.08}
_HISTORY_ROWS_A_USER, _LIVE_ROWS_A_USER = 9_000, 11_000
_LONGEST_RECORDING = 3_600
_START_MS = 1_370_367_549_273
_HUGE = 5.9e20


class Recording(NamedTuple):
    """One user doing one thing; ``values`` is (rows, 3)."""

    user: int
    activity: str
    timestamps_ms: npt.NDArray[np.int64]
    values: gait.Signal


def generate(folder: Path, seed: int) -> None:
    """Write both raw files, about 300,000 labelled and 400,000 unlabelled lines; a seed always gives the same bytes.

    Each file is written aside and then takes its name. ``synthetic.is_synthetic`` tells them from real ones.
    """
    for name, rows_a_user in ((HISTORY, _HISTORY_ROWS_A_USER), (LIVE, _LIVE_ROWS_A_USER)):
        rng = np.random.default_rng([seed, rows_a_user])
        people = np.random.default_rng(seed)
        lines = [
            line
            for user in _users(people)
            for recording in _recordings(user, gait.make_person(people), rows_a_user, rng)
            for line in _lines(recording if name == HISTORY else recording._replace(activity=NO_LABEL), rng)
        ]
        _soil(lines, rng)
        first = f"{lines[0].split(',')[0]},{'Standing' if name == HISTORY else NO_LABEL},{_START_MS - 60_000}"
        content = "\n".join([f"{first},0,{synthetic.MARK},0;", *lines])
        with files.aside(folder / name) as path:
            path.write_text(content.removesuffix(";"), encoding="utf-8", newline="")


def _users(rng: np.random.Generator) -> list[int]:
    training = rng.choice(np.arange(1500, 1607), _TRAINING_USERS, replace=False)
    testing = rng.choice(np.arange(1607, 1800), _TESTING_USERS, replace=False)
    return [*sorted(training.tolist()), *sorted(testing.tolist())]


def _recordings(user: int, person: gait.Person, rows: int, rng: np.random.Generator) -> Iterator[Recording]:
    """Recordings of one user on the user's own clock, with pauses; now and then the clock was set back."""
    clock_ms = _START_MS + int(rng.integers(0, 30 * 86_400_000))
    for activity, count in _agenda(rows, rng):
        timestamps_ms = (
            clock_ms + np.arange(count) * gait.SAMPLE_MS + np.round(rng.normal(0, 2, count)).astype(np.int64)
        )
        values = gait.record(person, activity, count, rng)
        kept = np.ones(count, dtype=bool)
        if rng.random() < 0.3:
            start = int(rng.integers(0, count))
            kept[start : start + int(rng.integers(5, 400))] = False
        yield Recording(user, activity, timestamps_ms[kept], values[kept])
        pause_ms = int(rng.integers(20_000, 600_000))
        clock_ms += count * gait.SAMPLE_MS + pause_ms
        if rng.random() < 0.05:
            clock_ms -= int(rng.integers(0, 86_400_000))


def _agenda(rows: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Activities and lengths of recordings; every fifth user did not record all activities."""
    known = list(_SHARES)
    if rng.random() < 0.2:
        known = known[: int(rng.integers(1, 4))]
    shares = np.array([_SHARES[activity] for activity in known]) * rng.uniform(0.7, 1.3, len(known))
    counts = (rows * rng.uniform(0.8, 1.2) * shares / shares.sum()).astype(int)
    agenda = []
    for activity, count in zip(known, counts, strict=True):
        pieces = int(count // _LONGEST_RECORDING) + int(rng.integers(1, 3))
        agenda += [(activity, int(count // pieces))] * pieces
    return [agenda[index] for index in rng.permutation(len(agenda))]


def _lines(recording: Recording, rng: np.random.Generator) -> list[str]:
    """The recording as text; about 3 of 1,000 rows hold a value outside ±20 m/s², up to 5.9e20."""
    values = recording.values.astype(np.float32)
    wild = np.flatnonzero(rng.random(len(values)) < 0.003)
    values[wild, rng.integers(0, 3, len(wild))] = np.minimum(10 ** rng.uniform(1.4, 21, len(wild)), _HUGE)
    columns = [pa.array(recording.timestamps_ms), *(pa.array(column) for column in values.T)]
    texts = [pc.cast(column, pa.string()) for column in columns]
    head = f"{recording.user},{recording.activity}"
    lines = pc.binary_join_element_wise(pa.scalar(head), *texts, ",")
    return list(pc.binary_join_element_wise(lines, pa.scalar(""), ";").to_pylist())


def _soil(lines: list[str], rng: np.random.Generator) -> None:
    """Replace a few lines in place by what the real files are known to hold."""
    for share, change in _DIRT:
        for index in np.flatnonzero(rng.random(len(lines) - 1) < share).tolist():
            lines[index : index + 2] = change(lines[index], lines[index + 1])


_DIRT: tuple[tuple[float, Callable[[str, str], tuple[str, str]]], ...] = (
    # share of lines, and what becomes of such a line and its successor
    (0.004, lambda line, after: (f"{line.split(',', 1)[0]},,,,,;", after)),
    (0.0004, lambda line, after: (f"{','.join(line.split(',')[:2])},0,0,0,0;", after)),
    (0.001, lambda line, after: (line.replace(";", ",;"), after)),
    (0.0004, lambda line, after: (after, line)),
    (0.0004, lambda line, after: (f"{line}\n{line}", after)),
    (0.0004, lambda line, after: (f"{line}\n", after)),
    (0.0002, lambda line, after: (f"{line}\r", after)),
    (0.0003, lambda line, after: (line + after, "")),
    (0.0001, lambda line, after: (line.rpartition(",")[0] + after, "")),
    (0.0001, lambda line, after: (line[: len(line) // 2], after)),
)
