"""Where a benchmark works: a temporary home of its own, so that nobody's models and predictions are touched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from streamforest import application as contract
from streamforest import cli, files, session, settings, synthetic
from streamforest.application import Application, places
from streamforest.embedded import data
from streamforest.embedded.broker import Broker
from streamforest.errors import WrongUsage
from streamforest.jars import CONNECTOR, ensure
from streamforest.jobs.context import Report
from streamforest.kafka import Kafka
from streamforest.model.tracking import Tracker
from streamforest.progress import say
from streamforest.settings import Settings
from streamforest.streaming import topics

APPLICATION = "activity"
"""Whose history is measured where a benchmark names no other."""
_PREFIX = ".bench-"
_SEED = 0


@dataclass(frozen=True)
class Workspace:
    """A temporary folder below the home's ``data/``, and the raw history that is measured."""

    folder: Path
    settings: Settings
    application: Application
    source: Path
    """The home's raw history, or generated data in the folder."""
    synthetic: bool

    @property
    def tracking_uri(self) -> str:
        """One MLflow store for everything measured here, never the user's."""
        return f"sqlite:///{self.folder}/mlflow.db"

    def home(self, name: str) -> Path:
        """A home in the folder, made where it is missing."""
        home = self.folder / name
        (home / "data").mkdir(parents=True, exist_ok=True)
        return home

    def settings_of(self, home: Path) -> Settings:
        """Settings of one of the homes."""
        return replace(self.settings, home=home, tracking_uri=self.tracking_uri)

    def tracker(self, home: Path) -> Tracker:
        """MLflow as the jobs of a home use it."""
        return Tracker(self.settings_of(home), self.application.name)

    def spark(self, *, streams: bool = False, **options: str) -> SparkSession:
        """The session that all jobs here share, started where there is none; ``streams`` adds Kafka's connector."""
        jars = ensure(CONNECTOR, self.settings.jars) if streams else []
        return session.build(self.settings, "bench", jars=jars, options=options)

    def job(self, home: Path, name: str, *options: str) -> Report:
        """Run one of the six jobs in the session that runs, and return its report."""
        tracked = ["--home", str(home), "--tracking-uri", self.tracking_uri]
        return cli.run([name, self.application.name, *tracked, *options], spark=SparkSession.getActiveSession())

    @contextlib.contextmanager
    def kafka(self, name: str) -> Iterator[str]:
        """Where a Kafka of its own listens, with the application's topics; it is gone after the block."""
        folder = self.folder / f"kafka-{name}"
        with Broker(folder, self.settings) as broker:
            topics.create_topics(Kafka(broker.bootstrap_servers), self.application.topics.all())
            yield broker.bootstrap_servers
        files.remove(folder)

    def facts(self) -> dict[str, Any]:
        """What every benchmark's result says of its circumstances."""
        return {"source": self.source.name, "synthetic": self.synthetic, "cores": self.settings.cores}


@contextlib.contextmanager
def opened(home: str | None, application: str = APPLICATION) -> Iterator[Workspace]:
    """A workspace below the ``data/`` of ``home`` (default: the home of the settings), removed at the end.

    Without raw history in the home, an installed package brings it into the workspace, or else the application's
    generator makes some there.

    Raises:
        BadInput: the home is no folder, or cannot be written.
    """
    given = settings.load(home=home)
    chosen = contract.load(application, given.applications)
    files.require_writable(given.data)
    _sweep(given.data)
    folder = given.data / f"{_PREFIX}{os.getpid()}"
    folder.mkdir()
    try:
        source = data.find(chosen, given, chosen.inputs.history)
        if source is None:
            instead = "what a package brings" if chosen.inputs.unpack else f"synthetic data, seed {_SEED}"
            say(f"no {chosen.inputs.history} in {places(chosen, given).data}: measuring {instead}")
            chosen.inputs.generate(folder, _SEED)
            source = folder / chosen.inputs.history
        yield Workspace(folder, given, chosen, source, synthetic.is_synthetic(source))
    finally:
        files.remove(folder)


def require_users(*numbers: int) -> None:
    """Refuse numbers of users without a meaning.

    Raises:
        WrongUsage: one is below 1.
    """
    for users in numbers:
        if users < 1:
            raise WrongUsage(f"{users} is not a number of users", "give 1 or more")


def _sweep(parent: Path) -> None:
    """Remove the folders of benchmarks that were killed."""
    for left in parent.glob(f"{_PREFIX}*"):
        number = left.name.removeprefix(_PREFIX)
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            files.remove(left)
