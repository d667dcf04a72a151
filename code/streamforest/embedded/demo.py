"""The verb ``demo``: all six jobs for real, one after the other, then a table of evidence and a page."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from streamforest import application as contract
from streamforest import cli, jars, session, settings
from streamforest.application import Answering, Application, places
from streamforest.embedded import asked, comparison, data, evidence, excerpt, kafka, report
from streamforest.embedded.broker import running
from streamforest.embedded.evidence import DemoReport, Trained
from streamforest.embedded.job import PROG, HomeKafka
from streamforest.errors import BadInput, StreamforestError, WrongUsage
from streamforest.jobs import answers
from streamforest.jobs.context import Context, Report
from streamforest.kafka import Kafka
from streamforest.model.publication import now
from streamforest.model.tracking import revision
from streamforest.progress import say
from streamforest.settings import Settings
from streamforest.streaming.answering import slots
from streamforest.streaming.predictor import RECORD_PREFIX

PAGE = "report.html"
_OTHER_STEPS = 10

Result = TypeVar("Result")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Run the demo and return its exit code: 0 only if every step held and stream and batch predicted the same."""

    def command() -> None:
        options = _parser().parse_args(argv)
        given = settings.load(home=options.home)
        name = options.application or contract.names(given.applications)[0]
        demo = Demo(contract.load(name, given.applications), given, options)
        found = demo.run()
        for line in evidence.text(found):
            say(line, sys.stdout)
        if not found.comparison.holds:
            raise StreamforestError(f"the stream's predictions are not the batch path's: {found.comparison}")

    return cli.outcome(command, argv)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="./control_env.sh demo",
        description="Runs all six jobs for real, from data to predictions, and ends in a table of evidence.",
        allow_abbrev=False,
    )
    parser.add_argument("application", metavar="APPLICATION", nargs="?", help="default: the first by name")
    parser.add_argument("--home", metavar="DIR", help="where data/, model/ and predictions/ lie")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of synthetic data and of the sample")
    parser.add_argument("--generate", action="store_true", help="where there is no data make some, fetch nothing")
    parser.add_argument("--split-at", metavar="VALUE", help="where training ends (default: the application's)")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


class Demo:
    """One demo of an application in a home."""

    def __init__(self, application: Application, given: Settings, options: argparse.Namespace) -> None:
        self._application, self._settings, self._options = application, given, options
        self._places = places(application, given)
        last = application.default_pipeline
        self._pipelines = [*sorted(name for name in application.pipelines if name != last), last]
        self._elsewhere = given.home != settings.load().home
        self._steps = _OTHER_STEPS + 2 * len(self._pipelines)
        self._step = 0

    def run(self) -> DemoReport:
        """Run every step, write the page, and return what was found.

        Raises:
            StreamforestError: a step failed; the line says why.
        """
        started = time.monotonic()
        self._require_no_broker()
        if self._settings.bootstrap_servers is not None:
            say("the demo starts a Kafka of its own and leaves the one of the settings alone")
        self._announced("data", self._data)
        with self._spark() as spark:
            reports = self._history(spark)
            with HomeKafka(shared=False) as own:
                answers_requests = isinstance(self._application.predict, Answering)
                streamed = self._asked(spark, own) if answers_requests else self._stream(spark, own)
        found = self._found(reports | streamed, started)
        self._announced(f"page {PAGE}", lambda: report.write(found, self._places.predictions / PAGE))
        return found

    def _history(self, spark: SparkSession) -> dict[str, Any]:
        """The jobs before the stream, each pipeline trained and tested."""
        split = ["--split-at", self._options.split_at] if self._options.split_at else []
        partition = self._job(spark, "partition", *split)
        pipelines = {
            name: Trained(
                train=self._job(spark, "train", "--pipeline", name), test=self._job(spark, "test", "--pipeline", name)
            )
            for name in self._pipelines
        }
        sample = self._job(spark, "sample", "--seed", str(self._options.seed))
        return {"partition": partition, "pipelines": pipelines, "sample": sample}

    def _stream(self, spark: SparkSession, own: HomeKafka) -> dict[str, Any]:
        """Sample through Kafka to predictions, the same by the batch path, and both compared."""
        own_kafka = self._announced("Kafka", lambda: self._kafka(own))
        to = ["--bootstrap-servers", own_kafka.servers]
        # What an earlier demo sent went with its topics, and its record with --reset: each one starts from nothing.
        produce = self._job(spark, "produce", "--again", *to)
        consume = self._job(spark, "consume", "--available-now", "--reset", *to)
        batch = self._job(spark, "consume", "--batch", str(self._places.real_time))
        compared = self._announced("stream against batch", self._compare)
        messages = kafka.messages(own_kafka, list(self._application.topics.all()))
        return {"produce": produce, "consume": consume, "batch": batch, "comparison": compared, "messages": messages}

    def _asked(self, spark: SparkSession, own: HomeKafka) -> dict[str, Any]:
        """Requests through Kafka to answers in real time, the same by the batch path, and both compared."""
        application = self._application
        own_kafka = self._announced("Kafka", lambda: self._kafka(own))
        given = replace(self._settings, bootstrap_servers=own_kafka.servers)
        context = Context(application=application, settings=given, name="consume", streams=True, given_spark=spark)
        options = cli.parser(PROG).parse_args(["consume", application.name, "--reset"])
        with answers.running(context, own_kafka, options) as (answerer, tally), contextlib.ExitStack() as stream:
            self._announced("consume, in real time", lambda: stream.enter_context(asked.answering(answerer)))
            to = ["--again", "--rate", str(asked.RATE), "--bootstrap-servers", own_kafka.servers]
            produce = self._job(spark, "produce", *to)
            asked.await_answers(tally, produce["rows"])
        batch = self._job(spark, "consume", "--batch", str(self._places.real_time))

        def compare() -> comparison.Comparison:
            compared = comparison.compare(
                asked.answers(spark, own_kafka, application),
                asked.batch(spark, self._places.predictions / "batch", application),
                [application.key],
            )
            say(str(compared))
            return compared

        return {
            "produce": produce,
            "consume": answers.report(answerer, tally),
            "batch": batch,
            "comparison": self._announced("stream against batch", compare),
            "messages": kafka.messages(own_kafka, list(application.topics.all())),
        }

    def _data(self) -> None:
        given, options = self._settings, self._options
        data.ensure(self._application, given, way="generate" if options.generate else None, seed=options.seed)
        for line in data.describe(self._application, given):
            say(line)

    @contextlib.contextmanager
    def _spark(self) -> Iterator[SparkSession]:
        """One session for all jobs, so that its start is paid once."""

        def start() -> SparkSession:
            connector = jars.ensure(jars.CONNECTOR, self._settings.jars, java_home=self._settings.java_home)
            held = slots(self._application)
            return session.build(self._settings, f"demo {self._application.name}", jars=connector, held=held)

        spark = self._announced("Spark", start)
        try:
            yield spark
        finally:
            spark.stop()

    def _require_no_broker(self) -> None:
        """Tell now what would be told minutes later, when the demo's own broker starts."""
        folder = self._settings.data / "kafka"
        if found := running(folder):
            raise BadInput(f"another process runs Kafka in {folder} ({found})", "stop it or give another --home")

    def _kafka(self, own: HomeKafka) -> Kafka:
        found = Kafka(own.servers(self._settings))
        kafka.remove_topics(found, list(self._application.topics.all()))
        return found

    def _compare(self) -> comparison.Comparison:
        application = self._application
        compared = comparison.compare(
            self._predicted(f"{RECORD_PREFIX}*"), self._predicted("batch"), [application.key, application.event_time]
        )
        say(str(compared))
        return compared

    def _predicted(self, folder: str) -> pa.Table:
        schema = to_arrow_schema(self._application.schemas.prediction, timezone="UTC")
        return comparison.read(self._places.predictions.glob(f"{folder}/*.parquet"), schema)

    def _found(self, reports: Mapping[str, Any], started: float) -> DemoReport:
        application = self._application
        history, live = self._raw()
        return DemoReport(
            application=application,
            home=self._settings.home,
            elsewhere=self._elsewhere,
            history=history,
            live=live,
            excerpt=excerpt.take(self._predicted(f"{RECORD_PREFIX}*"), self._places.real_time, application),
            predictions=self._places.predictions,
            seconds=time.monotonic() - started,
            generated=now(),
            revision=revision(),
            **reports,
        )

    def _raw(self) -> tuple[Sequence[Path], Path | None]:
        """The labelled raw files, and the one without labels, where the application has one."""
        found = data.raw_files(self._application, self._settings)
        live = self._application.inputs.live
        for name, path in found.items():
            if path is None:
                raise BadInput(f"{name} went away meanwhile", "run the demo again")
        return [path for name, path in found.items() if path and name != live], found.get(live) if live else None

    def _job(self, spark: SparkSession, name: str, *options: str) -> Report:
        argv = [name, self._application.name, *options]
        home = ["--home", str(self._settings.home)]
        shown = [*argv, *home] if self._elsewhere else argv
        return self._announced(f"{name} ({PROG} {' '.join(shown)})", lambda: cli.run([*argv, *home], PROG, spark=spark))

    def _announced(self, what: str, body: Callable[[], Result]) -> Result:
        """Run a step between a line that names it and a line that says how long it took."""
        self._step += 1
        place = f"[{self._step}/{self._steps}]"
        say(f"{place} {what}")
        started = time.monotonic()
        result = body()
        say(f"{place} done in {time.monotonic() - started:.1f} s")
        return result
