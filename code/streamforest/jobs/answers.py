"""consume, for applications that answer single requests: in real-time mode, or as a drain."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from itertools import groupby
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from streamforest import files, store
from streamforest.errors import BadInput
from streamforest.jobs.context import Context, Report
from streamforest.kafka import Kafka, Role
from streamforest.progress import Progress
from streamforest.streaming import metrics, topics
from streamforest.streaming.answer_metrics import AnswerMetrics
from streamforest.streaming.answering import Answerer
from streamforest.streaming.tally import Tally

_CLUSTER = "cluster"
_SHOWN_S = 0.5


def run(context: Context, options: argparse.Namespace) -> Report:
    """Answer requests until told to end; answers and refusals are in their topics."""
    kafka = context.kafka(Role.PREDICTOR)
    context.models.verify(context.models.require_champion())
    with (
        running(context, kafka, options) as (answerer, tally),
        metrics.served(options.metrics, AnswerMetrics(answerer, tally, context.application.name)),
    ):
        if options.available_now:
            answerer.drain()
        else:
            answerer.run(seconds=options.seconds, batches=options.batches)
    return report(answerer, tally)


@contextmanager
def running(context: Context, kafka: Kafka, options: argparse.Namespace) -> Iterator[tuple[Answerer, Tally]]:
    """What answers and what counts the answers; all of them are counted when the block has been left."""
    application = context.application
    checkpoint = context.places.checkpoints / "consume"
    files.require_writable(checkpoint)
    topics.create_topics(kafka, application.topics.all())
    _open(context, kafka, reset=options.reset)
    answerer = Answerer(
        context.spark,
        application,
        context.models,
        checkpoint / "query",
        kafka,
        max_records=options.max_records,
        interval_s=options.interval,
    )
    with Tally(kafka, application.topics) as tally, Progress("answering", None, "requests") as progress:
        over = threading.Event()
        shown = threading.Thread(target=_show, args=(tally, progress, over), daemon=True)
        shown.start()
        try:
            yield answerer, tally
        finally:
            over.set()
            shown.join()


def report(answerer: Answerer, tally: Tally) -> Report:
    """What came of it; a path there is none, since the record is the topic and the store."""
    return {
        "rows": tally.answers + sum(tally.refused.values()),
        "refused": dict(tally.refused),
        "duplicates": tally.repeated,
        "predictions": tally.answers - tally.repeated,
        "batches": answerer.batches,
        "latency_ms": tally.latencies.quantiles(),
        "versions": sorted(set(answerer.versions)),
        "path": None,
    }


def keep(context: Context, predictions: DataFrame, day: str) -> int:
    """Put batch predictions into the store, each day's in place of earlier ones; returns how many days.

    Raises:
        Unreachable: the store does not answer.
    """
    ordered = predictions.where(F.col(day).isNotNull()).orderBy(day, context.application.key)
    days = 0
    with closing(store.connect(context.settings.store)) as kept:
        for name, rows in groupby(ordered.toLocalIterator(), key=lambda row: str(row[day])):
            kept.replace_batch(name, [_document(row) for row in rows])
            days += 1
    return days


def _document(row: Row) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in row.asDict(recursive=True).items()
    }


def _open(context: Context, kafka: Kafka, *, reset: bool) -> None:
    """A checkpoint that fits the cluster.

    Raises:
        BadInput: it belongs to another one.
    """
    folder = context.places.checkpoints / "consume"
    cluster, note = topics.cluster_id(kafka), folder / _CLUSTER
    if reset:
        files.remove(folder)
    elif note.is_file() and note.read_text(encoding="utf-8") != cluster:
        raise BadInput(
            f"the offsets in {folder} are of another Kafka cluster", "start from the beginning of this one with --reset"
        )
    files.write_text(note, cluster)


def _show(tally: Tally, progress: Progress, over: threading.Event) -> None:
    while not over.wait(_SHOWN_S):
        progress.to(tally.answers)
