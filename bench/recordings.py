"""Who recorded the raw history, and copies of it in which users are chosen, repeated and renumbered."""

from __future__ import annotations

import gzip
import lzma
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from streamforest.applications.activity import reading

SPLIT_AT = 1_000_000
"""Users of a renumbered history below it are for training."""


@dataclass(frozen=True)
class Person:
    """A user of the raw history."""

    user: int
    rows: int
    activities: tuple[str, ...]


def people(source: Path) -> list[Person]:
    """All users with accepted records, by number."""
    rows: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part in reading.split(source):
        for batch in reading.rows(part):
            columns = pa.table({name: batch.column(name) for name in ("userId", "action")}).drop_null()
            for found in columns.group_by(["userId", "action"]).aggregate([([], "count_all")]).to_pylist():
                rows[found["userId"]][found["action"]] += found["count_all"]
    return [Person(user, sum(found.values()), tuple(sorted(found))) for user, found in sorted(rows.items())]


def in_order(persons: Iterable[Person], seed: int) -> list[Person]:
    """Those with most activities first, at random among equals: what is dealt from this order gets its share of each.

    Hard classes are recorded by few users, so a cut by chance alone may leave one side without them.
    """
    given = sorted(persons, key=lambda person: person.user)
    order = np.random.default_rng(seed).permutation(len(given))
    return sorted((given[index] for index in order), key=lambda person: -len(person.activities))


def share(ordered: Sequence[Person], part: float) -> list[Person]:
    """``part`` (0 to 1) of the persons, evenly spaced in their order; at least one."""
    chosen = [person for index, person in enumerate(ordered) if int((index + 1) * part) > int(index * part)]
    return chosen or list(ordered[:1])


def deal(ordered: Sequence[Person], folds: int) -> list[list[Person]]:
    """The persons dealt to ``folds`` hands in turn."""
    return [list(ordered[fold::folds]) for fold in range(folds)]


def numbering(training: Sequence[Person], testing: Sequence[Person], copies: int = 1) -> dict[int, list[int]]:
    """New numbers of each user, one a copy: below :data:`SPLIT_AT` for training, from there on for testing."""
    numbers: dict[int, list[int]] = {}
    for start, side in ((1, training), (SPLIT_AT, testing)):
        for index, person in enumerate(side):
            numbers[person.user] = [start + copy * len(side) + index for copy in range(copies)]
    return numbers


def write_split(source: Path, target: Path, ordered: Sequence[Person], folds: int = 5) -> None:
    """The persons' lines as a plain text file, in which every ``folds``-th person is for testing."""
    testing, *training = deal(ordered, folds)
    write(source, target, numbering([person for hand in training for person in hand], testing))


def write(source: Path, target: Path, numbers: Mapping[int, Sequence[int]]) -> None:
    """Lines of ``source`` whose first field is in ``numbers``, once for each new number, as a plain text file."""
    texts = {str(user).encode(): [str(number).encode() for number in new] for user, new in numbers.items()}
    copies = max(map(len, texts.values()))
    with target.open("wb") as out:
        for copy in range(copies):
            with _opened(source) as lines:
                for line in lines:
                    user, comma, rest = line.partition(b",")
                    new = texts.get(user)
                    if new is not None and copy < len(new):
                        out.write(new[copy] + comma + rest)


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".xz":
        return cast("BinaryIO", lzma.open(path))
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
