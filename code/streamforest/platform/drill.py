"""The parts of the verb ``drill`` that run inside the platform.

``prepare COUNT`` starts a stream of made-up readings, long enough for so many breaks, and returns when it predicts;
``find WHAT`` tells whether processes of it run in the container it runs in, and ``kill WHAT`` ends them; ``resumed``
returns when readings are taken again; ``verify NAME...`` waits for the stream's end and compares its record with the
batch path's. The verb itself breaks containers in between. All of it happens in topics and folders of the application
``drill``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streamforest import cli, files, settings
from streamforest.application import places
from streamforest.embedded import comparison
from streamforest.embedded.kafka import remove_topics
from streamforest.errors import StreamforestError, Unreachable, WrongUsage
from streamforest.kafka import Role
from streamforest.model.publication import ModelFolder
from streamforest.platform.airflow import Airflow
from streamforest.platform.applications.drill import APPLICATION
from streamforest.platform.asking import ask
from streamforest.progress import say
from streamforest.settings import Settings
from streamforest.streaming import topics
from streamforest.streaming.predictor import RECORD_PREFIX
from streamforest.streaming.state import Checkpoint

DAG_ID = APPLICATION.name
KEYS = ("userId", "timestamp")
SECONDS, MORE_SECONDS = 45, 30
"""Of readings, sent at their own pace: for one break, and for each after it."""
_LONGER_S = 15
"""By this the stream runs longer."""
_USERS, _START_MS, _STEP_MS = (11, 12, 13, 14), 1_370_367_549_273, 50
_FIRST_LIMIT_S, _END_LIMIT_S, _PAUSE_S = 300.0, 900.0, 1.0
_EXECUTOR, _DRIVER = "org.apache.spark.executor.CoarseGrainedExecutorBackend", "main.py"


def readings(seconds: int = SECONDS) -> pa.Table:
    """Events of four users who do something else every fifteen seconds, the same at each call."""
    random = np.random.default_rng(1)
    at_s = np.arange(seconds * 1000 // _STEP_MS) * _STEP_MS / 1000
    parts = []
    for nth, user in enumerate(_USERS):
        hertz = np.array([0.0, 1.5, 3.0])[((at_s // 15) + nth).astype(int) % 3]
        sway = np.where(hertz > 0, 4 * np.sin(2 * np.pi * hertz * at_s), 0.0)
        times_ms = _START_MS + nth * 10_000_000 + (1000 * at_s).astype(np.int64)
        axes = {"x": 0.5 * sway, "y": 9.8 + sway, "z": 0.3 * sway}
        noisy = {axis: values + random.normal(0, 0.6, len(at_s)) for axis, values in axes.items()}
        parts.append(pa.table({"userId": np.full(len(at_s), user, np.int32), "timestamp": times_ms, **noisy}))
    return pa.concat_tables(parts)


def prepare(given: Settings, breaks: int = 1) -> str:
    """Begin a stream without a past, and return when its first predictions are in the record.

    It lasts long enough for so many breaks.

    Raises:
        BadInput: no model of ``activity`` is published yet.
        Unreachable: nothing was predicted within five minutes.
    """
    here = places(APPLICATION, given)
    source, target = ModelFolder(given.model), ModelFolder(here.model)
    champion = source.require_champion()
    source.verify(champion)
    for folder in (here.model, here.data, here.predictions):
        files.remove(folder)
    shutil.copytree(source.path(champion), target.path(champion))
    target.publish(champion)
    here.real_time.mkdir(parents=True)
    here.predictions.mkdir(parents=True)
    seconds = SECONDS + MORE_SECONDS * (breaks - 1)
    pq.write_table(readings(seconds), here.real_time / "readings.parquet")
    kafka = given.kafka(Role.ADMIN)
    remove_topics(kafka, list(APPLICATION.topics.all()))
    topics.create_topics(kafka, APPLICATION.topics.all())
    run_id = Airflow().trigger(DAG_ID, seconds=seconds + _LONGER_S)
    _until("its first predictions", lambda: any(_record(here.predictions)), _FIRST_LIMIT_S)
    return f"run {run_id} of the DAG {DAG_ID} predicts"


def find(what: str) -> list[int]:
    """Processes of the stream in this container.

    Raises:
        WrongUsage: it is none of driver, producer and executor.
    """
    if what == "executor":
        apps = ask("http://master:8080/json/")["activeapps"]
        words = [{_EXECUTOR, app["id"]} for app in apps if app["name"] == f"consume {APPLICATION.name}"]
    elif what in ("driver", "producer"):
        job = "consume" if what == "driver" else "produce"
        words = [{_DRIVER, job, APPLICATION.name}]
    else:
        raise WrongUsage(f"no process is a {what}", "give driver, producer or executor")
    return [pid for pid, arguments in _processes() if any(each <= arguments for each in words)]


def kill(what: str) -> int:
    """End those that :func:`find` finds as a crash would (SIGKILL), and return how many those were."""
    found = find(what)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def resumed(given: Settings) -> str:
    """Wait until the stream has taken another micro-batch; returns a line of what there is.

    Raises:
        StreamforestError: its run failed.
        Unreachable: neither a micro-batch nor the end of its run came within five minutes.
    """
    checkpoint = Checkpoint(places(APPLICATION, given).checkpoints / "consume")

    def taken() -> int:
        return checkpoint.read().batch_id if checkpoint.exists else -1

    before = taken()
    _until("another micro-batch", lambda: taken() > before or _ended(), _FIRST_LIMIT_S)
    return "the stream takes readings again" if taken() > before else "the stream is over"


def verify(given: Settings, name: str) -> str:
    """Wait for the end of the stream's run, then compare; returns a line of what was found.

    Raises:
        StreamforestError: the run failed, or the stream's predictions are not those of the batch path.
        Unreachable: the run did not end within fifteen minutes.
    """
    here, started = places(APPLICATION, given), time.monotonic()
    _until("the end of its run", _ended, _END_LIMIT_S)
    waited_s = time.monotonic() - started
    schema = pq.read_schema(next((here.predictions / "batch").glob("*.parquet")))
    streamed = comparison.read(_record(here.predictions), schema)
    expected = comparison.read((here.predictions / "batch").glob("*.parquet"), schema)
    compared = comparison.compare(streamed, expected, KEYS)
    tries = ", ".join(f"{task} {count}" for task, count in _tries().items() if count > 1)
    line = f"drill {name}: {compared}; ended after {waited_s:.0f} s; tried again: {tries or 'nothing'}"
    if not compared.holds:
        raise StreamforestError(f"the promise does not hold: {line}", "see predictions/drill, and the DAG's log")
    return line


def _record(predictions: Path) -> Iterator[Path]:
    return predictions.glob(f"{RECORD_PREFIX}*/*.parquet")


def _ended() -> bool:
    airflow = Airflow()
    try:
        run = airflow.last(DAG_ID)
    except Unreachable:
        # What was broken may be Airflow.
        return False
    if run["state"] == "failed":
        tasks = airflow.tasks(DAG_ID, run["dag_run_id"])
        failed = ", ".join(sorted(task for task, found in tasks.items() if found["state"] == "failed"))
        raise StreamforestError(f"the run failed in {failed}", "its log on Airflow's page says why")
    return bool(run["state"] == "success")


def _tries() -> Mapping[str, int]:
    airflow = Airflow()
    tasks = airflow.tasks(DAG_ID, airflow.last(DAG_ID)["dag_run_id"])
    return {name: int(found["try_number"]) for name, found in sorted(tasks.items())}


def _processes() -> Iterator[tuple[int, set[str]]]:
    """Processes of this container with their arguments, paths without their folders."""
    here = Path("/proc/self/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            arguments = path.read_bytes().decode(errors="replace").split("\0")
            # On the host those of all containers can be seen.
            if (path.parent / "ns" / "pid").readlink() == here:
                yield int(path.parent.name), {part.rpartition("/")[2] for part in arguments}


def _until(what: str, holds: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise Unreachable(f"the drill's stream did not reach {what} within {limit_s:.0f} s", "see Airflow's page")
        time.sleep(_PAUSE_S)


def main(argv: Sequence[str]) -> int:
    """Do one part; prints a line, and returns the exit code."""

    def command() -> None:
        verb, *rest = argv or [""]
        if verb == "prepare" and len(rest) == 1 and rest[0].isdecimal():
            say(prepare(settings.load(), int(rest[0])))
        elif verb == "resumed" and not rest:
            say(resumed(settings.load()))
        elif verb == "verify" and rest:
            say(verify(settings.load(), " ".join(rest)), sys.stdout)
        elif verb in ("find", "kill") and len(rest) == 1:
            found = kill(rest[0]) if verb == "kill" else len(find(rest[0]))
            if not found:
                raise Unreachable(f"no {rest[0]} runs here", "start the drill again")
            say(f"{'killed' if verb == 'kill' else 'found'} {found} processes of the {rest[0]}")
        else:
            cure = "give prepare COUNT, find WHAT, kill WHAT, resumed or verify NAME..."
            raise WrongUsage("this is no part of a drill", cure)

    return cli.outcome(command, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
