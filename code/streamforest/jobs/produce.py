"""produce: sampled events to Kafka, keyed, in each key's order of time."""

from __future__ import annotations

import argparse

from streamforest.errors import BadInput, WrongUsage
from streamforest.jobs.context import Context, Job, Report
from streamforest.kafka import Role
from streamforest.streaming import replay, topics


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: which Kafka, and how fast."""
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="Kafka")
    parser.add_argument(
        "--speed", type=float, default=0.0, metavar="X", help="1: the recording's own pace; 0 (default): at once"
    )
    parser.add_argument(
        "--clock",
        choices=("recorded", "now"),
        default="recorded",
        metavar="WHOSE",
        help="whose times events bear: recorded (default) or now",
    )
    parser.add_argument("--rate", type=float, default=0.0, metavar="N", help="so many a second, whatever their times")
    parser.add_argument("--again", action="store_true", help="send also what was sent to this Kafka before")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Send the files of ``data/real_time`` that this Kafka has not got yet."""
    application, folder = context.application, context.places.real_time
    if options.speed < 0:
        raise WrongUsage(f"--speed {options.speed} is not a pace", "give 0 (at once), 1 (the recording's own) or more")
    if options.rate < 0 or (options.rate and options.speed):
        raise WrongUsage("--rate is a number of events a second, and excludes --speed", "give one of the two")
    if not any(folder.glob("*.parquet")):
        raise BadInput(f"there is nothing to send in {folder}", f"run the job sample {application.name} first")
    kafka = context.kafka(Role.PRODUCER)
    topics.create_topics(kafka, application.topics.all())
    checkpoint = context.places.checkpoints / "produce" / topics.cluster_id(kafka)
    replayed = replay.run(
        context.spark,
        application,
        folder,
        kafka,
        checkpoint=checkpoint,
        speed=options.speed,
        again=options.again,
        now=options.clock == "now",
        rate=options.rate,
    )
    return {
        "topic": application.topics.events,
        "rows": replayed.rows,
        "refused": {},
        "predictions": 0,
        "batches": replayed.batches,
        "latency_ms": {"p50": None, "p95": None, "p99": None},
    }


JOB = Job(name="produce", summary="sampled events to Kafka", run=run, arguments=arguments, streams=True)
