"""The pages without a server: what is shown, and how it is told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamforest.web import following
from streamforest.web.asking import FIELDS
from tests.offices import ASK, FORM, GOOD, Site


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
        response: Any = following.following(site.office, endless())
        pieces = aiter(response.body_iterator)
        first = await anext(pieces)
        site.office.close()
        async with asyncio.timeout(60):
            return [first, *[piece async for piece in pieces]]

    assert asyncio.run(followed()) == [": here\n\n"]
    assert site.office.streams == 0
