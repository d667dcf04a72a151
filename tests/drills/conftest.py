"""What drills share: models, a broker each, and the table of what held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.drills.drill import LONG, ROW, SHORT, Drill, Models, page, table

_rows: list[tuple[str, ...]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drills-table", metavar="FILE", help="write what held as a table")
    parser.addoption("--long", action="store_true", help="ten times the readings, and pauses that clients give up in")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather the rows, also those of xdist's workers, whose reports carry them."""
    if report.when == "teardown":
        _rows.extend(tuple(json.loads(str(value))) for name, value in report.user_properties if name == ROW)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401  # pytest's own
    """Print the table and write it where it was asked for."""
    if not _rows:
        return
    rows = sorted(_rows)
    terminalreporter.write_sep("-", "drills")
    terminalreporter.write_line(table(rows))
    path = config.getoption("--drills-table", default=None)
    if path:
        Path(path).write_text(page(rows), encoding="utf-8")


@pytest.fixture(scope="session")
def models(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A home with two tested versions, the first of them published."""
    return Models.make(tmp_path_factory.mktemp("models"), spark)


@pytest.fixture
def drill(models: Models, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Drill]:
    """An empty Kafka and no record; the models are a copy of one's own."""
    with Drill.begin(models, tmp_path, LONG if request.config.getoption("--long", default=False) else SHORT) as found:
        yield found
        for row in found.rows(request.node.name):
            request.node.user_properties.append((ROW, json.dumps(row)))
