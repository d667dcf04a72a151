"""The promises of a store, for each kind of it: SQLite always, MongoDB where an engine can run its image."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforest.errors import Unreachable, WrongUsage
from streamforest.store import Store, connect, keepable
from tests.mongo import running


def answer(number: int, **fields: object) -> dict[str, Any]:
    return {
        "UUID": f"u-{number}",
        "Prediction": number % 4,
        "Probabilities": [0.25] * 4,
        "at": {"sparkMs": 1},
        **fields,
    }


@pytest.fixture(scope="module")
def mongo() -> Iterator[str]:
    with running() as found:
        yield found.address


@pytest.fixture(params=["sqlite", "mongo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path}/folder/store.db"
    else:
        base = request.getfixturevalue("mongo")
        address = base.replace("agile_data_science", f"tests_{uuid.uuid4().hex[:12]}")
    opened = connect(address)
    yield opened
    opened.close()


def test_an_answer_is_kept_as_it_is(store: Store) -> None:
    given_ = answer(1, Unseen=[], Distance=None, text="<b>ä</b>", large=2**62, yes=True)

    assert store.keep([given_]) == 1

    assert store.answer("u-1") == given_
    assert store.answer("u-2") is None


def test_a_repeated_answer_changes_nothing(store: Store) -> None:
    store.keep([answer(1), answer(2)])

    again = store.keep([answer(2, Prediction=9), answer(3), answer(3, Prediction=9)])

    assert again == 1
    assert store.count() == 3
    assert [store.answer(f"u-{number}") for number in (2, 3)] == [answer(2), answer(3)]
    assert store.keep([]) == 0


def test_an_operator_is_no_query(store: Store) -> None:
    store.keep([answer(1)])

    found = [store.answer(text) for text in ('{"$gt": ""}', "$gt", "' OR '1'='1")]

    assert found == [None, None, None]


def test_distances_are_imported_again_and_again(store: Store) -> None:
    pairs = [{"Origin": "JFK", "Dest": "LAX", "Distance": 2475.0, "GreatCircle": False}]
    store.import_distances(pairs)

    count = store.import_distances(
        [{**pairs[0], "Distance": 2470.0}, {"Origin": "LAX", "Dest": "JFK", "Distance": 2475.0, "GreatCircle": False}]
    )

    assert count == 2
    assert store.distance("JFK", "LAX") == {**pairs[0], "Distance": 2470.0}
    assert store.distance("JFK", "SFO") is None


def test_a_day_is_replaced_as_a_whole(store: Store) -> None:
    store.replace_batch("2013-12-01", [answer(number) for number in range(5)])
    store.replace_batch("2013-12-02", [answer(9)])

    written = store.replace_batch("2013-12-01", [answer(3), answer(1)])

    assert written == 2
    assert store.batch("2013-12-01") == [answer(3), answer(1)]
    assert store.batch("2013-12-02") == [answer(9)]
    assert store.batch("2013-12-03") == []
    assert store.batch_days() == ["2013-12-01", "2013-12-02"]


def test_what_is_kept_is_there_for_the_next_one(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/store.db"
    connect(address).keep([answer(1)])

    assert connect(address).answer("u-1") == answer(1)


@pytest.mark.parametrize(
    "address", ["mongodb://someone:secret@127.0.0.1:9/agile_data_science", "sqlite:////proc/none/store.db"]
)
def test_a_store_that_is_away_is_told_in_one_line_without_its_password(address: str) -> None:
    with closing(connect(address)) as away, pytest.raises(Unreachable) as told:
        away.ping()

    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("address", ["", "store.db", "sqlite:store.db", "redis://127.0.0.1", "mongodb://"])
def test_another_address_is_refused_without_being_told(address: str) -> None:
    with pytest.raises(WrongUsage):
        connect(address)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=5).filter(lambda key: "\0" not in key), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=4))
def test_what_is_keepable_is_kept_equal(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]) -> None:
    document = {**fields, "UUID": "u"}
    kept = connect(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")

    if keepable(document):
        kept.keep([document])
        assert kept.answer("u") == document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"UUID": 1},
        {"UUID": ""},
        {"UUID": "u" * 129},
        {"UUID": "u", "$where": "1"},
        {"UUID": "u", "a": {"$gt": ""}},
        {"UUID": "u", "a": [2**63]},
        {"UUID": "u", "a": float("inf")},
        {"UUID": "u", "a": "\ud800"},
        {"UUID": "u", "a": [[[[[[[[[[[]]]]]]]]]]]},
    ],
    ids=str,
)
def test_what_a_store_could_not_hold_is_not_keepable(document: dict[str, Any]) -> None:
    assert not keepable(document)
