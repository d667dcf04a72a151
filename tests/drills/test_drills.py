"""Drills: what happens to a running stream, and the equation that must hold afterwards.

The stream's predictions are what the batch path computes from the same readings, each with its own version: none
missing, none twice. Every test says which protection it is about; protections.py takes each away and wants the test to
fail. Kills of the consumer's driver at any moment are in tests/stream/test_promise.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from streamforest import settings
from streamforest.embedded.broker import Broker
from streamforest.errors import BadInput
from streamforest.failures import explain
from streamforest.model import lifecycle
from tests.drills.drill import Drill, python_workers
from tests.drills.dying import STEPS
from tests.homes import REPOSITORY, environment
from tests.streams import ACTIVITY, messages, record, wait_for

SMALL = ("--max-records", "300")
ROOM_BYTES = 7 * 4096


@pytest.mark.parametrize("step", STEPS)
def test_a_driver_that_dies_within_a_commit(drill: Drill, step: str) -> None:
    """Protection: a repeat has the first try's offsets, state and model, and one that counts is left out; with the
    champion of the day it says otherwise than its messages did, and taken twice its readings are refused as late."""
    drill.send(drill.mixed())
    command = [sys.executable, "-m", "tests.drills.dying", step, "consume", "activity", "--home", str(drill.home)]
    command += ["--bootstrap-servers", drill.broker.bootstrap_servers, "--available-now", *SMALL]
    dying = subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    before = record(drill.stream)
    drill.publish(drill.models.second)

    report = drill.consume(*SMALL)

    assert dying.returncode == -signal.SIGKILL, dying.stderr
    found = drill.holds(f"The driver dies when, of a micro-batch, {STEPS[step]}")
    assert 0 < len(before) < len(found)
    assert report["refused"] == {}
    published = messages(drill.stream, ACTIVITY.topics.predictions, sys.maxsize, limit_s=5)
    assert len({one.key for one in published}) == len({(one.key, one.value) for one in published}) == len(found)


def test_a_killed_python_worker(drill: Drill) -> None:
    """Protection: a shard's files bear the name of their attempt and count only once the manifest names them; taking
    the newest file instead, the repeat goes on from a state that has seen its readings."""
    drill.send(drill.mixed())
    with drill.consuming(*SMALL) as consumer:
        consumer.until(lambda: drill.folders() >= 2)
        # some shards have left their files, others have not
        consumer.until(drill.is_half_done, pause_s=0.001)
        workers = python_workers()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        consumer.until(lambda: drill.folders() >= 6, may_end=True)

    drill.consume(*SMALL)

    assert workers
    drill.holds("SIGKILL of Spark's Python workers within a micro-batch")


def test_a_killed_broker_that_comes_back(drill: Drill) -> None:
    """Protection: the broker keeps its disk; without its folder, topics and readings are gone and nothing goes on."""
    rows = drill.mixed()
    half = len(rows) // 2
    drill.send(rows.iloc[:half])
    port = int(drill.broker.bootstrap_servers.rpartition(":")[2])
    with drill.consuming(*SMALL) as consumer:
        consumer.until(lambda: drill.folders() >= 2)
        drill.broker.kill()
        with Broker(drill.home / "data" / "kafka", settings.load(home=drill.home), port=port) as drill.broker:
            drill.send(rows.iloc[half:])
            consumer.until_all()
            consumer.stop()

    drill.holds("SIGKILL of the broker, its disk kept, started again under the running stream")


def test_a_paused_broker(drill: Drill) -> None:
    """Protection: Kafka's clients wait and ask again; told to give up within a second or so, the stream fails."""
    drill.send(drill.mixed())
    with drill.consuming(*SMALL) as consumer:
        consumer.until(lambda: drill.folders() >= 2)
        pid = drill.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            before = drill.folders()
            time.sleep(drill.length.pause_s)
            paused = drill.folders()
        finally:
            os.kill(pid, signal.SIGCONT)
        consumer.until_all()

    assert paused <= before + 1
    drill.holds(f"SIGSTOP of the broker for {drill.length.pause_s} s, then SIGCONT")


def test_a_killed_producer(drill: Drill) -> None:
    """Protection: of a user's readings with one time the first counts; without that rule repeats are not known."""
    real_time = drill.home / "data" / "real_time"
    real_time.mkdir(parents=True)
    drill.sent.astype({"userId": "int32"}).to_parquet(real_time / "part.parquet", index=False)
    command = [sys.executable, str(REPOSITORY / "code" / "main.py"), "produce", "activity", "--home", str(drill.home)]
    command += ["--bootstrap-servers", drill.broker.bootstrap_servers, "--speed", "10"]
    killed = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(messages(drill.stream, ACTIVITY.topics.events, 1, limit_s=1)) > 0, killed)
    finally:
        killed.kill()
        killed.wait()
    sent = len(messages(drill.stream, ACTIVITY.topics.events, 1))
    assert 0 < sent < len(drill.sent)

    drill.stream.run("produce", "activity")
    report = drill.consume()

    repeats = report["rows"] - len(drill.sent)
    assert repeats == report["duplicates"] + sum(report["refused"].values()) > 0
    drill.holds("SIGKILL of the producer, which then sends all of it again")


def test_kafkas_clock_jumps(drill: Drill) -> None:
    """Protection: order is the offset's, and a jump moves the clock that measures silences by a minute at most; moving
    by all of it, users are forgotten and their readings late."""
    hour_ms = 3_600_000
    jumps_ms = [0, 30 * 24 * hour_ms, -365 * 24 * hour_ms, 24 * hour_ms]
    rows = drill.mixed().to_json(orient="records", lines=True).splitlines()
    producer = KafkaProducer(bootstrap_servers=drill.broker.bootstrap_servers, acks="all")
    now_ms = time.time_ns() // 1_000_000
    for number, line in enumerate(rows):
        jump_ms = jumps_ms[(number // 97) % len(jumps_ms)]
        key = line.partition(":")[2].partition(",")[0]
        producer.send(ACTIVITY.topics.events, key=key.encode(), value=line.encode(), timestamp_ms=now_ms + jump_ms)
    producer.flush()
    producer.close()

    report = drill.consume("--max-records", "1000")

    assert report["latency_ms"]["p50"] >= 1
    drill.holds("The producers' clock jumps by a day, a month and a year, to and fro")


def test_models_are_swapped_and_rolled_back_under_the_stream(drill: Drill) -> None:
    """Protection: the smoothing starts anew with another version; averaging both models' probabilities, it fails."""
    drill.send(drill.mixed())
    with drill.consuming("--max-records", "200") as consumer:
        consumer.until(lambda: drill.folders() >= 4)
        drill.publish(drill.models.second)
        consumer.until(lambda: drill.models.second in set(record(drill.stream).modelVersion))
        drill.rollback()
        consumer.until_all()

    found = drill.holds("Promotion and rollback while it predicts")
    assert set(found.modelVersion) == {drill.models.first, drill.models.second}
    assert turns(drill) >= 2


def turns(drill: Drill) -> int:
    """How often the version changes from one record folder to the next."""
    found = record(drill.stream).sort_values(["userId", "timestamp"])
    per_user = found.groupby("userId").modelVersion
    return int(per_user.apply(lambda versions: (versions != versions.shift()).sum() - 1).max())


def test_a_restart_with_an_older_model(drill: Drill) -> None:
    """Protection: the state names the version of its probabilities; without it the older model averages them."""
    drill.publish(drill.models.second)
    rows = drill.mixed()
    drill.send(rows.iloc[: len(rows) // 2])
    drill.consume(*SMALL)
    drill.rollback()
    drill.send(rows.iloc[len(rows) // 2 :])

    drill.consume(*SMALL)

    found = drill.holds("A restart after a rollback to the model before")
    assert set(found.modelVersion) == {drill.models.first, drill.models.second}


def test_a_champion_changed_on_disk_is_refused_and_the_one_before_goes_on(drill: Drill) -> None:
    """Protection: the checksum is compared before a model is loaded; unchecked, the driver hands the changed files to
    workers, who refuse them and end the stream."""
    drill.send(drill.mixed())
    second = lifecycle.require(drill.folder, drill.models.second)
    with drill.consuming(*SMALL) as consumer:
        consumer.until(lambda: drill.folders() >= 2)
        (drill.folder.path(second) / "serving" / "added.pickle").touch()
        with pytest.raises(BadInput, match="is damaged"):
            drill.publish(second.version)
        # as somebody would who can write in the home
        drill.folder.publish(second)
        consumer.until_all()

    assert set(record(drill.stream).modelVersion) == {drill.models.first}
    (drill.folder.path(second) / "serving" / "added.pickle").unlink()
    drill.holds("A published model's files are changed on disk")


@pytest.fixture(params=["predictions", "state"])
def small_disk(request: pytest.FixtureRequest, drill: Drill) -> Iterator[Path]:
    """A file system of 3 MB where predictions, or the stream's bookkeeping, go."""
    folder = drill.home / "predictions" / (".checkpoint" if request.param == "state" else "")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(drill: Drill, small_disk: Path) -> None:
    """Protection: files are written aside and renamed, so a part of one never counts; written where they belong, half a
    micro-batch is in the record."""
    rows = drill.mixed()
    drill.send(rows.iloc[: len(rows) // 2])
    drill.consume("--max-records", "1200")
    drill.send(rows.iloc[len(rows) // 2 :])
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    # room for the files of some shards, not for those of all
    os.truncate(filler, filler.stat().st_size - ROOM_BYTES)
    before = record(drill.stream)

    with pytest.raises(Exception, match=r"No space left|disk is full") as failed:
        drill.consume()
    said = explain(failed.value)
    after = record(drill.stream)
    filler.unlink()
    drill.consume()

    assert isinstance(said, BadInput)
    assert re.search(r"the disk is full|No space left", str(said))
    assert before.equals(after), "a part of a micro-batch is in the record"
    drill.holds(f"The disk of {'the state' if small_disk.name == '.checkpoint' else 'the predictions'} is full")


def manifest_gone(checkpoint: Path) -> str:
    (checkpoint / "manifest.json").unlink()
    return "no checkpoint"


def manifest_cut(checkpoint: Path) -> str:
    path = checkpoint / "manifest.json"
    path.write_text(path.read_text()[:40])
    return f"the checkpoint {checkpoint} is damaged"


def state_gone(checkpoint: Path) -> str:
    # Files of the micro-batch before lie there too, and nobody misses those.
    states = json.loads((checkpoint / "manifest.json").read_text())["states"]
    (checkpoint / "state" / min(states.values())).unlink()
    return "lacks"


def state_bit(checkpoint: Path) -> str:
    for path in (checkpoint / "state").glob("*.arrow"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    return "is damaged (checksum differs)"


def query_gone(checkpoint: Path) -> str:
    shutil.rmtree(checkpoint / "query")
    return "lacks the offsets of micro-batch"


def offsets_cut(checkpoint: Path) -> str:
    newest = max((checkpoint / "query" / "offsets").glob("[0-9]*"), key=lambda path: int(path.name))
    newest.write_bytes(newest.read_bytes()[:30])
    newest.with_name(f".{newest.name}.crc").unlink()
    return "is damaged"


DAMAGES: list[Callable[[Path], str]] = [manifest_gone, manifest_cut, state_gone, state_bit, query_gone, offsets_cut]


def test_a_damaged_checkpoint_is_named_and_reset(drill: Drill) -> None:
    """Protection: manifest, state files and Spark's offsets are checked before anything is read; unchecked, a lost log
    of offsets lets the stream pass over what it takes for repeats."""
    rows = drill.mixed()
    checkpoint = drill.home / "predictions" / ".checkpoint" / "consume"
    drill.send(rows.iloc[: len(rows) // 2])
    drill.consume(*SMALL)
    drill.send(rows.iloc[len(rows) // 2 :])
    whole, before = drill.home / "whole", record(drill.stream)
    shutil.copytree(checkpoint, whole)

    for damage in DAMAGES:
        words = damage(checkpoint)
        with pytest.raises(Exception, match=r".") as failed:
            drill.consume(*SMALL)
        said = explain(failed.value)
        assert isinstance(said, BadInput), damage.__name__
        assert words in str(said), damage.__name__
        assert "consume --reset" in str(said), damage.__name__
        assert record(drill.stream).equals(before), damage.__name__
        shutil.rmtree(checkpoint)
        shutil.copytree(whole, checkpoint)

    query_gone(checkpoint)
    drill.consume("--reset")
    drill.holds("Six damages of the checkpoint, each refused by name; then --reset")


def test_records_that_expired_unread_stop_the_stream(drill: Drill) -> None:
    """Protection: the source fails where records are gone; told to pass over them, windows would be missing."""
    rows = drill.sent.sort_values(["timestamp"])
    drill.send(rows.iloc[: len(rows) // 2])
    drill.consume()
    before = record(drill.stream)
    drill.send(rows.iloc[len(rows) // 2 :])
    admin = KafkaAdminClient(bootstrap_servers=drill.broker.bootstrap_servers)
    partitions = [TopicPartition(ACTIVITY.topics.events, number) for number in range(ACTIVITY.topics.partitions)]
    admin.delete_records(dict.fromkeys(partitions, -1))
    admin.close()

    with pytest.raises(Exception, match=r".") as failed:
        drill.consume()

    said = explain(failed.value)
    assert isinstance(said, BadInput)
    assert "Kafka no longer holds records that were not read yet" in str(said)
    assert record(drill.stream).equals(before)
    assert drill.consume("--reset")["rows"] == 0
