"""sample: some of the unlabelled records, as the events that produce sends."""

from __future__ import annotations

import argparse

from streamforest import files, synthetic
from streamforest.errors import BadInput, WrongUsage
from streamforest.jobs.context import Context, Job, Report
from streamforest.jobs.parsing import parsed, reasons
from streamforest.progress import say

SAMPLES = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: how much, and the seed."""
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N", help=f"how many (default: {SAMPLES})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice (default: 0)")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Write ``data/real_time``, replaced at once: one file a key's partition, in order of time."""
    application, places = context.application, context.places
    if options.samples < 1:
        raise WrongUsage(f"--samples {options.samples} is not a number of samples", "give 1 or more")
    source = context.input(application.inputs.live)
    files.require_writable(places.real_time.parent)
    with parsed(context, source) as records:
        refused = reasons(records)
        accepted = records.where("reason is null").select(*application.schemas.raw.names)
        events = application.sample(accepted, options.samples, options.seed).persist()
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
    rows = sum(row["count"] for row in counted)
    say(f"{rows:,} rows of {len(counted)} keys in {places.real_time}")
    return {
        "samples": options.samples,
        "rows": rows,
        "keys": len(counted),
        "rows_refused": refused,
        "synthetic": synthetic.is_synthetic(source),
        "path": str(places.real_time),
    }


JOB = Job(name="sample", summary="random stretches of unlabelled data to stream", run=run, arguments=arguments)
