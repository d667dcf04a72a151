"""A model to measure the stream with."""

from __future__ import annotations

from pathlib import Path

from bench import recordings
from bench.workspace import Workspace
from streamforest.errors import WrongUsage


def trained(place: Workspace, name: str) -> Path:
    """A home of that name with a published model of the default pipeline, trained on the measured history.

    Raises:
        WrongUsage: the gate refuses it.
    """
    home = place.home(name)
    persons = recordings.in_order(recordings.people(place.source), 0)
    recordings.write_split(place.source, home / "data" / place.application.inputs.history, persons)
    place.job(home, "partition", "--split-at", str(recordings.SPLIT_AT))
    place.job(home, "train")
    report = place.job(home, "test")
    if not report["gate"]["passed"]:
        # Speed does not depend on how good the model is; a few users may not reach the floor.
        raise WrongUsage("the model trained on this history is refused by the gate", "measure a home with more data")
    return home
