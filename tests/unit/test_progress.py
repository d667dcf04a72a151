"""Lines on stderr: plain for people, JSON for a collector."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from streamforest import progress


@pytest.fixture(autouse=True)
def plain_again() -> Iterator[None]:
    yield
    progress.configure("plain")


def test_a_plain_line_is_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    progress.configure("plain", job="train")

    progress.say("fitting")

    assert capsys.readouterr().err == "fitting\n"


def test_a_json_line_says_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    progress.configure("json", job="consume", application="activity")
    progress.note(batch=7, model_version="3")

    progress.say('a "quoted"\nbreak', level="error")
    progress.configure("json")
    progress.say("later")

    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "error",
        "job": "consume",
        "application": "activity",
        "batch": 7,
        "model_version": "3",
        "message": 'a "quoted"\nbreak',
    }
    assert (second["job"], second["batch"], second["level"]) == (None, None, "info")


def test_results_on_stdout_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress.configure("json")

    progress.say("a table", sys.stdout)

    assert capsys.readouterr().out == "a table\n"


def test_progress_is_a_line_of_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    progress.configure("json", job="produce")

    with progress.Progress("sending", 2) as counted:
        counted.advance(2)

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"].startswith("sending: 2 of 2 rows (100%)")
