"""An application that answers single requests, tiny: the third one's numbers, asked one at a time."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest.application import Answering, Topics, TrainedModel
from tests.applications import parity


def answer(model: TrainedModel, events: DataFrame) -> DataFrame:
    # The pipeline indexes the label as well, which a request has not.
    classified = parity.classified(model, events.withColumn("parity", F.lit(parity.CLASSES[0])))
    return classified.withColumn("parity", F.col("predicted"))


APPLICATION = replace(
    parity.APPLICATION,
    name="asks",
    prefix="asks",
    topics=Topics(events="asks", predictions="asks.answers", invalid="asks.invalid", partitions=2),
    predict=Answering(answer=answer),
)
