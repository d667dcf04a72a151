"""The promise, checked: the stream's predictions against those of the batch path on the same events."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TOLERANCE = 1e-9
"""Numbers no further apart are equal: a sum's order may differ between the two."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Numbers of predictions."""

    equal: int
    missing: int
    """Of the batch path and not of the stream."""
    added: int
    """Of the stream and not of the batch path."""
    different: int
    """Of both, with another content."""
    repeated: int
    """More than once in the stream's record, or in the batch path's."""

    @property
    def holds(self) -> bool:
        """Whether both sets are the same, and not for being empty."""
        return self.equal > 0 and not (self.missing or self.added or self.different or self.repeated)

    def __str__(self) -> str:
        return (
            f"{self.equal:,} equal, {self.missing:,} missing, {self.added:,} added, "
            f"{self.different:,} different, {self.repeated:,} repeated"
        )


def read(paths: Iterable[Path], schema: pa.Schema) -> pa.Table:
    """Rows of parquet files with the columns and types of ``schema``; without files, no rows."""
    tables = [pq.read_table(path, columns=schema.names).cast(schema) for path in sorted(paths)]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def compare(stream: pa.Table, batch: pa.Table, identity: Sequence[str]) -> Comparison:
    """Both tables have the same columns; those of ``identity`` tell one prediction from another."""
    streamed, repeated = _by_identity(stream, identity)
    expected, twice = _by_identity(batch, identity)
    shared = streamed.keys() & expected.keys()
    equal = sum(_equal(streamed[key], expected[key]) for key in shared)
    return Comparison(
        equal=equal,
        missing=len(expected.keys() - shared),
        added=len(streamed.keys() - shared),
        different=len(shared) - equal,
        repeated=repeated + twice,
    )


def _by_identity(table: pa.Table, identity: Sequence[str]) -> tuple[dict[tuple[Any, ...], dict[str, Any]], int]:
    rows = table.to_pylist()
    keyed = {tuple(row[name] for name in identity): row for row in rows}
    counts = Counter(tuple(row[name] for name in identity) for row in rows)
    return keyed, sum(count - 1 for count in counts.values())


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(_same(value, other[name]) for name, value in one.items())


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
    return one == other
