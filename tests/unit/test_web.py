"""The pages and the API without a server: what is asked, refused, shown and told. Kafka is a list here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from streamforest.application import Topics
from streamforest.settings import web
from streamforest.store import connect
from streamforest.web import asking, service
from streamforest.web.activity import Board
from streamforest.web.app import Office, create_app
from streamforest.web.asking import FIELDS, Catalogue, understand
from streamforest.web.channel import NotSent, Received
from streamforest.web.desk import Desk, Status
from streamforest.web.keeper import document

ASK = service.PREDICT
FORM = "/flights/delays/predict_kafka"
CLASSES = [("early", "15 minutes early"), ("on time", "early"), ("slightly late", "30"), ("very late", "more")]
CATALOGUE = Catalogue(
    carriers={"AA": "American Airlines Inc.", "DL": "Delta"},
    airports={"JFK": "Kennedy", "LAX": "Los Angeles"},
    distance=lambda origin, dest: 2475.0 if {origin, dest} == {"JFK", "LAX"} else None,
)
GOOD = {"Carrier": "DL", "Origin": "JFK", "Dest": "LAX", "FlightDate": "2013-12-20", "FlightNum": "12", "DepDelay": "5"}


class Line:
    """A line to Kafka that keeps what is sent, and can be cut."""

    def __init__(self) -> None:
        self.alive = True
        self.confirms = True
        self.sent: list[tuple[str, str, dict[str, Any], Mapping[str, str]]] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    async def send(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        if not self.confirms:
            raise NotSent("it said no")
        self.sent.append((topic, key, json.loads(value), headers))


class Quiet:
    """A keeper with nothing to do."""

    trouble = None
    kept = 0

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Site:
    """The pages, and the far end of their line."""

    def __init__(self, folder: Path, **changes: str) -> None:
        variables = {f"STREAMFOREST_WEB_{name}": value for name, value in {"RATE": "10000", **changes}.items()}
        self.office = Office(
            settings=web(variables),
            servers="127.0.0.1:9",
            asked=Topics(events="asked", predictions="answered", invalid="refused"),
            watched=Topics(events="HAR", predictions="HAR.predictions", invalid="HAR.invalid"),
            store=connect(f"sqlite:///{folder}/store.db"),
            catalogue=CATALOGUE,
            classes=CLASSES,
        )
        self.line = Line()
        self.office.channel = self.line  # type: ignore[assignment]
        self.office.keeper = Quiet()  # type: ignore[assignment]
        self.client = TestClient(create_app(self.office), raise_server_exceptions=False)

    def ask(self, **changes: Any) -> Any:  # noqa: ANN401
        return self.client.post(ASK, json={**GOOD, **changes})

    def answer(self, identity: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Let Spark answer."""
        value = {
            **GOOD,
            "UUID": identity,
            "DepDelay": 5.0,
            "Prediction": 2,
            "Probabilities": [0.1, 0.2, 0.6, 0.1],
            "Unseen": [],
            "Distance": 2475.0,
            "modelVersion": "7",
            "latency": {"acceptedMs": 1_000, "kafkaMs": 1_004, "sparkMs": 1_010},
            **changes,
        }
        self.receive("answered", json.dumps(value).encode(), written_ms=1_012)
        return value

    def receive(self, topic: str, value: bytes, *, key: str = "", written_ms: int = 0, **headers: str) -> None:
        message = Received(topic=topic, key=key, value=value, headers=headers, written_ms=written_ms)
        self.office._take([message])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with made.client:
        yield made


def test_a_request_goes_to_the_stream_with_what_follows_from_it(site: Site) -> None:
    told = site.ask()

    (topic, key, event, headers) = site.line.sent[0]
    assert told.status_code == 202
    assert told.json() == {"status": "OK", "id": key, "response": f"{ASK}/response/{key}"}
    assert topic == "asked"
    assert event.pop("Timestamp").endswith("Z")
    assert event == {
        **GOOD,
        "UUID": key,
        "DepDelay": 5.0,
        "Distance": 2475.0,
        "DayOfWeek": 5,
        "DayOfMonth": 20,
        "DayOfYear": 354,
    }
    assert headers["accepted_ms"].isdecimal()


def test_the_references_clients_post_a_form(site: Site) -> None:
    told = site.client.post(ASK, data=GOOD)

    assert told.status_code == 202
    assert site.line.sent[0][2]["Carrier"] == "DL"


def test_a_request_waits_then_has_its_answer(site: Site) -> None:
    identity = site.ask().json()["id"]
    before = site.client.get(f"{ASK}/response/{identity}").json()

    site.answer(identity)
    after = site.client.get(f"{ASK}/response/{identity}").json()

    assert before == {"status": "WAIT", "id": identity}
    assert (after["status"], after["id"]) == ("OK", identity)
    assert after["prediction"]["Prediction"] == 2
    assert after["latency_ms"] | {"to_page": 0, "total": 0} == {"to_kafka": 4, "spark": 8, "to_page": 0, "total": 0}


def test_two_submits_have_an_answer_each_and_a_repeated_answer_changes_nothing(site: Site) -> None:
    one, other = (site.ask().json()["id"] for _ in range(2))

    for identity in (one, other):
        site.answer(identity, Prediction=1)
    site.answer(one, Prediction=3)

    assert one != other
    assert [
        site.client.get(f"{ASK}/response/{identity}").json()["prediction"]["Prediction"] for identity in (one, other)
    ] == [1, 1]


def test_who_prefers_to_wait_gets_the_answer_itself(tmp_path: Path) -> None:
    site = Site(tmp_path, TIMEOUT_S="0.2")
    with site.client:
        late = site.client.post(ASK, json=GOOD, headers={"prefer": "wait=5"})

    # Nobody answers here, so that the time-out is what it gets.
    assert late.status_code == 200
    assert late.json()["status"] == "TIMEOUT"
    assert late.headers["preference-applied"] == "wait=5"


def test_silence_becomes_a_timeout_that_says_what_to_do_and_an_answer_still_counts(tmp_path: Path) -> None:
    site = Site(tmp_path, TIMEOUT_S="0.1")
    with site.client:
        identity = site.client.post(ASK, json=GOOD, headers={"prefer": "wait=1"}).json()["id"]
        late = site.client.get(f"{ASK}/response/{identity}").json()
        health = site.client.get("/health").json()
        page = site.client.get(f"{FORM}?id={identity}").text
        site.answer(identity)

        assert late["status"] == "TIMEOUT"
        assert "./control_env.sh" in late["message"]
        assert health["dependencies"]["stream"]["ok"] is False
        assert "TIMEOUT" in page
        assert site.client.get(f"{ASK}/response/{identity}").json()["status"] == "OK"


def test_without_kafka_it_is_an_error_at_once_and_nothing_is_asked(site: Site) -> None:
    identity = site.ask().json()["id"]

    site.line.alive = False
    told = site.ask()

    assert (told.status_code, told.json()["status"]) == (503, "ERROR")
    assert "Kafka does not answer" in told.json()["message"]
    assert site.client.get(f"{ASK}/response/{identity}").json()["status"] == "ERROR"
    assert site.client.get("/health").status_code == 503
    assert len(site.line.sent) == 1
    site.line.alive = True
    assert site.client.get(f"{ASK}/response/{identity}").json()["status"] == "WAIT"


def test_a_request_that_kafka_did_not_confirm_is_an_error(site: Site) -> None:
    site.line.confirms = False

    told = site.ask()

    assert told.status_code == 503
    assert "it said no" in told.json()["message"]


def test_a_refusal_of_the_stream_is_told(site: Site) -> None:
    identity = site.ask().json()["id"]

    site.receive("refused", b"", key=identity, reason="distance")

    told = site.client.get(f"{ASK}/response/{identity}").json()
    assert told["status"] == "ERROR"
    assert "distance" in told["message"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"Carrier": "ZZ"}, "Carrier", "AA, DL"),
        ({"Origin": "XXX"}, "Origin", "no such airport"),
        ({"Dest": "JFK"}, "Dest", "the same"),
        ({"FlightDate": "2013-02-30"}, "FlightDate", "no date"),
        ({"FlightDate": "1901-01-01"}, "FlightDate", "from 2000"),
        ({"FlightDate": "20131220"}, "FlightDate", "no date"),
        ({"FlightNum": "0"}, "FlightNum", "1 to 9999"),
        ({"FlightNum": "12345"}, "FlightNum", "1 to 9999"),
        ({"DepDelay": "soon"}, "DepDelay", "minutes"),
        ({"DepDelay": "1e9"}, "DepDelay", "minutes"),
        ({"DepDelay": "nan"}, "DepDelay", "minutes"),
        ({"DepDelay": -100_000}, "DepDelay", "from -180"),
        ({"DepDelay": 10**400}, "DepDelay", "too large"),
        ({"DepDelay": True}, "DepDelay", "object"),
        ({"DepDelay": ""}, "DepDelay", "Fill"),
        ({"Carrier": {"$gt": ""}}, "Carrier", "object"),
        ({"Origin": ["JFK"]}, "Origin", "object"),
        ({"Carrier": "<script>alert(1)</script>"}, "Carrier", "no such"),
        ({"FlightNum": "\x00"}, "FlightNum", "printed"),
        ({"FlightNum": None}, "FlightNum", "Fill"),
        ({"$where": "1"}, "form", "no field"),
        ({"Extra": 1}, "form", "no field"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_and_nothing_is_sent(site: Site, change: dict[str, Any], field: str, words: str) -> None:
    told = site.ask(**change)

    assert told.status_code == 422
    assert list(told.json()["errors"]) == [field]
    assert words in told.json()["errors"][field]
    assert site.line.sent == []


def test_all_that_is_wrong_is_told_at_once(site: Site) -> None:
    told = site.client.post(ASK, json={})

    assert set(told.json()["errors"]) == set(FIELDS)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"DepDelay": NaN}', "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b"9" * 5_000, "application/json", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % number for number in range(99)), "application/x-www-form-urlencoded", 400),
        (b"<a/>", "application/xml", 415),
        (b"", "", 415),
        (b"x" * 20_000, "application/json", 413),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_that_is_no_request_is_refused(site: Site, body: bytes, kind: str, status: int) -> None:
    told = site.client.post(ASK, content=body, headers={"content-type": kind})

    assert (told.status_code, told.json()["status"]) == (status, "ERROR")
    assert site.line.sent == []


def test_a_body_without_announced_length_is_cut_off(site: Site) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000

    told = site.client.post(ASK, content=endless(), headers={"content-type": "application/json"})

    assert told.status_code == 413


def test_a_client_that_is_too_fast_is_told_to_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, RATE="2")
    with site.client:
        told = [site.ask() for _ in range(6)]
        read = site.client.get("/health")

    assert [one.status_code for one in told] == [202] * 4 + [429] * 2
    assert told[-1].headers["retry-after"] == "1"
    assert read.status_code == 200


def test_a_full_queue_takes_no_more_until_one_is_answered(tmp_path: Path) -> None:
    site = Site(tmp_path, QUEUE="2")
    with site.client:
        first, _, third = (site.ask() for _ in range(3))
        site.answer(first.json()["id"])
        fourth = site.ask()

    assert third.status_code == 503
    assert "Ask again later" in third.json()["message"]
    assert fourth.status_code == 202


def test_a_page_of_another_site_cannot_ask(site: Site) -> None:
    told = site.client.post(ASK, data=GOOD, headers={"sec-fetch-site": "cross-site"})

    assert told.status_code == 403
    assert site.line.sent == []


@pytest.mark.parametrize("path", ["/", FORM, "/activity", "/flights/delays/predict_batch", "/health", "/static/app.js"])
def test_every_answer_carries_the_headers(site: Site, path: str) -> None:
    told = site.client.get(path)

    assert told.status_code == 200
    assert "default-src 'none'" in told.headers["content-security-policy"]
    assert "unsafe" not in told.headers["content-security-policy"]
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in told.headers


@pytest.mark.parametrize("path", ["/nothing", f"{ASK}/response/unknown", "/docs"])
def test_what_is_not_there_is_told_as_json_or_as_a_page(site: Site, path: str) -> None:
    told = site.client.get(path)
    page = site.client.get(path, headers={"accept": "text/html"})

    assert (told.status_code, told.json()["status"]) == (404, "ERROR")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


def test_an_id_that_can_be_none_is_told(site: Site) -> None:
    assert site.client.get(f"{ASK}/response/%24gt%7B").status_code == 422


def test_an_answer_of_the_store_outlives_the_server(site: Site) -> None:
    kept = document(json.dumps(site.answer("client-1")).encode(), 5)
    assert kept is not None
    site.office.store.keep([kept | {"UUID": "client-2"}])

    told = site.client.get(f"{ASK}/response/client-2").json()

    assert told["status"] == "OK"
    assert told["prediction"]["UUID"] == "client-2"
    assert told["latency_ms"]["total"] is None


def test_events_follow_a_request_to_its_answer(site: Site) -> None:
    identity = site.ask().json()["id"]
    site.answer(identity)

    told = site.client.get(f"{ASK}/response/{identity}/events")

    assert told.headers["content-type"].startswith("text/event-stream")
    (data,) = re.findall(r"(?m)^event: reply\ndata: (.*)$", told.text)
    assert json.loads(data)["status"] == "OK"


def test_the_form_works_without_scripts(site: Site) -> None:
    sent = site.client.post(FORM, data=GOOD, follow_redirects=False)
    identity = site.line.sent[0][1]
    site.answer(identity, Unseen=["Carrier"])
    page = site.client.get(sent.headers["location"]).text
    wrong = site.client.post(FORM, data={**GOOD, "FlightNum": "<b>x</b>"}, follow_redirects=False)

    assert (sent.status_code, sent.headers["location"]) == (303, f"{FORM}?id={identity}")
    assert "Most likely slightly late" in page
    assert "60 %" in page
    assert "was not taught this airline" in page
    assert wrong.status_code == 422
    assert "A flight number is" in wrong.text
    assert "&lt;b&gt;x&lt;/b&gt;" in wrong.text
    assert "<b>x" not in wrong.text


def test_markup_in_an_answer_is_text(site: Site) -> None:
    site.answer("evil", Carrier="<img src=x onerror=alert(1)>", modelVersion="<script>")

    page = site.client.get(f"{FORM}/evil").text

    assert "<img src=x" not in page
    assert "<script>" not in page


def test_every_field_has_its_label_and_its_message(site: Site) -> None:
    page = site.client.get(FORM).text

    for name in FIELDS:
        assert f'<label for="{name}">' in page
        assert f'id="{name}-error"' in page
        assert re.search(rf'id="{name}" name="{name}" required aria-describedby="{name}-error', page)
    assert 'aria-live="polite"' in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_a_day_is_shown_as_chart_and_table(site: Site) -> None:
    rows = [{**GOOD, "DepDelay": 5.0, "Prediction": n % 4, "Probabilities": [0.7, 0.1, 0.1, 0.1]} for n in range(150)]
    site.office.store.replace_batch("2013-12-24", rows)
    address = "/flights/delays/predict_batch/results/2013-12-24"

    first, last = site.client.get(address).text, site.client.get(f"{address}?page=2").text

    assert "150 flights predicted" in first
    assert (first.count('<th scope="row">DL 12</th>'), last.count('<th scope="row">DL 12</th>')) == (100, 50)
    assert "<rect" in first
    assert "2013-12-24" in site.client.get("/flights/delays/predict_batch").text
    assert site.client.get("/flights/delays/predict_batch/results/2013-12-25").status_code == 404
    assert site.client.get("/flights/delays/predict_batch/results/yesterday").status_code == 422


def test_activity_shows_the_latest_of_each_user(site: Site) -> None:
    def heard(user: int, timestamp: int, action: str) -> None:
        value = {"userId": user, "timestamp": timestamp, "action": action, "probability": 0.9, "modelVersion": "1"}
        site.receive("HAR.predictions", json.dumps(value).encode())

    heard(1, 1_000, "Walking")
    heard(2, 9_000, "Sitting")
    heard(1, 2_000, "Jogging")
    heard(1, 1_000, "Walking")
    site.receive("HAR.predictions", b"nothing")

    page = site.client.get("/activity").text

    assert [(one.user, one.action) for one in site.office.board.doing] == [("1", "Jogging"), ("2", "Sitting")]
    assert "Jogging" in page
    assert "Walking" not in page


def test_the_api_describes_itself(site: Site) -> None:
    described = site.client.get("/openapi.json").json()

    assert {ASK, f"{ASK}/response/{{id}}", f"{ASK}/response/{{id}}/events", "/health"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (path, method)
            assert "HTTPValidationError" not in json.dumps(operation), (path, method)


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


@pytest.mark.parametrize(
    ("late", "words"), [(12.0, "left 12 min late"), (-5.0, "left 5 min early"), (0.0, "left on the minute")]
)
def test_the_departure_is_told_in_words(site: Site, late: float, words: str) -> None:
    identity = site.ask().json()["id"]
    site.answer(identity, DepDelay=late)

    assert words in site.client.get(f"{FORM}?id={identity}").text


def test_who_follows_is_let_go_when_the_server_ends(site: Site) -> None:
    async def endless() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield "never"

    async def followed() -> list[Any]:
        response: Any = service.following(site.office, endless())
        pieces = aiter(response.body_iterator)
        first = await anext(pieces)
        site.office.close()
        async with asyncio.timeout(60):
            return [first, *[piece async for piece in pieces]]

    assert asyncio.run(followed()) == [": here\n\n"]
    assert site.office.streams == 0
