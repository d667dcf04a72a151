"""Latency of the pages: from a request's acceptance to its answer, at 20 and at 200 requests a second.

Kafka, the stream and the pages are processes of this machine. The load is made by `hey`: a request prefers to wait for
its answer, so that what hey measures ends when the answer can be read. Spark's part is from the request in Kafka to the
answer in Kafka, by the times that both were written.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.table import show
from bench.workspace import Workspace
from streamforest.application import Topics, places
from streamforest.embedded.broker import Broker
from streamforest.embedded.guard import Guard
from streamforest.errors import StreamforestError, Unreachable, WrongUsage
from streamforest.model.publication import ModelFolder
from streamforest.progress import say
from streamforest.settings import REPOSITORY
from streamforest.web.service import PREDICT

APPLICATION = "flights"
RATES = (20, 200)
_PER_PROCESS = {20: 4, 200: 10}
"""So many processes of hey share a rate, started one after the other, so that requests do not come in bursts."""
_WARM_S = 10
_WAIT_S = 10
_START_S = 400
_BODY = {
    "Carrier": "DL",
    "Origin": "JFK",
    "Dest": "LAX",
    "FlightDate": "2013-12-20",
    "FlightNum": "1262",
    "DepDelay": "12",
}

Times = npt.NDArray[np.float64]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="of load at each rate (default: 60)")


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning, and a machine without the load tool."""
    if options.seconds < 1:
        raise WrongUsage(f"--seconds {options.seconds} is not a time", "give 1 or more")
    if shutil.which("hey") is None:
        raise Unreachable("the load tool hey is not installed", "install it: apt-get install hey")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, and return what the JSON line holds."""
    home = _model(place)
    found = {}
    with Broker(place.folder / "kafka", place.settings) as broker, _served(place, home, broker) as address:
        say("warming up")
        _load(address, 20, _WARM_S, place.folder)
        for rate in RATES:
            say(f"{rate} requests a second for {options.seconds} s")
            found[rate] = _measure(place, broker.bootstrap_servers, address, rate, options.seconds)
    _show(found)
    return {**found[RATES[0]], f"at_{RATES[1]}": found[RATES[1]]}


def _model(place: Workspace) -> Path:
    """A home with the published model of the measured home, or one that is trained now."""
    home = place.home("web")
    here = places(place.application, place.settings).model
    there = places(place.application, place.settings_of(home)).model
    if ModelFolder(here).champion() is not None:
        shutil.copytree(here, there, symlinks=True)
        return home
    raw = places(place.application, place.settings_of(home)).data
    raw.mkdir(parents=True, exist_ok=True)
    (raw / place.source.name).symlink_to(place.source)
    spark = place.spark()
    try:
        for job in ("partition", "train"):
            place.job(home, job)
        if not place.job(home, "test")["gate"]["passed"]:
            raise WrongUsage(
                "the model trained on this history is refused by the gate", "measure a home with more data"
            )
    finally:
        # The stream needs the cores.
        spark.stop()
    return home


@contextlib.contextmanager
def _served(place: Workspace, home: Path, broker: Broker) -> Iterator[str]:
    """The address of the pages, with the stream behind them."""
    variables = {
        **os.environ,
        "STREAMFOREST_HOME": str(home),
        "STREAMFOREST_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "STREAMFOREST_WEB_RATE": "100000",
        "STREAMFOREST_WEB_QUEUE": "100000",
        "STREAMFOREST_WEB_TIMEOUT_S": "60",
    }
    stream = [sys.executable, "-P", str(REPOSITORY / "code" / "main.py"), "consume", place.application.name]
    pages = [sys.executable, "-P", "-m", "streamforest.web", "--port", "0"]
    with (
        _process(stream, variables, place.folder / "stream.log"),
        _process(pages, variables, place.folder / "pages.log") as log,
    ):
        address = _address(log)
        until = time.monotonic() + _START_S
        while _ask(address) != "OK":
            if time.monotonic() > until:
                last = (place.folder / "stream.log").read_text(encoding="utf-8").splitlines()[-1:]
                raise Unreachable(f"the stream gave no answer in {_START_S} s ({last})", "run it again")
        yield address


@contextlib.contextmanager
def _process(command: list[str], variables: Mapping[str, str], log: Path) -> Iterator[Path]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    guard = Guard(process.pid)
    try:
        yield log
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()
        guard.dismiss()


def _address(log: Path) -> str:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("pages at "):
                return line.removeprefix("pages at ")
        time.sleep(0.2)
    raise Unreachable("the pages did not start", f"see {log}")


def _ask(address: str) -> str:
    """The status of one request."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=2 * _WAIT_S)
    headers = {"content-type": "application/json", "prefer": f"wait={_WAIT_S}"}
    try:
        connection.request("POST", PREDICT, json.dumps(_BODY), headers)
        answer = connection.getresponse()
        return str(json.load(answer)["status"]) if answer.status == 200 else "WAIT"
    except (OSError, ValueError):
        time.sleep(0.5)
        return "ERROR"
    finally:
        connection.close()


def _load(address: str, rate: int, seconds: int, folder: Path) -> list[dict[str, float]]:
    """Rows of hey's own measurements."""
    count = _PER_PROCESS[rate]
    each = rate // count
    workers = max(each // 5, 1)
    body = folder / "body.json"
    body.write_text(json.dumps(_BODY), encoding="utf-8")
    command = ["hey", "-n", str(each * seconds), "-c", str(workers), "-q", str(each / workers), "-t", "30", "-o", "csv"]
    command += ["-m", "POST", "-T", "application/json", "-H", f"Prefer: wait={_WAIT_S}", "-D", str(body)]
    running = []
    for _ in range(count):
        running.append(subprocess.Popen([*command, f"{address}{PREDICT}"], stdout=subprocess.PIPE, text=True))
        time.sleep(0.2 / count)
    rows: list[dict[str, float]] = []
    for process in running:
        out, _ = process.communicate()
        if process.returncode:
            raise StreamforestError(f"hey ended with status {process.returncode}")
        rows += [{name: float(text) for name, text in row.items()} for row in csv.DictReader(out.splitlines())]
    return rows


def _measure(place: Workspace, servers: str, address: str, rate: int, seconds: int) -> dict[str, Any]:
    topics = place.application.topics
    begin = _ends(servers, topics)
    started = time.monotonic()
    rows = _load(address, rate, seconds, place.folder)
    elapsed_s = time.monotonic() - started
    waited_ms = np.array([1000 * row["response-time"] for row in rows if row["status-code"] == 200])
    stages = _stages(servers, topics, begin)
    asked = rate * seconds
    if not len(waited_ms) or not len(stages.asked):
        raise StreamforestError("no request was answered")
    return {
        "rate": rate,
        "seconds": round(elapsed_s, 1),
        "requests": asked,
        "lost": asked - len(waited_ms),
        "unanswered": stages.requests - stages.answered,
        "latency_ms": _quantiles(waited_ms),
        "spark_ms": _quantiles(stages.spark + stages.written),
        "stages_ms": {
            "pages to Kafka": _mean(stages.asked),
            "Kafka to Spark": _mean(stages.spark),
            "Spark to Kafka": _mean(stages.written),
            "HTTP and Kafka to pages": round(
                float(waited_ms.mean() - (stages.asked + stages.spark + stages.written).mean()), 2
            ),
        },
    }


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Milliseconds of each answered request."""

    requests: int
    answered: int
    asked: Times
    spark: Times
    written: Times


def _stages(servers: str, topics: Topics, begin: Mapping[Any, int]) -> Stages:
    """What the topics tell of the requests since ``begin``."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    consumer.assign(list(begin))
    for partition, offset in begin.items():
        consumer.seek(partition, offset)
    ends = consumer.end_offsets(list(begin))
    requests = 0
    times: dict[bytes, tuple[int, int, int, int]] = {}
    while any(consumer.position(one) < end for one, end in ends.items()):
        for partition, records in consumer.poll(timeout_ms=500).items():
            if partition.topic == topics.events:
                requests += len(records)
                continue
            for record in records:
                told = json.loads(record.value)["latency"]
                found = (told["acceptedMs"], told["kafkaMs"], told["sparkMs"], record.timestamp)
                times.setdefault(record.key, found)
    consumer.close()
    table = np.diff(np.array(list(times.values()), dtype=np.float64).reshape(-1, 4), axis=1)
    return Stages(requests=requests, answered=len(times), asked=table[:, 0], spark=table[:, 1], written=table[:, 2])


def _ends(servers: str, topics: Topics) -> dict[Any, int]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    partitions = [
        TopicPartition(name, number)
        for name in (topics.events, topics.predictions)
        for number in consumer.partitions_for_topic(name) or ()
    ]
    ends: dict[Any, int] = consumer.end_offsets(partitions)
    consumer.close()
    return ends


def _quantiles(values_ms: Times) -> dict[str, float]:
    shares = (50, 95, 99)
    return {f"p{share}": round(float(np.percentile(values_ms, share)), 1) for share in shares} | {
        "max": round(float(values_ms.max()), 1)
    }


def _mean(values_ms: Times) -> float:
    return round(float(values_ms.mean()), 2)


def _show(found: Mapping[int, Mapping[str, Any]]) -> None:
    for name, title in (
        ("latency_ms", "from a request's acceptance to its answer, by the client"),
        ("spark_ms", "of which in Spark: from the request in Kafka to the answer in Kafka"),
    ):
        show(
            title,
            ["requests/s", "requests", "lost", "p50 ms", "p95 ms", "p99 ms", "largest ms"],
            [[str(rate), one["requests"], one["lost"], *one[name].values()] for rate, one in found.items()],
        )
    for rate, one in found.items():
        total = sum(one["stages_ms"].values())
        rows = [[name, ms, f"{ms / total:.0%}"] for name, ms in one["stages_ms"].items()]
        show(f"stages at {rate} requests/s, means", ["stage", "ms", "share"], rows)
