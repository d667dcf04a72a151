"""Parts of the verb drill that need no platform: its readings, and which processes it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamforest.errors import WrongUsage
from streamforest.platform import drill
from streamforest.platform.applications.drill import APPLICATION

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_readings_are_events_of_the_application_and_always_the_same() -> None:
    rows = drill.readings()

    assert set(rows.column_names) == set(APPLICATION.schemas.event.names)
    assert rows.num_rows == 4 * 20 * drill.SECONDS
    assert rows.equals(drill.readings())
    assert drill.readings(drill.SECONDS + drill.MORE_SECONDS).num_rows == rows.num_rows + 4 * 20 * drill.MORE_SECONDS


@pytest.mark.parametrize(("what", "job"), [("driver", "consume"), ("producer", "produce")])
def test_only_the_job_of_the_drill_is_killed(what: str, job: str) -> None:
    other = "produce" if job == "consume" else "consume"
    commands = [["/opt/main.py", job, "drill"], ["/opt/main.py", other, "drill"], ["/opt/main.py", job, "activity"]]
    processes = [subprocess.Popen([*SLEEP, *command]) for command in commands]
    try:
        assert drill.find(what) == [processes[0].pid]
        assert drill.kill(what) == 1
        assert processes[0].wait(10) == -9
        assert [process.poll() for process in processes[1:]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_what_is_no_part_of_a_stream_is_not_killed() -> None:
    with pytest.raises(WrongUsage, match="no process is a web"):
        drill.kill("web")
