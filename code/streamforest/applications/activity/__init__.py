"""Human activity recognition: what a phone's owner is doing, from its accelerometer at 20 Hz (WISDM Actitracker)."""

from __future__ import annotations

import re
from pathlib import Path

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamforest.application import (
    Application,
    Inputs,
    PipelineDefinition,
    Prediction,
    Schemas,
    Signal,
    Split,
    Topics,
    TrainedModel,
)
from streamforest.applications.activity import download, generator, pipelines, reading, sampling, schemas
from streamforest.applications.activity.events import decode
from streamforest.applications.activity.gate import GATE
from streamforest.errors import WrongUsage
from streamforest.ml import serving, window_scoring
from streamforest.ml.window_stream import WindowStream

_SMOOTHING = "smoothing_windows"


def _is_training(split_at: str) -> Column:
    if not re.fullmatch(r"\d{1,9}", split_at):
        raise WrongUsage(f"--split-at {split_at!r} is not a user's number", "users below it train: --split-at 1607")
    return F.col("userId") < int(split_at)


def _score(model: TrainedModel, rows: DataFrame) -> DataFrame:
    windows = window_scoring.classify(model.pipeline, rows, ["userId", "action"], model.serving[_SMOOTHING])
    return window_scoring.label_of(windows, "action", "userId")


def _predict(model: TrainedModel, events: DataFrame) -> DataFrame:
    windows = window_scoring.classify(model.pipeline, events, ["userId"], model.serving[_SMOOTHING], spans=model.spans)
    return windows.select("userId", "timestamp", F.col(window_scoring.SMOOTHED).alias("action"), "probability")


def _load(folder: Path) -> WindowStream:
    return WindowStream(serving.load(folder))


APPLICATION = Application(
    name="activity",
    prefix="",
    inputs=Inputs(
        history="WISDM_at_v2.0_raw.txt",
        live="WISDM_at_v2.0_unlabeled_raw.txt",
        generate=generator.generate,
        download=download.download,
    ),
    schemas=Schemas(raw=schemas.RAW, event=schemas.EVENT, prediction=schemas.PREDICTION),
    key="userId",
    event_time="timestamp",
    label="action",
    partition_by=("userId", "action"),
    topics=Topics(events="HAR", predictions="HAR.predictions", invalid="HAR.invalid"),
    read=reading.read,
    split=Split(default="1607", unit="userId", is_training=_is_training),
    pipelines={
        "lags": PipelineDefinition(build=pipelines.lags, serving={_SMOOTHING: pipelines.SMOOTHING_WINDOWS}),
        "statistics": PipelineDefinition(build=pipelines.statistics, serving={_SMOOTHING: pipelines.SMOOTHING_WINDOWS}),
    },
    default_pipeline="statistics",
    sample=sampling.sample,
    decode=decode,
    score=_score,
    variants=(window_scoring.SMOOTHED,),
    predict=Prediction(shards=8, export=serving.export, load=_load, batch=_predict),
    gate=GATE,
    smoothing=_SMOOTHING,
    signal=Signal(columns=schemas.AXES, quantity="acceleration", unit="m/s²", limit=20.0),
)
