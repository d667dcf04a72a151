"""Single requests in real-time mode: answered over kills and swaps, as the batch path answers; kept once each."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from pyspark.sql import SparkSession

from streamforest import cli
from streamforest.kafka import Kafka
from streamforest.model.publication import ModelFolder
from streamforest.store import StoreUnreachable, connect
from streamforest.store.sqlite import SqliteStore
from streamforest.streaming import topics
from streamforest.web.keeper import Keeper
from tests.applications.asks import APPLICATION
from tests.homes import REPOSITORY, environment
from tests.mongo import running

TOPICS = APPLICATION.topics
LIMIT_S = 300
"""Of a wait, on a machine that is busy with other things; it says nothing of how fast anything is."""
INTERVAL = ["--interval", "5"]

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """A home with a published model, and Kafka."""

    home: Path
    servers: str
    spark: SparkSession

    def run(self, *arguments: str) -> dict[str, Any]:
        job = [*arguments, "--home", str(self.home)]
        return dict(cli.run(job, spark=self.spark, kafka=lambda _: self.servers))

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """The job consume as a process of its own, which answers when this returns."""
        command = [sys.executable, str(REPOSITORY / "code" / "main.py"), "consume", "asks", "--home", str(self.home)]
        command += ["--bootstrap-servers", self.servers, *INTERVAL, *options]
        with (self.home / "consume.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        probe = f"probe-{time.time_ns()}"
        until = time.monotonic() + LIMIT_S
        while probe not in self.refused():
            assert process.poll() is None, (self.home / "consume.log").read_text()
            assert time.monotonic() < until, "the stream did not start"
            self.send({"no": probe}, key=probe)
            time.sleep(0.5)
        return process

    def send(self, *events: Mapping[str, Any], key: str | None = None) -> None:
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for event in events:
            headers = [("accepted_ms", str(time.time_ns() // 1_000_000).encode())]
            name = key or str(event["id"])
            producer.send(TOPICS.events, key=name.encode(), value=json.dumps(event).encode(), headers=headers)
        producer.flush()
        producer.close()

    def records(self, topic: str) -> list[Any]:
        consumer = KafkaConsumer(bootstrap_servers=self.servers, enable_auto_commit=False)
        partitions = [TopicPartition(topic, number) for number in range(TOPICS.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends, found = consumer.end_offsets(partitions), []
        while any(consumer.position(one) < end for one, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                found += records
        consumer.close()
        return found

    def answers(self) -> dict[int, list[dict[str, Any]]]:
        """All answers of the topic by id."""
        found = defaultdict(list)
        for record in self.records(TOPICS.predictions):
            value = json.loads(record.value)
            assert record.key.decode() == str(value["id"])
            found[value["id"]].append(value)
        return found

    def refused(self) -> dict[str, dict[str, bytes]]:
        """Headers of the refused by key."""
        return {record.key.decode(): dict(record.headers) for record in self.records(TOPICS.invalid)}

    def answered(self, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """All answers, once each of ``ids`` has one."""
        until = time.monotonic() + LIMIT_S
        while missing := set(ids) - self.answers().keys():
            assert time.monotonic() < until, f"{len(missing)} were not answered: {sorted(missing)[:5]}"
            time.sleep(0.3)
        return self.answers()


def request(number: int) -> dict[str, Any]:
    return {"id": number, "at": number * 1000, "a": float(number % 2), "b": float(number // 2 % 2)}


def parity(number: int) -> str:
    return ["even", "odd"][(number % 2 + number // 2 % 2) % 2]


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    process.send_signal(number)
    process.wait(timeout=LIMIT_S)


@pytest.fixture(scope="module")
def place(spark: SparkSession, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMFOREST_APPLICATIONS", "streamforest.applications,tests.applications")
        found = Place(tmp_path_factory.mktemp("asks"), kafka, spark)
        data = found.home / "data" / "asks"
        data.mkdir(parents=True)
        APPLICATION.inputs.generate(data, 0)
        for job in ("partition", "train", "test"):
            found.run(job, "asks")
        topics.create_topics(Kafka(kafka), TOPICS.all())
        yield found


def test_requests_are_answered_at_once_over_kills_and_a_new_model(place: Place) -> None:
    first = ModelFolder(place.home / "model" / "asks").require_champion().version
    process = place.start()
    place.send(*map(request, range(100)), key=None)
    before = place.answered(range(100))

    # Killed while requests come; what came meanwhile is answered by the next one.
    place.send(*map(request, range(100, 150)))
    stop(process, signal.SIGKILL)
    place.send(*map(request, range(150, 200)))
    process = place.start()
    place.answered(range(200))

    # Another model is published while the stream runs.
    place.run("train", "asks")
    assert place.run("test", "asks")["gate"]["passed"]
    second = ModelFolder(place.home / "model" / "asks").require_champion().version
    sent, versions = 200, set[str]()
    until = time.monotonic() + LIMIT_S
    while second not in versions:
        assert time.monotonic() < until, "the stream kept its model"
        place.send(*map(request, range(sent, sent + 10)))
        sent += 10
        time.sleep(0.5)
        versions = {found[0]["modelVersion"] for found in place.answers().values()}
    after = place.answered(range(sent))
    stop(process, signal.SIGTERM)

    assert after.keys() == set(range(sent))
    for number, found in after.items():
        assert {one["parity"] for one in found} == {parity(number)}
        assert {one["modelVersion"] for one in found} <= {first, second}
    assert versions == {first, second}
    latency = before[7][0]["latency"]
    assert latency["acceptedMs"] <= latency["kafkaMs"] <= latency["sparkMs"]


def metrics(place: Place) -> dict[str, float]:
    """What the stream's endpoint tells once it has counted the answer: sums, and by reason or percentile."""
    (*_, address) = re.findall(r"metrics at (\S+)", (place.home / "consume.log").read_text())
    until = time.monotonic() + LIMIT_S
    while True:
        page = urllib.request.urlopen(address, timeout=10).read().decode()  # noqa: S310  # our own address
        found: dict[str, float] = defaultdict(float)
        for sample in (each for family in text_string_to_metric_families(page) for each in family.samples):
            kinds = {sample.labels.get("reason"), sample.labels.get("percentile")} - {None}
            for name in (sample.name, *(f"{sample.name} {kind}" for kind in kinds)):
                found[name] += sample.value
        if found["streamforest_predictions_total"] >= 1:
            return found
        assert time.monotonic() < until, page
        time.sleep(0.2)


def test_what_is_no_request_is_refused_with_its_place_and_the_stream_goes_on(place: Place) -> None:
    process = place.start("--metrics", "127.0.0.1:0")
    place.send({**request(5_000), "a": -1.0}, request(5_001))
    place.answered([5_001])
    told = metrics(place)
    stop(process)

    assert told["streamforest_predictions_total"] >= 1
    assert told["streamforest_refused_total number"] == 1
    assert told["streamforest_refused_total"] >= 2, "with the start's probes"
    assert told["streamforest_latency_seconds 95"] > 0
    assert told["streamforest_model_info"] == 1
    refused = place.refused()["5000"]

    assert refused["reason"] == b"number"
    assert refused["topic"] == b"asks"
    assert refused["offset"].isdigit()
    assert 5_000 not in place.answers()


def test_a_drain_answers_what_waits_as_the_batch_path_does(place: Place) -> None:
    place.run("sample", "asks", "--samples", "40")
    started_ms = time.time_ns() // 1_000_000
    produced = place.run("produce", "asks", "--again", "--rate", "400")

    report = place.run("consume", "asks", "--available-now")
    again = place.run("consume", "asks", "--available-now")
    batch = place.run("consume", "asks", "--batch", "data/asks/real_time")

    assert produced["rows"] == 40
    assert report["predictions"] >= 40
    assert again["predictions"] == 0
    rows = place.spark.read.parquet(batch["path"]).collect()
    written = [record for record in place.records(TOPICS.predictions) if record.timestamp >= started_ms]
    stream = [json.loads(record.value) for record in written]
    answered = {one["id"]: one["parity"] for one in stream}
    assert len(rows) == 40
    assert {row["id"]: row["parity"] for row in rows}.items() <= answered.items()


def test_offsets_of_another_cluster_are_refused(place: Place) -> None:
    (place.home / "predictions" / "asks" / ".checkpoint" / "consume" / "cluster").write_text("another")

    with pytest.raises(Exception, match=r"another Kafka cluster; .*--reset"):
        place.run("consume", "asks", "--available-now")
    reset = place.run("consume", "asks", "--available-now", "--reset")

    assert reset["predictions"] > 0


class Flaky:
    """A store that is away at first, and then says so after it has kept something."""

    def __init__(self, store: SqliteStore) -> None:
        self._store, self.calls = store, 0

    def keep(self, answers: Sequence[Mapping[str, Any]]) -> int:
        self.calls += 1
        if self.calls == 1:
            raise StoreUnreachable("away")
        kept = self._store.keep(answers)
        if self.calls == 2:
            raise StoreUnreachable("the word that it is kept was lost")
        return kept


def test_every_answer_is_kept_once_over_failures_and_a_crash(kafka: str, tmp_path: Path) -> None:
    topic, count = f"answers-{os.getpid()}", 300
    topics.create_topics(Kafka(kafka), {topic: 2})
    store = SqliteStore(str(tmp_path / "store.db"))
    producer = KafkaProducer(bootstrap_servers=kafka)

    def write(numbers: range) -> None:
        for number in numbers:
            for _ in range(2):
                value = json.dumps({"UUID": f"u-{number}", "Prediction": 1}).encode()
                producer.send(topic, key=b"k%d" % number, value=value)
        producer.send(topic, key=b"x", value=b'{"UUID": {"$gt": ""}}')
        producer.flush()

    write(range(count))
    flaky = Keeper(Kafka(kafka), topic, 2, Flaky(store))  # type: ignore[arg-type]
    flaky.start()
    await_true(lambda: store.count() >= count)
    # As a crash would: nothing says goodbye, and nothing more is committed.
    flaky._over.set()
    write(range(count, 2 * count))
    successor = Keeper(Kafka(kafka), topic, 2, store)
    successor.start()
    await_true(lambda: store.count() >= 2 * count)
    successor.stop()
    producer.close()

    assert store.count() == 2 * count
    assert flaky.unreadable + successor.unreadable >= 1


def test_answers_that_come_while_mongodb_is_away_are_kept_when_it_is_back(kafka: str) -> None:
    topic = f"answers-mongo-{os.getpid()}"
    topics.create_topics(Kafka(kafka), {topic: 2})
    producer = KafkaProducer(bootstrap_servers=kafka)

    def write(numbers: range) -> None:
        for number in numbers:
            producer.send(topic, key=b"k%d" % number, value=json.dumps({"UUID": f"u-{number}"}).encode())
        producer.flush()

    with running() as mongo, closing(connect(mongo.address)) as store:
        keeper = Keeper(Kafka(kafka), topic, 2, store)
        keeper.start()
        write(range(100))
        await_true(lambda: keeper.kept >= 100)
        mongo.stop()
        write(range(100, 300))
        await_true(lambda: keeper.trouble is not None)
        mongo.start()
        await_true(lambda: keeper.trouble is None and keeper.kept >= 300)
        keeper.stop()

        assert store.count() == 300
    producer.close()


def await_true(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
