"""The store in MongoDB."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamforest.errors import WrongUsage
from streamforest.store import IDENTITY, Document, StoreUnreachable

DATABASE = "agile_data_science"
RESPONSES = "flight_delay_classification_response"
DISTANCES = "origin_dest_distances"
BATCH = "flight_delay_batch_results"
_CHOOSE_MS = 2_000
_ANSWER_MS = 5_000
_PIECE = 1_000
_DUPLICATE = 11_000


class MongoStore:
    """Collections of one database, by default :data:`DATABASE`. Indexes are made at the first use that succeeds."""

    def __init__(self, address: str) -> None:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        # The address holds a password: messages name the host alone.
        self._host = urlsplit(address).netloc.rpartition("@")[2]
        try:
            self._client: MongoClient[Document] = MongoClient(
                address,
                serverSelectionTimeoutMS=_CHOOSE_MS,
                connectTimeoutMS=_CHOOSE_MS,
                socketTimeoutMS=_ANSWER_MS,
                appname="streamforest",
            )
            self._database = self._client.get_default_database(DATABASE)
        except (PyMongoError, ValueError) as error:
            raise WrongUsage(
                f"the address of MongoDB has no meaning ({type(error).__name__})", "see STREAMFOREST_STORE"
            ) from None
        self._indexed = False
        self._lock = threading.Lock()

    def keep(self, answers: Sequence[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`."""
        from pymongo import UpdateOne
        from pymongo.errors import BulkWriteError

        first: dict[str, Document] = {}
        for answer in answers:
            first.setdefault(answer[IDENTITY], {name: value for name, value in answer.items() if name != IDENTITY})
        if not first:
            return 0
        upserts = [
            UpdateOne({IDENTITY: identity}, {"$setOnInsert": document}, upsert=True)
            for identity, document in first.items()
        ]
        with self._errors():
            try:
                return self._database[RESPONSES].bulk_write(upserts, ordered=False).upserted_count
            except BulkWriteError as error:
                # Another writer was first: that is what an upsert on a unique index says then.
                if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                    raise
                return int(error.details["nUpserted"])

    def answer(self, identity: str) -> Document | None:
        """See :class:`streamforest.store.Store`."""
        with self._errors():
            return self._database[RESPONSES].find_one({IDENTITY: {"$eq": identity}}, {"_id": False})

    def count(self) -> int:
        """See :class:`streamforest.store.Store`."""
        with self._errors():
            return self._database[RESPONSES].count_documents({})

    def import_distances(self, distances: Iterable[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`."""
        from pymongo import ReplaceOne

        pairs = {(one["Origin"], one["Dest"]): dict(one) for one in distances}
        replaced = [
            ReplaceOne({"Origin": origin, "Dest": dest}, document, upsert=True)
            for (origin, dest), document in pairs.items()
        ]
        with self._errors():
            for at in range(0, len(replaced), _PIECE):
                self._database[DISTANCES].bulk_write(replaced[at : at + _PIECE], ordered=False)
        return len(replaced)

    def distance(self, origin: str, dest: str) -> Document | None:
        """See :class:`streamforest.store.Store`."""
        with self._errors():
            wanted = {"Origin": {"$eq": origin}, "Dest": {"$eq": dest}}
            return self._database[DISTANCES].find_one(wanted, {"_id": False})

    def replace_batch(self, day: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """See :class:`streamforest.store.Store`. The new rows are there before the old ones go."""
        from bson import ObjectId

        edition = ObjectId()
        numbered = [{**row, "_day": day, "_number": at, "_edition": edition} for at, row in enumerate(rows)]
        with self._errors():
            collection = self._database[BATCH]
            for at in range(0, len(numbered), _PIECE):
                collection.insert_many(numbered[at : at + _PIECE])
            collection.delete_many({"_day": day, "_edition": {"$ne": edition}})
        return len(numbered)

    def batch(self, day: str) -> list[Document]:
        """See :class:`streamforest.store.Store`. While a day is replaced, its older edition is read."""
        hidden = {"_id": False, "_day": False, "_number": False, "_edition": False}
        with self._errors():
            collection = self._database[BATCH]
            oldest = collection.find_one({"_day": {"$eq": day}}, sort=[("_edition", 1)])
            if oldest is None:
                return []
            return list(collection.find({"_day": day, "_edition": oldest["_edition"]}, hidden).sort("_number", 1))

    def batch_days(self) -> list[str]:
        """See :class:`streamforest.store.Store`."""
        with self._errors():
            return sorted(self._database[BATCH].distinct("_day"))

    def ping(self) -> None:
        """See :class:`streamforest.store.Store`. A real read, since a server answers a ping before any login."""
        with self._errors():
            self._database[RESPONSES].find_one({}, {"_id": True})

    def close(self) -> None:
        """See :class:`streamforest.store.Store`."""
        self._client.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from pymongo.errors import PyMongoError

        try:
            self._index()
            yield
        except PyMongoError as error:
            # The first sentence; what follows is the driver's view of all servers.
            cause = str(error).partition(",")[0].partition(" (configured")[0]
            raise StoreUnreachable(f"MongoDB at {self._host} does not serve ({cause})", "start it") from None

    def _index(self) -> None:
        with self._lock:
            if self._indexed:
                return
            self._database[RESPONSES].create_index(IDENTITY, unique=True)
            self._database[DISTANCES].create_index([("Origin", 1), ("Dest", 1)], unique=True)
            self._database[BATCH].create_index([("_day", 1), ("_edition", 1), ("_number", 1)])
            self._indexed = True
