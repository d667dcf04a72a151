"""The page of flights says what their code does."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from streamforest import application
from streamforest.applications.flights import answering, classes, events, pipelines, reading, schemas
from tests.guide import quoted, read, section, stages, table
from tests.homes import REPOSITORY

PAGE = "flights.md"
FLIGHTS = application.load("flights", ["streamforest.applications"])


def test_classes_are_those_of_the_code() -> None:
    rows = table(section(PAGE, "Flights"), "number")

    expected = [[str(number), each.name, each.meaning] for number, each in enumerate(classes.CLASSES)]
    assert rows == expected


def test_layouts_are_looked_for_in_this_order() -> None:
    assert quoted(table(section(PAGE, "Layouts"), "pattern")) == list(FLIGHTS.inputs.layouts)


def test_reasons_of_refused_flights_are_the_readers() -> None:
    source = inspect.getsource(reading._reason)
    found = [name or "json/fields" for name in re.findall(r'when\(.*, (?:"(\w+)"|broken)\)', source)]
    expected = list(dict.fromkeys(found))

    documented = ["/".join(re.findall(r"`(\w+)`", row[0])) for row in table(section(PAGE, "Refused flights"), "reason")]

    assert documented == expected


def test_reasons_of_refused_requests_are_the_decoders() -> None:
    source = inspect.getsource(events._broken)

    documented = quoted(table(section(PAGE, "Requests and answers"), "reason"))

    assert documented[4:] == re.findall(r'when\(.*, "(\w+)"\)', source)


def test_fields_of_requests_and_answers_are_those_of_the_schemas() -> None:
    tables = re.findall(r"(?ms)^\| field \| is \|$.*?^$", section(PAGE, "Requests and answers"))
    asked, answered = (re.findall(r"(?m)^\| (`.*?`) \|", text) for text in tables)
    names = [[name for row in rows for name in re.findall(r"`(\w+)`", row)] for rows in (asked, answered)]

    assert sorted(names[0]) == sorted(schemas.EVENT.names)
    assert set(schemas.REQUIRED) == {name for row in asked[:7] for name in re.findall(r"`(\w+)`", row)}
    assert sorted(names[1]) == sorted(schemas.PREDICTION.names)


def test_baselines_are_those_that_are_scored() -> None:
    assert quoted(table(section(PAGE, "Training and testing"), "name")) == list(answering.BASELINES)
    assert f"`{FLIGHTS.split.default}`" in section(PAGE, "Training and testing")


def test_topics_are_those_of_the_application() -> None:
    text = section(PAGE, "Requests and answers")

    assert all(f"`{topic}`" in text for topic in FLIGHTS.topics.all())


def test_limits_are_those_of_the_code() -> None:
    least, most = events.DELAY_LIMITS

    text = section(PAGE, "Refused flights")

    assert f"from {least:.0f} to {most:,.0f} minutes" in text
    assert f"up to {events.MAX_DISTANCE:,.0f} miles" in text


def test_the_days_before_are_these() -> None:
    rows = table(section(PAGE, "The days before"), "column")

    found = [":".join([row[0].strip("`"), row[1], ",".join(quoted([row[2:]]))]) for row in rows]
    assert found == pipelines.PAST


@pytest.mark.parametrize("name", FLIGHTS.pipelines)
def test_stages_are_those_of_the_pipeline(name: str) -> None:
    tree = ast.parse(inspect.getsource(pipelines))
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}

    assert re.findall(r"(?m)^\d+\. `(\w+)`", section(PAGE, name)) == list(stages(name, functions))


def test_the_readme_of_data_lists_the_layouts() -> None:
    text = read(REPOSITORY / "data" / "README.md")

    assert all(f"flights/{pattern}" in text for pattern in FLIGHTS.inputs.layouts)
