"""What the web pages keep: answers once each by UUID, distances of pairs of airports, and batch results by day.

:class:`Store` is the protocol. MongoDB keeps it in the platform, one SQLite file in the embedded mode; the same tests
hold for both. :func:`connect` chooses by the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Protocol
from urllib.parse import urlsplit

from streamforest.errors import Unreachable, WrongUsage

Document = dict[str, Any]
"""A JSON object: text keys; texts, numbers, booleans, nulls, lists and objects as values."""

IDENTITY = "UUID"
"""The field that tells one answer from another."""
LARGEST_INTEGER = 2**63 - 1


class StoreUnreachable(Unreachable):
    """The database does not answer, refuses the login, or cannot be written; nothing was kept."""


class Store(Protocol):
    """All methods may be called from any thread, and raise StoreUnreachable within a few seconds."""

    def keep(self, answers: Sequence[Mapping[str, Any]]) -> int:
        """Keep the answers whose UUID is not kept yet; returns how many were new.

        A repeated UUID changes nothing: the first answer is the one that was shown.
        """
        ...

    def answer(self, identity: str) -> Document | None:
        """The answer with this UUID."""
        ...

    def count(self) -> int:
        """How many answers are kept."""
        ...

    def import_distances(self, distances: Iterable[Mapping[str, Any]]) -> int:
        """Put in place ``Origin``, ``Dest``, ``Distance`` (miles) and ``GreatCircle`` of each pair; returns how many.

        A pair that is there is replaced.
        """
        ...

    def distance(self, origin: str, dest: str) -> Document | None:
        """The row of a pair, in this direction."""
        ...

    def replace_batch(self, day: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Make ``rows`` the batch results of a day (``YYYY-MM-DD``), in place of earlier ones; returns how many."""
        ...

    def batch(self, day: str) -> list[Document]:
        """The batch results of a day, in the order in which they were given."""
        ...

    def batch_days(self) -> list[str]:
        """Days with batch results, ascending."""
        ...

    def ping(self) -> None:
        """Return if it can be used."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def connect(address: str) -> Store:
    """The store at ``mongodb://...`` (``mongodb+srv`` too) or ``sqlite:///FILE``; nothing is asked of it yet.

    Raises:
        WrongUsage: another kind of address.
    """
    kind = urlsplit(address).scheme
    if kind in ("mongodb", "mongodb+srv"):
        from streamforest.store.mongo import MongoStore

        return MongoStore(address)
    if kind == "sqlite" and address.startswith("sqlite:///"):
        from streamforest.store.sqlite import SqliteStore

        return SqliteStore(address.removeprefix("sqlite:///"))
    raise WrongUsage(
        "STREAMFOREST_STORE is no address of a store", "give mongodb://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"
    )


def keepable(document: Mapping[str, Any]) -> bool:
    """Whether every store can hold the document: finite numbers, integers of 64 bits, no field named like an operator.

    What comes off a topic may be anything, and must not stop the keeper.
    """
    return isinstance(document.get(IDENTITY), str) and 0 < len(document[IDENTITY]) <= 128 and _plain(document)


def _plain(value: object, depth: int = 0) -> bool:
    if depth > 8:
        return False
    if isinstance(value, Mapping):
        return all(map(_name, value)) and all(_plain(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return all(_plain(one, depth + 1) for one in value)
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, float):
        return isfinite(value)
    return not isinstance(value, int) or abs(value) <= LARGEST_INTEGER


def _name(key: object) -> bool:
    return isinstance(key, str) and key != "" and not key.startswith("$") and "\0" not in key and _encodable(key)


def _encodable(text: str) -> bool:
    """False for half a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
