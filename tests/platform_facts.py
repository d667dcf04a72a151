"""What tests of the platform find out about an installation."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from streamforest.kafka import Kafka
from tests.clients import ASK
from tests.platforms import Platform, output, until

DRILLS: list[tuple[str, set[str]]] = [
    ("producer driver scheduler", {"create_consumer", "create_producer"}),
    ("executor worker pause broker mlflow mongo postgres", set()),
]
"""What is broken under one stream, one after the other, and which tasks Airflow has to try again for it."""


def secret_values(platform: Platform) -> list[str]:
    """What no log, image or command line may hold."""
    return [value for name, value in platform.secrets().items() if re.search("SECRET|PASSWORD|TOKEN|KEY", name)]


def may(kafka: Kafka, topic: str) -> set[str]:
    """What a user may do with a topic."""
    found = set()
    with contextlib.closing(KafkaConsumer(**kafka.python(), group_id=None)) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        with contextlib.suppress(TopicAuthorizationFailedError):
            consumer.poll(timeout_ms=3000)
            found.add("read")
    # A producer's rights are looked at before its message is: this one is larger than any topic takes.
    producer = KafkaProducer(**kafka.python(), max_request_size=2**24, compression_type=None)
    with contextlib.closing(producer):
        try:
            producer.send(topic, b"0" * (12 * 2**20)).get(30)
        except TopicAuthorizationFailedError:
            pass
        except MessageSizeTooLargeError:
            found.add("write")
    return found


def while_healthy(container: dict[str, Any]) -> str:
    """The command lines in a container while its health is looked at, which a process of a second does."""
    kind, *command = container["Config"]["Healthcheck"]["Test"]
    look = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
    shown = []
    with subprocess.Popen(["docker", "exec", container["Id"], *look], stdout=subprocess.DEVNULL) as health:
        while health.poll() is None:
            shown.append(output("docker", "top", container["Id"], "-eo", "pid,args"))
    assert health.returncode == 0
    return "".join(shown)


def until_answered(platform: Platform, day: str) -> dict[str, Any]:
    """The answer to a request about a flight of that day, once the stream of answers runs."""
    asked = {"Carrier": "DL", "Origin": "JFK", "Dest": "LAX", "FlightDate": day, "FlightNum": "1262", "DepDelay": "12"}

    def answer() -> str | None:
        told = platform.ask("WEB_PORT", ASK, asked, {"Prefer": "wait=10"})
        return json.dumps(told) if told["status"] == "OK" else None

    found: dict[str, Any] = json.loads(until("an answer", answer))
    return found


def applications(platform: Platform) -> set[str]:
    """Ids of what ran on the cluster and has ended as the notebook does."""
    ended = platform.ask("SPARK_PORT", "/json/")["completedapps"]
    return {each["id"] for each in ended if each["name"] == "explore activity"}


def runs(platform: Platform) -> list[dict[str, Any]]:
    """Tags and metrics of the runs in MLflow's experiment activity."""
    experiment = platform.ask("MLFLOW_PORT", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=activity")
    wanted = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
    found = platform.ask("MLFLOW_PORT", "/api/2.0/mlflow/runs/search", wanted).get("runs", [])
    pairs = [[*run["data"].get("metrics", []), *run["data"].get("tags", [])] for run in found]
    return [{pair["key"]: pair["value"] for pair in each} for each in pairs]


def offsets(platform: Platform) -> dict[str, int]:
    """Messages ever written, by topic."""
    kafka = platform.containers()["kafka"]["Id"]
    tool = ["/opt/kafka/bin/kafka-get-offsets.sh", "--bootstrap-server", "localhost:19094"]
    found: dict[str, int] = {}
    for line in output("docker", "exec", kafka, *tool).splitlines():
        topic, _, offset = line.split(":")
        found[topic] = found.get(topic, 0) + int(offset)
    return found


def remembered(platform: Platform) -> tuple[int, int, int, bytes]:
    """Runs in MLflow, runs of a DAG, messages read by the stream, the published model."""
    dag_runs = platform.airflow("/dags/train_model/dagRuns")["total_entries"]
    model = (platform.root / "model" / ".created").read_bytes()
    return len(runs(platform)), dag_runs, offsets(platform)["HAR"], model
