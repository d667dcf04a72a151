"""An executor of a small cluster is killed: the tasks run again on the next one, and nobody has to start anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from tests.drills.drill import Drill, command_of, descendants
from tests.homes import REPOSITORY, environment
from tests.streams import wait_for

CLUSTER = "local-cluster[1,2,600]"
SPARK_HOME = str(Path(pyspark.__file__).parent)
"""Where a cluster finds what it starts executors with."""


@pytest.mark.long
def test_a_killed_executor(drill: Drill) -> None:
    """Protection: a repeated task writes files of its own attempt; with one name for all, a state would be taken that
    belongs to the try that died."""
    drill.send(drill.mixed())
    command = [sys.executable, str(REPOSITORY / "code" / "main.py"), "consume", "activity", "--home", str(drill.home)]
    command += ["--bootstrap-servers", drill.broker.bootstrap_servers, "--available-now", "--max-records", "300"]
    log = drill.home / "cluster.log"
    with log.open("w") as output:
        stream = subprocess.Popen(
            command,
            env=environment(STREAMFOREST_SPARK_MASTER=CLUSTER, SPARK_HOME=SPARK_HOME),
            stdout=output,
            stderr=output,
        )
        try:
            wait_for(lambda: drill.folders() >= 2, stream, limit_s=180)
            executors = [pid for pid in descendants(stream.pid) if b"CoarseGrainedExecutorBackend" in command_of(pid)]
            for pid in executors:
                os.kill(pid, signal.SIGKILL)
            ended = stream.wait(timeout=240)
        finally:
            stream.kill()
            stream.wait()

    assert executors
    assert ended == 0, log.read_text()
    drill.holds("SIGKILL of the executor of a cluster, within a micro-batch")
