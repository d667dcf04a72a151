"""The store as one SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamforest.store import IDENTITY, Document, StoreUnreachable

_WAIT_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS flight_delay_classification_response (
    number INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS origin_dest_distances (
    origin TEXT NOT NULL, dest TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (origin, dest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS flight_delay_batch_results (
    day TEXT NOT NULL, number INTEGER NOT NULL, document TEXT NOT NULL, PRIMARY KEY (day, number)) WITHOUT ROWID;
"""


class SqliteStore:
    """Documents as JSON texts. Every call has a connection of its own, so that any thread may make it."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()

    def keep(self, answers: Sequence[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`."""
        sql = "INSERT INTO flight_delay_classification_response (uuid, document) VALUES (?, ?) ON CONFLICT DO NOTHING"
        with self._connection() as database:
            before = database.total_changes
            database.executemany(sql, [(one[IDENTITY], _text(one)) for one in answers])
            return database.total_changes - before

    def answer(self, identity: str) -> Document | None:
        """See :class:`streamforest.store.Store`."""
        sql = "SELECT document FROM flight_delay_classification_response WHERE uuid = ?"
        return self._first(sql, identity)

    def count(self) -> int:
        """See :class:`streamforest.store.Store`."""
        with self._connection() as database:
            return int(database.execute("SELECT count(*) FROM flight_delay_classification_response").fetchone()[0])

    def import_distances(self, distances: Iterable[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`."""
        rows = [(one["Origin"], one["Dest"], _text(one)) for one in distances]
        with self._connection() as database:
            database.executemany("INSERT OR REPLACE INTO origin_dest_distances VALUES (?, ?, ?)", rows)
        return len(rows)

    def distance(self, origin: str, dest: str) -> Document | None:
        """See :class:`streamforest.store.Store`."""
        return self._first("SELECT document FROM origin_dest_distances WHERE origin = ? AND dest = ?", origin, dest)

    def replace_batch(self, day: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`."""
        numbered = [(day, number, _text(one)) for number, one in enumerate(rows)]
        with self._connection() as database:
            database.execute("DELETE FROM flight_delay_batch_results WHERE day = ?", (day,))
            database.executemany("INSERT INTO flight_delay_batch_results VALUES (?, ?, ?)", numbered)
        return len(numbered)

    def batch(self, day: str) -> list[Document]:
        """See :class:`streamforest.store.Store`."""
        return self._all("SELECT document FROM flight_delay_batch_results WHERE day = ? ORDER BY number", day)

    def batch_days(self) -> list[str]:
        """See :class:`streamforest.store.Store`."""
        with self._connection() as database:
            return [
                day for (day,) in database.execute("SELECT DISTINCT day FROM flight_delay_batch_results ORDER BY day")
            ]

    def ping(self) -> None:
        """See :class:`streamforest.store.Store`."""
        with self._connection() as database:
            database.execute("SELECT 1")

    def close(self) -> None:
        """Nothing is held between calls."""

    def _first(self, sql: str, *values: object) -> Document | None:
        found = self._all(sql, *values)
        return found[0] if found else None

    def _all(self, sql: str, *values: object) -> list[Document]:
        with self._connection() as database:
            return [json.loads(text) for (text,) in database.execute(sql, values)]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all kept, or none where the block fails."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database:
                # Readers and the one writer do not wait for each other.
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    database.executescript(_TABLES)
                with database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            raise StoreUnreachable(f"the store {self._path} cannot be used ({error})", "free it") from None


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
