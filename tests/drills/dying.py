"""A consumer that ends as by SIGKILL at a chosen step of a commit: ``python -m tests.drills.dying STEP JOB ...``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from streamforest import cli, files
from streamforest.streaming import predictor
from streamforest.streaming.state import Checkpoint, Manifest

STEPS = {
    "staged": "its files are whole, its folder has no name yet",
    "named": "its folder has its name, the manifest does not count it yet",
    "committed": "the manifest counts it, Spark has not noted it yet",
}
"""Where a micro-batch is when the driver dies."""
SEQUENCE = 3
"""Of the record folder at which it dies."""


def main(argv: Sequence[str]) -> int:
    """Run a job in a process that does not live to its end."""
    step, *arguments = argv
    swap, commit = files.swap, Checkpoint.commit

    def swapped(new: Path, target: Path) -> None:
        if target.name == f"{predictor.RECORD_PREFIX}{SEQUENCE}":
            _die_at("staged")
        swap(new, target)

    def committed(self: Checkpoint, manifest: Manifest) -> None:
        if manifest.sequence == SEQUENCE:
            _die_at("named")
        commit(self, manifest)
        if manifest.sequence == SEQUENCE:
            _die_at("committed")

    def _die_at(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    files.swap, Checkpoint.commit = swapped, committed  # type: ignore[method-assign]
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
