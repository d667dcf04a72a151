"""consume: events from Kafka to predictions; with ``--batch`` the same predictions from files."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from streamforest import files
from streamforest.application import Answering, Prediction
from streamforest.errors import BadInput, WrongUsage
from streamforest.failures import explain
from streamforest.jobs import answers
from streamforest.jobs.context import Context, Job, Report
from streamforest.kafka import Role
from streamforest.model import lifecycle
from streamforest.progress import Progress, say
from streamforest.streaming import metrics, recorded, topics
from streamforest.streaming.answering import INTERVAL_S, LEAST_INTERVAL_S
from streamforest.streaming.predictor import RECORD_PREFIX, Predictor
from streamforest.streaming.source import read_stream
from streamforest.streaming.state import Checkpoint, Manifest
from streamforest.streaming.stream_metrics import StreamMetrics

_MAX_RECORDS = 400_000
_STATE_TTL_S = 86_400
_POLL_S = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: what to read, for how long, and how late events may be."""
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="Kafka")
    parser.add_argument("--available-now", action="store_true", help="predict what there is, then end")
    parser.add_argument("--batches", type=int, metavar="N", help="end after N micro-batches")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after S seconds")
    parser.add_argument(
        "--lateness", type=float, default=0.0, metavar="S", help="how late an event may be (default: 0)"
    )
    parser.add_argument(
        "--state-ttl",
        type=float,
        default=_STATE_TTL_S,
        metavar="S",
        help=f"seconds of silence after which what is kept of a key is dropped; 0: never (default: {_STATE_TTL_S})",
    )
    parser.add_argument(
        "--max-records", type=int, default=_MAX_RECORDS, metavar="N", help=f"in a micro-batch (default: {_MAX_RECORDS})"
    )
    parser.add_argument(
        "--interval",
        type=int,
        default=INTERVAL_S,
        metavar="S",
        help=f"of applications that answer requests: seconds between commits of offsets (default: {INTERVAL_S})",
    )
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve Prometheus metrics there while it runs")
    parser.add_argument("--batch", type=Path, metavar="PATH", help="predict events in these files, without Kafka")
    parser.add_argument(
        "--as-recorded", action="store_true", help="with --batch: each prediction by the version that the record names"
    )
    parser.add_argument("--day", metavar="DAY", help="with --batch: events of this day alone, such as 2013-12-24")
    parser.add_argument("--reset", action="store_true", help="remove the record and its checkpoint, and start anew")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Predict until told to end; every prediction is in ``predictions/pred_batch_<i>`` exactly once."""
    if options.lateness < 0:
        raise WrongUsage(f"--lateness {options.lateness} is not a time", "give seconds, 0 or more")
    if options.state_ttl < 0:
        raise WrongUsage(f"--state-ttl {options.state_ttl} is not a time", "give seconds, or 0 to drop nothing")
    if options.max_records < 1:
        raise WrongUsage(f"--max-records {options.max_records} is not a number of records", "give 1 or more")
    if options.interval < LEAST_INTERVAL_S:
        raise WrongUsage(f"--interval {options.interval} is too short", f"give {LEAST_INTERVAL_S} seconds or more")
    if options.as_recorded and not options.batch:
        raise WrongUsage("--as-recorded goes with --batch", "say which files: --batch PATH")
    predict = context.application.predict
    if options.as_recorded and isinstance(predict, Answering):
        raise WrongUsage(
            f"application {context.application.name} keeps no record of folders", "leave --as-recorded out"
        )
    if options.day and not (options.batch and context.application.day):
        raise WrongUsage(
            "--day goes with --batch, for an application whose events are of a day", "leave it out, or say --batch PATH"
        )
    if options.batch:
        return _batch(context, options.batch, options.as_recorded, options.day)
    return answers.run(context, options) if isinstance(predict, Answering) else _stream(context, predict, options)


def _stream(context: Context, predict: Prediction, options: argparse.Namespace) -> Report:
    application, places = context.application, context.places
    context.models.verify(context.models.require_champion())
    kafka = context.kafka(Role.PREDICTOR)
    topics.create_topics(kafka, application.topics.all())
    files.require_writable(places.predictions)
    checkpoint = Checkpoint(places.checkpoints / "consume")
    _open(checkpoint, places.predictions, topics.cluster_id(kafka), predict.shards, reset=options.reset)
    predictor = Predictor(
        application,
        predict,
        context.models,
        checkpoint,
        places.predictions,
        kafka,
        lateness_ms=int(options.lateness * 1000),
        ttl_ms=int(options.state_ttl * 1000),
    )
    records = read_stream(context.spark, kafka, application.topics.events, options.max_records)
    writer = records.writeStream.foreachBatch(predictor.handle).queryName(f"consume {application.name}")
    writer = writer.option("checkpointLocation", str(checkpoint.query))
    if options.available_now:
        writer = writer.trigger(availableNow=True)
    with metrics.served(options.metrics, StreamMetrics(predictor, checkpoint, application.name)) as figures:
        _watch(writer.start(), predictor, options, figures)
    if options.available_now:
        predictor.flush(context.spark)
    return {
        "rows": predictor.totals["rows"],
        "refused": dict(predictor.refused),
        "duplicates": predictor.totals["duplicates"],
        "predictions": predictor.totals["predictions"],
        "batches": predictor.totals["batches"],
        "latency_ms": predictor.latencies.quantiles(),
        "versions": sorted(predictor.versions),
        "path": str(places.predictions),
    }


def _open(checkpoint: Checkpoint, predictions: Path, cluster: str, shards: int, *, reset: bool) -> None:
    """A checkpoint that fits the record and the cluster.

    Raises:
        BadInput: it belongs to another cluster, or there is a record without checkpoint.
    """
    record = [path for path in predictions.glob(f"{RECORD_PREFIX}*") if path.is_dir()]
    cure = "start a new record with consume --reset (the old one is removed)"
    if reset:
        for path in [*record, checkpoint.query.parent]:
            files.remove(path)
    elif checkpoint.exists:
        found = checkpoint.read()
        if found.cluster_id != cluster:
            raise BadInput(f"the record in {predictions} is of another Kafka cluster ({found.cluster_id})", cure)
        checkpoint.check_query(found)
        return
    elif record:
        raise BadInput(f"{predictions} holds {record[0].name} but no checkpoint", cure)
    files.remove(checkpoint.query)
    checkpoint.commit(Manifest(cluster_id=cluster, shards=shards))


def _watch(query: StreamingQuery, predictor: Predictor, options: argparse.Namespace, figures: StreamMetrics) -> None:
    """Return when the query ended by itself or a limit is reached; a micro-batch under way is finished first."""
    started = time.monotonic()
    try:
        with Progress("predicting", None, "records") as progress:
            while query.isActive and not _reached(predictor, options, started):
                query.awaitTermination(_POLL_S)  # type: ignore[arg-type]  # takes fractions
                progress.to(predictor.totals["rows"])
                figures.watch(query)
            if query.isActive:
                _stop(query)
            query.awaitTermination()
            progress.to(predictor.totals["rows"])
    except StreamingQueryException as error:
        raise explain(error) from error


def _reached(predictor: Predictor, options: argparse.Namespace, started: float) -> bool:
    if options.batches is not None and predictor.totals["batches"] >= options.batches:
        return True
    return options.seconds is not None and time.monotonic() - started >= options.seconds


def _stop(query: StreamingQuery) -> None:
    while query.isActive and query.status["isTriggerActive"]:
        time.sleep(_POLL_S / 10)
    query.stop()


def _batch(context: Context, path: Path, as_recorded: bool, day: str | None) -> Report:
    application, places = context.application, context.places
    source = path if path.is_absolute() else context.settings.home / path
    if not source.exists():
        raise BadInput(f"there is nothing at {source}", "give a folder or a file of events")
    champion = context.models.require_champion()
    context.models.verify(champion)
    files.require_writable(places.predictions)
    events = _events(context, source)
    if day:
        events = _of_day(events, application.day, day)
    turns: dict[str, DataFrame | None] = {champion.version: None}
    if as_recorded:
        turns = {**recorded.turns(application, places.predictions, events, champion.version)}
    target = places.predictions / "batch"
    with files.aside(target) as folder:
        for name, spans in turns.items():
            version = champion if name == champion.version else lifecycle.require(context.models, name)
            say(f"predicting {source} with model version {name}")
            model = replace(context.models.load(version), spans=spans)
            recorded.predict(application, model, events).write.mode("append").parquet(str(folder))
    saved = context.spark.read.parquet(str(target))
    if application.day:
        say(f"kept in the store: predictions of {answers.keep(context, saved, application.day):,} days")
    rows, written = events.count(), saved.count()
    return {
        "rows": rows,
        "refused": {},
        "predictions": written,
        "batches": 1,
        "latency_ms": {"p50": None, "p95": None, "p99": None},
        "versions": list(turns),
        "path": str(target),
    }


def _events(context: Context, source: Path) -> DataFrame:
    """Events in a folder or file of parquet, the rows that partition left, or the accepted records of a raw file."""
    application = context.application
    names = application.schemas.event.names
    if source in (context.places.training, context.places.testing):
        rows = context.partitioned(source)
    elif source.is_dir() or source.suffix == ".parquet":
        return context.spark.read.schema(application.schemas.event).parquet(str(source))
    else:
        rows = application.read(context.spark, [source]).where(F.col("reason").isNull())
    if not set(names) <= set(rows.columns):
        # Such as a request's id, which no flight has: the sample that is all of them brings it.
        rows = application.sample(rows, rows.count(), 0)
    return rows.select(*names)


def _of_day(events: DataFrame, column: str, day: str) -> DataFrame:
    """The events of one day, which may be followed by a time.

    Raises:
        BadInput: there are none.
    """
    found = events.where(F.substring(column, 1, len("2013-12-24")) == day)
    if found.isEmpty():
        raise BadInput(f"there are no events of {day}", "give a day of those files, such as 2013-12-24")
    return found


JOB = Job(
    name="consume",
    summary="events from Kafka to predictions",
    run=run,
    arguments=arguments,
    streams=True,
    is_batch=lambda options: options.batch is not None,
)
