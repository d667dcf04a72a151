"""The API without a server: what is asked, refused and told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamforest.web.asking import FIELDS
from streamforest.web.keeper import document
from tests.offices import ASK, FORM, GOOD, Site


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


def test_the_api_describes_itself(site: Site) -> None:
    described = site.client.get("/openapi.json").json()

    assert {ASK, f"{ASK}/response/{{id}}", f"{ASK}/response/{{id}}/events", "/health"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (path, method)
            assert "HTTPValidationError" not in json.dumps(operation), (path, method)
