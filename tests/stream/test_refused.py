"""Refused messages put back: repaired ones count once, however often they are replayed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from pyspark.sql import SparkSession

from streamforest import settings
from streamforest.embedded import replay
from streamforest.embedded.broker import Broker
from streamforest.errors import BadInput
from streamforest.kafka import Kafka
from streamforest.streaming import refused, topics
from tests.streams import ACTIVITY, World, messages

TOPIC = ACTIVITY.topics.events
BROKEN = {0: b'{"userId": 7, "timestamp": 5, "x": 1, "y": 2}', 1: b"walking", 2: b"\xff"}
GOOD = [b'{"userId": 7, "timestamp": %d, "x": 1, "y": 2, "z": 3}' % time_ms for time_ms in (5, 6)]


@pytest.fixture
def stream(spark: SparkSession, tmp_path: Path) -> Iterator[World]:
    """A broker whose invalid topic holds three messages, one of them noted twice."""
    with Broker(tmp_path / "data" / "kafka", settings.load(home=tmp_path)) as broker:
        topics.create_topics(Kafka(broker.bootstrap_servers), ACTIVITY.topics.all())
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
        for offset, value in [*BROKEN.items(), (1, BROKEN[1])]:
            reason = ("fields", "json", "encoding")[offset]
            where = {"reason": reason, "topic": TOPIC, "partition": "0", "offset": str(offset)}
            headers = [(name, text.encode()) for name, text in where.items()]
            producer.send(ACTIVITY.topics.invalid, key=b"wrong", value=value, headers=headers)
        producer.send(ACTIVITY.topics.invalid, value=b"not ours")
        producer.close()
        yield World(tmp_path, spark, None, broker.bootstrap_servers)  # type: ignore[arg-type]  # no readings needed


def run(stream: World, *options: str) -> Mapping[str, Any]:
    given = ["activity", "--home", str(stream.home), "--bootstrap-servers", stream.kafka, *options]
    parsed: argparse.Namespace = replay._parser().parse_args(given)
    return replay.run(parsed, stream.spark)


def test_they_are_listed_with_reason_position_and_bytes(stream: World, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(stream)

    said = capsys.readouterr().out.splitlines()
    assert report["refused"] == {"fields": 1, "json": 1, "encoding": 1}
    assert [line.split()[:2] for line in said] == [["HAR:0:0", "fields"], ["HAR:0:1", "json"], ["HAR:0:2", "encoding"]]
    assert r"b'\xff'" in said[2]
    assert messages(stream, TOPIC, 1, limit_s=1) == []


def test_what_is_repaired_is_put_back_once(stream: World, tmp_path: Path) -> None:
    exported, repaired = tmp_path / "refused.jsonl", tmp_path / "repaired.jsonl"
    run(stream, "--export", str(exported))
    entries = [json.loads(line) for line in exported.read_text().splitlines()]
    fixed = [{"id": entry["id"], "value": value.decode()} for entry, value in zip(entries, GOOD, strict=False)]
    repaired.write_text("".join(json.dumps(entry) + "\n" for entry in [*fixed, entries[2]]))

    first, again = (run(stream, "--repaired", str(repaired)) for _ in range(2))

    assert entries[2]["value_base64"]
    assert (first["put_back"], first["still_refused"]) == (2, {"encoding": 1})
    assert (again["put_back"], again["put_back_before"]) == (0, 2)
    found = messages(stream, TOPIC, 2)
    assert sorted(one.value for one in found) == GOOD
    # repaired messages go where their user's others go
    assert {(one.key, dict(one.headers)[refused.HEADER].decode()) for one in found} == {
        (b"7", "HAR:0:0"),
        (b"7", "HAR:0:1"),
    }


def test_a_replay_that_was_killed_after_sending_is_not_repeated(stream: World) -> None:
    """Protection: the ledger's note of where the topic ended; without it the second run sends again."""
    ledger = refused.Ledger(stream.home / "ledger", "cluster")
    judged = [refused.Judged(id="HAR:0:0", key=b"7", value=GOOD[0], reason=None)]
    ledger._write(set(), refused._ends(Kafka(stream.kafka), TOPIC))
    producer = KafkaProducer(bootstrap_servers=stream.kafka)
    producer.send(TOPIC, key=b"7", value=GOOD[0], headers=[(refused.HEADER, b"HAR:0:0")])
    producer.close()

    sent = ledger.put_back(Kafka(stream.kafka), TOPIC, judged)

    assert sent == 0
    assert len(messages(stream, TOPIC, 2, limit_s=1)) == 1


def test_what_the_decoder_takes_by_now_is_found_by_asking_it(stream: World) -> None:
    report = run(stream, "--decodable")

    assert report["put_back"] == 0
    assert report["still_refused"] == {"fields": 1, "json": 1, "encoding": 1}


def test_a_repair_of_nothing_refused_is_told_with_its_line(stream: World, tmp_path: Path) -> None:
    (tmp_path / "repaired.jsonl").write_text('{"id": "HAR:0:99", "value": "{}"}\n')

    with pytest.raises(BadInput, match="line 1"):
        run(stream, "--repaired", str(tmp_path / "repaired.jsonl"))
