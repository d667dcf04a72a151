"""sample: some of the unlabelled records, as the events that produce sends."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from pyspark.sql import DataFrame

from streamforest import files, synthetic
from streamforest.errors import BadInput, WrongUsage
from streamforest.jobs.context import Context, Job, Report
from streamforest.jobs.parsing import parsed, reasons
from streamforest.jobs.partition import fingerprint
from streamforest.progress import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: how much, and the seed."""
    parser.add_argument("--samples", type=int, metavar="N", help="how many (default: the application's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice (default: 0)")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Write ``data/real_time``, replaced at once: one file a key's partition, in order of time."""
    samples = context.application.inputs.samples if options.samples is None else options.samples
    if samples < 1:
        raise WrongUsage(f"--samples {samples} is not a number of samples", "give 1 or more")
    files.require_writable(context.places.real_time.parent)
    with _rows(context) as source:
        keys, rows = _write(context, context.application.sample(source.rows, samples, options.seed), source.name)
    say(f"{rows:,} rows of {keys} keys in {context.places.real_time}")
    return {
        "samples": samples,
        "rows": rows,
        "keys": keys,
        "rows_refused": source.refused,
        "synthetic": source.synthetic,
        "path": str(context.places.real_time),
    }


class _Source(NamedTuple):
    """Raw rows to draw from."""

    name: str
    rows: DataFrame
    refused: dict[str, int]
    synthetic: bool


@contextlib.contextmanager
def _rows(context: Context) -> Iterator[_Source]:
    """Accepted records of the application's file without labels; where it has none, the testing rows."""
    application, places = context.application, context.places
    if application.inputs.live is None:
        rows = context.partitioned(places.testing)
        yield _Source(str(places.testing), rows, {}, bool(fingerprint(places.testing.parent).get("synthetic")))
        return
    path = context.input(application.inputs.live)
    with parsed(context, [path]) as records:
        accepted = records.where("reason is null").select(*application.schemas.raw.names)
        yield _Source(str(path), accepted, reasons(records), synthetic.is_synthetic(path))


def _write(context: Context, sampled: DataFrame, source: str) -> tuple[int, int]:
    """Replace ``data/real_time``; how many keys, and how many events."""
    application, places = context.application, context.places
    events = sampled.persist()
    try:
        counted = events.groupBy(application.key).count().collect()
        if not counted:
            raise BadInput(f"{source} holds no usable record", "put the real file there")
        with files.aside(places.real_time) as folder:
            (
                events.repartition(application.key)
                .sortWithinPartitions(application.key, application.event_time)
                .write.parquet(str(folder))
            )
    finally:
        events.unpersist()
    return len(counted), sum(row["count"] for row in counted)


JOB = Job(name="sample", summary="random stretches of data to stream", run=run, arguments=arguments)
