"""Who may do what in Kafka, by the lists that the platform makes it obey."""

from __future__ import annotations

import pytest

from streamforest import application as contract
from streamforest.kafka import Role
from streamforest.platform.access import rights

PACKAGES = ["streamforest.applications", "streamforest.platform.applications"]
APPLICATIONS = [contract.load(name, PACKAGES) for name in contract.names(PACKAGES)]


def who(operation: str, topic: str) -> set[Role]:
    found = rights(APPLICATIONS)
    return {right.role for right in found if (right.kind, right.operation, right.name) == ("TOPIC", operation, topic)}


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: one.name)
def test_only_the_predictor_writes_what_was_predicted_or_refused(application: contract.Application) -> None:
    topics = application.topics

    assert who("WRITE", topics.predictions) == who("WRITE", topics.invalid) == {Role.PREDICTOR}
    assert Role.PREDICTOR not in who("WRITE", topics.events)


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: one.name)
def test_events_are_written_by_who_makes_them_and_read_by_the_predictor(application: contract.Application) -> None:
    asks = isinstance(application.predict, contract.Answering)

    assert who("WRITE", application.topics.events) == {Role.PRODUCER} | ({Role.WEB} if asks else set())
    assert who("READ", application.topics.events) == {Role.PREDICTOR}


def test_no_right_is_wider_than_a_topic_or_a_group_of_ours() -> None:
    found = rights(APPLICATIONS)
    topics = {name for application in APPLICATIONS for name in application.topics.all()}

    assert {right.operation for right in found} == {"READ", "WRITE", "DESCRIBE"}
    assert {right.name for right in found if right.kind == "TOPIC"} == topics
    assert {right.pattern for right in found if right.kind == "TOPIC"} == {"LITERAL"}
    assert {(right.role, right.name) for right in found if right.kind == "GROUP"} == {
        (Role.PREDICTOR, "spark-kafka-"),
        (Role.WEB, "streamforest-keeper"),
    }
    assert Role.ADMIN not in {right.role for right in found}


def test_applications_do_not_meet_in_a_topic() -> None:
    names = [name for application in APPLICATIONS for name in application.topics.all()]

    assert len(names) == len(set(names))
