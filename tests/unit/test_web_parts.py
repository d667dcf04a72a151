"""What the pages are made of: requests as they are typed, answers as they come, who waits, who was heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforest.web import asking
from streamforest.web.activity import Board
from streamforest.web.asking import FIELDS, understand
from streamforest.web.channel import Received
from streamforest.web.desk import Desk, Status
from streamforest.web.keeper import document
from tests.offices import CATALOGUE, GOOD


@given(fields=st.dictionaries(st.sampled_from([*FIELDS, "x"]), st.text() | st.integers() | st.floats() | st.none()))
def test_whatever_is_typed_is_a_request_or_has_errors(fields: dict[str, Any]) -> None:
    asked = understand(fields, CATALOGUE)

    assert (asked.event is None) == bool(asked.errors)
    assert all(len(text) < 400 for text in asked.errors.values())


@given(delay=st.floats(asking.LEAST_DELAY, asking.MOST_DELAY), number=st.integers(1, 9999))
def test_what_is_within_bounds_is_understood(delay: float, number: int) -> None:
    asked = understand({**GOOD, "DepDelay": f"{delay:.6f}", "FlightNum": number}, CATALOGUE)

    assert asked.event is not None, asked.errors
    assert asked.event["DepDelay"] == pytest.approx(delay, abs=1e-6)
    assert asked.event["FlightNum"] == str(number)


@given(value=st.binary() | st.text().map(lambda text: json.dumps({"UUID": text}).encode()))
def test_whatever_stands_on_the_topic_is_an_answer_or_none(value: bytes) -> None:
    found = document(value, 1)

    assert found is None or found["latency"]["answeredMs"] == 1


def test_a_desk_forgets_nobody_who_waits_less_than_an_hour() -> None:
    now = [0.0]
    desk = Desk(limit=2, timeout_s=10, clock=lambda: now[0])
    desk.ask("a")
    now[0] = 3_000
    desk.ask("b")

    states = [(desk.full, desk.overdue)]
    now[0] = 3_601
    states.append((desk.full, desk.overdue))

    assert states == [(True, 1), (False, 1)]
    assert desk.reply("a") is None
    assert (reply := desk.reply("b")) is not None
    assert reply.status is Status.TIMEOUT


def test_a_board_keeps_the_users_heard_last() -> None:
    board = Board()
    messages = [
        Received(
            topic="t",
            key="",
            value=json.dumps({"userId": n, "action": "Walking", "timestamp": 1}).encode(),
            headers={},
            written_ms=0,
        )
        for n in range(600)
    ]

    board.take(messages)

    assert [one.user for one in board.doing[:2]] == ["599", "598"]
    assert len(board.doing) == 500
