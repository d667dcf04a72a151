"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest
from pyspark.sql import SparkSession

from streamforest import jars, session, settings
from streamforest.embedded.broker import Broker

# A worker of pytest-xdist has a main module without a file; pyspark.ml.connect takes that for its doctests, and exits.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__

# A busy machine is no failure: an example may take its time.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def the_users_word() -> Iterator[None]:
    """A test leaves no setting in the environment, where the next one would take it for the user's word."""
    before = _settings_given()
    yield
    assert _settings_given() == before


def _settings_given() -> dict[str, str]:
    """Of the environment."""
    return {name: value for name, value in os.environ.items() if name.startswith(("STREAMFOREST_", "MLFLOW_TRACKING"))}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One Spark session for all tests of a process: two local threads, two shuffle partitions, Kafka's connector."""
    home = tmp_path_factory.mktemp("home")
    given = settings.load(home=home, environ={**os.environ, "STREAMFOREST_SPARK_MASTER": "local[2]"})
    options = {"spark.sql.shuffle.partitions": "2", "spark.sql.warehouse.dir": str(home / "warehouse")}
    connector = jars.ensure(jars.CONNECTOR, given.jars)
    session_ = session.build(given, "tests", jars=connector, options=options)
    yield session_
    session_.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a real broker, one for all tests of a process."""
    with Broker(tmp_path_factory.mktemp("kafka") / "log", settings.load()) as broker:
        yield broker.bootstrap_servers
