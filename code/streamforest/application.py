"""The contract between the platform and an application: one frozen object that holds everything that differs.

The six jobs take an :class:`Application` as an argument and never ask which one it is. An application is a package
with an object ``APPLICATION`` in it; :func:`load` finds it by name. Nothing here imports a job, a stage or a stream.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.types import StructType

from streamforest.errors import WrongUsage
from streamforest.settings import Settings

REFUSED_COLUMNS = "file string, line bigint, text string, reason string"
"""What a reader says of each record beside it; ``reason`` and ``text`` are null where it was accepted."""

Read = Callable[[SparkSession, Sequence[Path]], DataFrame]
"""Raw files to one row a record: the raw schema's columns and :data:`REFUSED_COLUMNS`.

A record of a refused row is null throughout. ``reason`` comes from a small fixed set, since it is counted by."""

Generate = Callable[[Path, int], None]
"""Write made-up raw files with the application's names into a folder, from a seed."""

Download = Callable[[Path], None]
"""Fetch the real raw files into a folder; raises Unreachable, within a short time, where that cannot be."""

Unpack = Callable[[Path], None]
"""Write the real raw files that an installed package brings into a folder; asks no network."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Names of the raw files below ``data/``; ``.xz`` and ``.gz`` are found too."""

    history: str
    """Labelled records, which partition reads."""
    live: str | None
    """Records without label, which sample draws from; None where it draws from the testing rows."""
    generate: Generate
    """Makes them where there is no data."""
    download: Download | None = None
    """Fetches the real archive; None where there is none to fetch."""
    unpack: Unpack | None = None
    """Takes the files from an installed package, before anything is fetched or made; None where none brings them."""
    layouts: Sequence[str] = ()
    """Patterns of labelled files in other layouts, such as ``*.jsonl``. The files of the first pattern that fits any
    are the history, all of them together, in place of ``history``."""
    samples: int = 20
    """How many sample draws where nobody says."""


@dataclass(frozen=True, kw_only=True)
class Schemas:
    """Columns of a raw record, of an event on the stream, and of a prediction."""

    raw: StructType
    event: StructType
    prediction: StructType


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Names in Kafka; they are used from outside."""

    events: str
    predictions: str
    invalid: str
    partitions: int = 4

    def all(self) -> dict[str, int]:
        """Partitions by topic."""
        return dict.fromkeys((self.events, self.predictions, self.invalid), self.partitions)


@dataclass(frozen=True, kw_only=True)
class Split:
    """How history is cut into training and testing rows."""

    default: str
    unit: str
    """Column whose values stand on one side only, such as ``userId``."""
    is_training: Callable[[str], Column]
    """From the text of ``--split-at`` to a condition; raises WrongUsage where the text has no meaning."""


@dataclass(frozen=True, kw_only=True)
class PipelineDefinition:
    """A named pipeline and what its model is served with."""

    build: Callable[[], Pipeline]
    serving: Mapping[str, Any] = field(default_factory=dict)
    """Values that scoring and the stream need beside the fitted stages, such as the length of the smoothing."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A fitted pipeline, its version, and the serving values of its definition."""

    pipeline: PipelineModel
    serving: Mapping[str, Any]
    version: str
    spans: DataFrame | None = None
    """When it predicted, where several versions did: a row (key, ``from_ms``, ``until_ms``) for each stretch of a key's
    own clock. Predictions that remember earlier ones start anew at each; None: it predicted everything."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When a candidate may replace the champion, both scored on the same rows."""

    metric: str
    """The name of the number that decides, as evaluation reports it."""
    tolerance: float
    """How far below the champion the candidate may lie: its difference, and the lower end of that one's interval."""
    floor: float
    """What a candidate must reach even where there is no champion."""
    recall_drop: float
    """How much recall any one class may lose."""
    resample_by: str = ""
    """Column of the scored rows whose values are drawn anew for the interval; empty: the split's unit."""
    confidence: float = 0.95
    """Share of the differences that lie in the interval."""


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What came of one shard's new events."""

    state: bytes
    """The shard's state after them."""
    predictions: pa.Table
    """The prediction schema without the model's version, and ``arrived_ms``: when the event that completed it came."""
    refused: pa.Table
    """``position`` (row of the events' table) and ``reason`` of events that came too late."""
    counts: Mapping[str, int]
    """Whatever else is worth counting, such as ``duplicates``."""


class StreamModel(Protocol):
    """A model as the stream uses it: Python only, no Spark, one call a shard and micro-batch."""

    def advance(
        self, state: bytes | None, events: pa.Table, *, lateness_ms: int, final: bool, ttl_ms: int = 0
    ) -> Advance:
        """Take the events of one shard in their order of arrival.

        Args:
            state: what the last call for this shard returned; None at first.
            events: the event schema's columns, ``arrived_ms`` (int64, when Kafka got it) and ``partition`` (int32).
            lateness_ms: how much older than its key's latest event an event may be, on the key's own clock.
            final: nothing more will come, so that what waits for late events is due now.
            ttl_ms: of a key without events for longer than this, as times of arrival tell, little need be kept; 0: all.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Which of an event's numbers are one quantity over time, to be drawn above the predictions."""

    columns: Sequence[str]
    """Of the event schema, all in the same unit."""
    quantity: str
    """What they measure, such as ``acceleration``."""
    unit: str
    limit: float
    """Larger amounts are no measurements; they are drawn at this one."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """How a stream of events becomes predictions, and how the same is computed from files."""

    shards: int
    """State is kept in so many parts; a key's shard is the hash of the key modulo this number."""
    export: Callable[[TrainedModel, Path], None]
    """Write what the stream needs of a model into a folder."""
    load: Callable[[Path], StreamModel]
    """Read that folder, in any Python process."""
    batch: Callable[[TrainedModel, DataFrame], DataFrame]
    """Events in files to predictions without the model's version: the right-hand side of the stream's promise."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How single requests become answers: one row in, one row out, by JVM expressions and MLlib stages alone (no Python
    on rows), so that it runs in Spark's real-time mode.
    """

    answer: Callable[[TrainedModel, DataFrame], DataFrame]
    """Events, as ``decode`` gives them, to the prediction schema's columns without the model's version. What the event
    schema does not have stays as it is: a stream sends a request's own times along."""
    day: str = ""
    """Column of the prediction schema, as 2013-12-24, by which batch results are kept in the store; empty: not kept."""

    def batch(self, model: TrainedModel, events: DataFrame) -> DataFrame:
        """The answers to events in files, which are those of the stream."""
        return self.answer(model, events)


@dataclass(frozen=True, kw_only=True)
class Application:
    """Everything that one application brings to the six jobs."""

    name: str
    prefix: str
    """Folder below ``data/``, ``model/`` and ``predictions/``; empty for the reference's own paths."""
    inputs: Inputs
    schemas: Schemas
    key: str
    """Column that is Kafka's key; events of one key keep their order."""
    event_time: str
    """Column with the event's time on its key's own clock: ms (bigint) or a timestamp."""
    label: str
    """Column with the class's name."""
    partition_by: Sequence[str]
    """Columns of the folders under ``data/partitioned/{training,testing}``."""
    topics: Topics
    read: Read
    split: Split
    pipelines: Mapping[str, PipelineDefinition]
    default_pipeline: str
    sample: Callable[[DataFrame, int, int], DataFrame]
    """Raw rows, number of samples, seed to events worth streaming; the same rows and seed give the same events."""
    decode: Callable[[Column], tuple[Column, Column]]
    """Kafka's value (binary) to the event (struct of the event schema) and the reason of its refusal; one is null."""
    score: Callable[[TrainedModel, DataFrame], DataFrame]
    """Labelled rows to one row a prediction: ``label``, ``predicted`` (null: the model gave no class), a column for
    each of ``variants`` and of ``baselines``, for ``slice``, and the column that the gate resamples by."""
    predict: Prediction | Answering
    gate: Gate
    variants: Sequence[str] = ()
    """Further predictions of the same rows that evaluation reports, such as ``smoothed``."""
    baselines: Sequence[str] = ()
    """Simple predictions of the same rows, learnt from the same training rows, that evaluation reports beside."""
    slice: str = ""
    """Column by whose values evaluation is repeated, such as a month; empty where there is none."""
    smoothing: str = ""
    """Name of the serving value that ``train --smoothing`` sets; empty where the application has none."""
    signal: Signal | None = None
    """What a report draws of a stretch of events; None where they are no series."""

    @property
    def day(self) -> str:
        """Column with an event's day, as 2013-12-24; empty where events are of no day."""
        return self.predict.day if isinstance(self.predict, Answering) else ""

    @property
    def resample_by(self) -> str:
        """Column of the scored rows by which the gate draws anew."""
        return self.gate.resample_by or self.split.unit

    def pipeline(self, name: str | None) -> tuple[str, PipelineDefinition]:
        """A pipeline by name, the default one for None.

        Raises:
            WrongUsage: there is none of that name.
        """
        chosen = name or self.default_pipeline
        if chosen not in self.pipelines:
            known = ", ".join(sorted(self.pipelines))
            raise WrongUsage(f"application {self.name} has no pipeline {chosen!r}", f"choose from: {known}")
        return chosen, self.pipelines[chosen]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where an application's files lie below a home."""

    data: Path
    model: Path
    predictions: Path
    locks: Path

    @property
    def training(self) -> Path:
        return self.data / "partitioned" / "training"

    @property
    def testing(self) -> Path:
        return self.data / "partitioned" / "testing"

    @property
    def refused(self) -> Path:
        return self.data / "refused"

    @property
    def real_time(self) -> Path:
        return self.data / "real_time"

    @property
    def checkpoints(self) -> Path:
        return self.predictions / ".checkpoint"


def places(application: Application, settings: Settings) -> Places:
    """The folders of an application under the settings' home."""
    return Places(
        data=settings.data / application.prefix,
        model=settings.model / application.prefix,
        predictions=settings.predictions / application.prefix,
        locks=settings.locks / application.name,
    )


def names(packages: Sequence[str]) -> list[str]:
    """Names of all applications in the packages, sorted."""
    found: set[str] = set()
    for package in packages:
        paths = importlib.import_module(package).__path__
        found.update(module.name for module in pkgutil.iter_modules(paths) if module.ispkg)
    return sorted(found)


def load(name: str, packages: Sequence[str]) -> Application:
    """The application of that name.

    Raises:
        WrongUsage: no package of ``packages`` has it.
    """
    for package in packages:
        if name in names([package]):
            application: Application = importlib.import_module(f"{package}.{name}").APPLICATION
            return application
    raise WrongUsage(f"unknown application {name!r}", f"choose from: {', '.join(names(packages))}")
