"""A way to Kafka: options of each client, what is read from the environment, and that nothing shows a password."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from streamforest import settings
from streamforest.errors import BadInput, WrongUsage
from streamforest.failures import explain
from streamforest.kafka import Kafka, Login, Role

SECRET, QUOTED = "correct-horse", 'a"b\\'
LOGIN = Login(user="web", password=SECRET)


def test_without_a_login_nothing_is_said_of_one() -> None:
    options = Kafka("one:1,two:2").python()

    assert options == {"bootstrap_servers": ["one:1", "two:2"], "security_protocol": "PLAINTEXT"}
    assert Kafka("one:1").spark() == {"kafka.bootstrap.servers": "one:1", "kafka.security.protocol": "PLAINTEXT"}


@pytest.mark.parametrize(("ca", "protocol"), [(None, "SASL_PLAINTEXT"), (Path("/ca.pem"), "SASL_SSL")])
def test_a_login_is_given_to_every_client(ca: Path | None, protocol: str) -> None:
    kafka = Kafka("one:1", LOGIN, ca)

    assert kafka.python()["security_protocol"] == kafka.properties()["security.protocol"] == protocol
    assert kafka.python()["sasl_plain_password"] == SECRET
    assert f'username="web" password="{SECRET}";' in kafka.spark()["kafka.sasl.jaas.config"]
    assert (kafka.properties().get("ssl.truststore.location") == "/ca.pem") == (ca is not None)


def test_quotes_in_a_password_stay_within_it() -> None:
    told = Kafka("one:1", Login(user="web", password=QUOTED)).properties()["sasl.jaas.config"]

    assert told.endswith(r'password="a\"b\\";')


def test_a_password_is_in_no_text_about_it() -> None:
    kafka = Kafka("one:1", LOGIN)

    assert str(kafka) == "one:1"
    assert SECRET not in f"{kafka} {kafka!r} {kafka.who}"


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"STREAMFOREST_HOME": str(home), "STREAMFOREST_BOOTSTRAP_SERVERS": "kafka:1", **more}


def test_each_role_has_its_own_password(tmp_path: Path) -> None:
    found = settings.load(environ=environment(tmp_path, STREAMFOREST_KAFKA_WEB_PASSWORD=SECRET))

    assert found.kafka(Role.WEB) == Kafka("kafka:1", LOGIN)
    assert SECRET not in repr(found)
    with pytest.raises(WrongUsage, match="user admin is set; set STREAMFOREST_KAFKA_ADMIN_PASSWORD"):
        found.kafka(Role.ADMIN)


def test_where_no_password_is_set_kafka_asks_for_none(tmp_path: Path) -> None:
    assert settings.load(environ=environment(tmp_path)).kafka(Role.WEB) == Kafka("kafka:1")


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="STREAMFOREST_KAFKA_CA: there is no file /nowhere"):
        settings.load(environ=environment(tmp_path, STREAMFOREST_KAFKA_CA="/nowhere"))


def test_no_plan_of_spark_shows_a_password(spark: SparkSession) -> None:
    """A plan tells the options of a source; where no rule for redaction fits, the password among them."""
    records = spark.readStream.format("kafka").options(**Kafka("one:1", LOGIN).spark()).option("subscribe", "x").load()

    plans = records._jdf.queryExecution().toString()
    assert re.search(r"kafka\.sasl\.jaas\.config.{1,4}\*+\(redacted\)", plans)
    assert SECRET not in plans


@pytest.mark.parametrize(
    "told",
    [
        "org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed",
        "org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [HAR]",
    ],
)
def test_a_refusal_within_spark_is_no_outage(told: str) -> None:
    found = explain(RuntimeError(f"Caused by: {told}\n\tat somewhere"))

    assert found.exit_code == BadInput.exit_code
    assert told.rpartition(".")[2] in str(found)
