import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from streamforest.embedded.broker import Broker, BusyFolder, attach_or_start, running
from streamforest.errors import BadInput, Unreachable, WrongUsage
from streamforest.kafka import Kafka
from streamforest.streaming import topics

LONG_AGO_MS, LATER_MS = 1_000, 1_700_000_000_000


def send(server: str, topic: str, values: list[tuple[bytes, int]]) -> None:
    producer = KafkaProducer(bootstrap_servers=server)
    for value, timestamp_ms in values:
        # One batch a record: a broker looks at the time of a batch.
        producer.send(topic, value, timestamp_ms=timestamp_ms).get(30)
    producer.close()


def read(server: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=server, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=15_000
    )
    found = [message.value for _, message in zip(range(count), consumer, strict=False)]
    consumer.close()
    return found


def wait_until(predicate: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(0.05)
    return predicate()


def runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_records_of_any_age_outlive_a_stop_and_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "a broker"
    cluster = folder / "data" / "meta.properties"

    with Broker(folder) as broker:
        topics.create_topics(Kafka(broker.bootstrap_servers), {"HAR": 1})
        send(broker.bootstrap_servers, "HAR", [(b"old", LONG_AGO_MS), (b"new", LATER_MS), (b"old again", LONG_AGO_MS)])
        identity = cluster.read_text()
    with Broker(folder) as broker:
        after_stop = read(broker.bootstrap_servers, "HAR", 3)
        send(broker.bootstrap_servers, "HAR", [(b"last", LONG_AGO_MS)])
        broker.kill()
    with Broker(folder) as broker:
        after_crash = read(broker.bootstrap_servers, "HAR", 4)

    assert after_stop == [b"old", b"new", b"old again"]
    assert after_crash == [*after_stop, b"last"]
    assert cluster.read_text() == identity
    # One segment: records years apart must not start a new file each.
    assert len(list((folder / "data" / "HAR-0").glob("*.log"))) == 1


def test_topics_are_made_once_and_only_when_asked_for(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        topics.create_topics(Kafka(broker.bootstrap_servers), {"HAR": 3, "HAR.invalid": 1})
        topics.create_topics(Kafka(broker.bootstrap_servers), {"HAR": 5})
        consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers)

        partitions = consumer.partitions_for_topic("HAR")
        known = consumer.topics()
        consumer.close()

    assert partitions == {0, 1, 2}
    assert {name for name in known if not name.startswith("__")} == {"HAR", "HAR.invalid"}


def test_a_record_of_ten_megabytes_passes(tmp_path: Path) -> None:
    size = 10 * 2**20

    with Broker(tmp_path) as broker:
        topics.create_topics(Kafka(broker.bootstrap_servers), {"HAR": 1})
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_request_size=size + 1_000)
        producer.send("HAR", bytes(size)).get(30)
        producer.close()

        (found,) = read(broker.bootstrap_servers, "HAR", 1)

    assert len(found) == size


def hold_a_broker(folder: Path, answer: Connection) -> None:
    with Broker(folder) as broker:
        answer.send((broker.pid, broker.bootstrap_servers))
        time.sleep(300)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_broker_ends_with_its_owner_and_the_next_one_takes_over(tmp_path: Path, how: signal.Signals) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    owner = context.Process(target=hold_a_broker, args=(tmp_path, theirs))
    owner.start()
    assert ours.poll(90)
    pid, server = ours.recv()

    with pytest.raises(BusyFolder, match=f"process {pid}.*--bootstrap-servers {server}"):
        Broker(tmp_path).start()
    with attach_or_start(tmp_path) as attached:
        shared = attached
    still_running = runs(pid)
    os.kill(owner.pid or 0, how)
    owner.join(30)
    with Broker(tmp_path) as successor:
        taken_over = successor.pid

    assert shared == server
    assert still_running
    assert wait_until(lambda: not runs(pid), 10)
    assert taken_over not in {None, pid}
    assert running(tmp_path) is None


def test_ctrl_c_leaves_no_broker(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom streamforest.embedded.broker import Broker\n"
        "with Broker(Path(sys.argv[1])) as broker:\n    print(broker.pid, flush=True)\n    time.sleep(300)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout
    pid = int(owner.stdout.readline())

    owner.send_signal(signal.SIGINT)
    owner.wait(30)
    owner.stdout.close()

    assert not runs(pid)


def test_a_broker_that_cannot_start_tells_its_cause_and_log(tmp_path: Path) -> None:
    with Broker(tmp_path):
        pass
    meta = tmp_path / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))

    with pytest.raises(Unreachable, match=r"Kafka ended at its start \(.*node.*\); see .*broker\.log") as caught:
        Broker(tmp_path).start()

    assert "\n" not in str(caught.value)


def test_files_of_others_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").touch()

    with pytest.raises(BadInput, match=r"holds files but no meta\.properties"):
        Broker(tmp_path).start()

    assert (tmp_path / "data" / "mine").exists()


def test_a_closed_port_is_told_within_its_limit() -> None:
    started = time.monotonic()

    with pytest.raises(Unreachable, match=r"no Kafka at 127\.0\.0\.1:1 "):
        topics.reachable(Kafka("127.0.0.1:1"), 0.5)

    assert time.monotonic() - started < 3


@pytest.mark.parametrize("text", ["host", "host:", ":9092", "host:port", "host:70000", ""])
def test_what_is_no_server_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage, match="is not HOST:PORT"):
        topics.reachable(Kafka(text))
