"""The command line: JOB APPLICATION [options], one JSON object as the last line of stdout, an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from pyspark.sql import SparkSession

from streamforest import application, files, progress, settings
from streamforest.errors import StreamforestError, WrongUsage
from streamforest.failures import explain
from streamforest.jobs import consume, partition, produce, sample, test, train
from streamforest.jobs.context import Context, FindKafka, Job, Report

JOBS: dict[str, Job] = {job.JOB.name: job.JOB for job in (partition, train, test, sample, produce, consume)}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def parser(prog: str = "main.py") -> argparse.ArgumentParser:
    """The parser of all jobs and their options."""
    top = _Parser(prog=prog, description="Runs one of the six jobs for an application.", allow_abbrev=False)
    jobs = top.add_subparsers(dest="job", metavar="JOB", required=True, parser_class=_Parser)
    for job in JOBS.values():
        one = jobs.add_parser(job.name, help=job.summary, description=job.run.__doc__, allow_abbrev=False)
        one.add_argument("application", metavar="APPLICATION", help="such as activity")
        one.add_argument("--home", metavar="DIR", help="where data/, model/ and predictions/ lie")
        one.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: SQLite under model/)")
        one.add_argument("--debug", action="store_true", help="show a traceback with an error")
        job.arguments(one)
    return top


def run(
    argv: Sequence[str], prog: str = "main.py", *, kafka: FindKafka | None = None, spark: SparkSession | None = None
) -> Report:
    """Run a job and return its report.

    Args:
        argv: job, application and options.
        prog: what usage messages call the command.
        kafka: tells where Kafka is when a job asks and no setting says it.
        spark: a session to use instead of the job's own.

    Raises:
        StreamforestError: what a user can mend.
    """
    options = parser(prog).parse_args(argv)
    job = JOBS[options.job]
    given = settings.load(
        home=options.home,
        bootstrap_servers=getattr(options, "bootstrap_servers", None),
        tracking_uri=options.tracking_uri,
    )
    chosen = application.load(options.application, given.applications)
    batch = job.is_batch(options)
    name = f"{job.name}-batch" if batch else job.name
    context = Context(
        application=chosen,
        settings=given,
        name=job.name,
        streams=job.streams and not batch,
        given_spark=spark,
        find_kafka=kafka,
    )
    progress.configure(given.log_format, job=job.name, application=chosen.name)
    started = time.monotonic()
    with files.exclusive(context.places.locks / f"{name}.lock", f"the job {name} {chosen.name}"):
        report = job.run(context, options)
    seconds = round(time.monotonic() - started, 2)
    return {"job": job.name, "application": chosen.name, "seconds": seconds, **report}


def main(argv: Sequence[str], prog: str = "main.py") -> int:
    """Run a job, print its report, and return the exit code: 0, 64, 65, 69 or 70."""
    return outcome(lambda: print(json.dumps(run(argv, prog)), flush=True), argv)


def outcome(command: Callable[[], None], argv: Sequence[str]) -> int:
    """Run a command and return its exit code; an error is one line on stderr."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        progress.configure(settings.log_format())
        command()
    except StreamforestError as error:
        return failed(error, argv)
    except Exception as error:
        return failed(explain(error), argv)
    except KeyboardInterrupt:
        progress.say("streamforest: interrupted", level="error")
        return 128 + signal.SIGINT
    return 0


def failed(error: StreamforestError, argv: Sequence[str]) -> int:
    """Print an error as one line, with a traceback before it under ``--debug``; returns its exit code."""
    if "--debug" in argv:
        traceback.print_exc()
    progress.say(f"streamforest: {error}", level="error")
    return error.exit_code


def _terminated(number: int, _: object) -> NoReturn:
    progress.say("streamforest: terminated", level="error")
    sys.exit(128 + number)
