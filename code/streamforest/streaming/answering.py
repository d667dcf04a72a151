"""Requests to answers in Spark's real-time mode: Kafka to Kafka, each record on its way the moment it comes.

One query reads the requests twice, since a plan cannot split: once for what can be answered, once for what is refused.
Its operators are JVM expressions and stages of MLlib. A task holds its partition of the topic all the time, so a local
master needs as many threads more; see :func:`slots`.

A batch of this mode is a stretch of time. Its offsets are committed at its end, so that after a kill the requests of
the batch under way are answered again: in the topic an answer may be there twice, under the same key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from streamforest import files
from streamforest.application import Answering, Application
from streamforest.errors import Unreachable
from streamforest.failures import explain
from streamforest.kafka import Kafka
from streamforest.model.publication import ModelFolder, Version
from streamforest.progress import say
from streamforest.streaming.source import read_stream

ACCEPTED = "accepted_ms"
"""Header of a request: when it was accepted, as text of ms since 1970."""
LATENCY = "latency"
"""Field of an answer: ``acceptedMs`` (null without the header), ``kafkaMs``, ``sparkMs``, each ms since 1970."""
INTERVAL_S = 300
"""How long a batch lasts. Between two of them requests wait, about a second, while Spark plans the next one."""
LEAST_INTERVAL_S = 5
_POLL_S = 0.1
_HEADER = "array<struct<key: string, value: binary>>"


def slots(application: Application) -> int:
    """How many tasks the query of an application holds all the time; 0 where it answers no single requests."""
    if not isinstance(application.predict, Answering):
        return 0
    return 2 * application.topics.partitions


class Answerer:
    """The running query of an application, restarted when another model is published.

    Args:
        spark: a session with :func:`slots` threads to spare.
        checkpoint: where Spark keeps offsets and commits.
        max_records: of one micro-batch; real-time mode takes what comes.
        interval_s: how long a batch of real-time mode lasts.
    """

    def __init__(
        self,
        spark: SparkSession,
        application: Application,
        models: ModelFolder,
        checkpoint: Path,
        kafka: Kafka,
        *,
        max_records: int,
        interval_s: int = INTERVAL_S,
    ) -> None:
        self._spark, self._application, self._models = spark, application, models
        self._checkpoint, self._kafka = checkpoint, kafka
        self._max_records, self._interval_s = max_records, interval_s
        self._batches = 0
        self._ended = threading.Event()
        self.versions: list[str] = []
        """Of the models that answered, in order."""

    def drain(self) -> None:
        """Answer what there is, in ordinary micro-batches, then return.

        Raises:
            StreamforestError: the query failed.
        """
        query = self._start(self._models.require_champion(), real_time=False)
        try:
            query.awaitTermination()
        except StreamingQueryException as error:
            raise explain(error) from error
        self._batches += _finished(query)

    def run(self, *, seconds: float | None, batches: int | None) -> None:
        """Answer in real time until a limit is reached or :meth:`end` is called from another thread.

        Raises:
            StreamforestError: the query failed.
        """
        until = time.monotonic() + seconds if seconds is not None else None
        version = self._models.require_champion()
        query = self._start(version, real_time=True)
        try:
            while not self._over(query, until, batches):
                query.awaitTermination(_POLL_S)  # type: ignore[arg-type]  # takes fractions
                if not query.isActive:
                    query.awaitTermination()
                published = self._models.champion()
                if published is not None and published.version != version.version:
                    self._await_boundary(query, until)
                    version = published
                    query = self._restart(query, version)
        except StreamingQueryException as error:
            raise explain(error) from error
        # Not after a signal: the call to the JVM that it broke off left its reply on the line for the next one.
        self._batches += _finished(query)
        query.stop()

    def await_ready(self, limit_s: float) -> None:
        """Return once the tasks of the query run, so that what comes now does not wait for their start.

        Raises:
            Unreachable: they do not within ``limit_s`` seconds.
        """
        tracker, wanted = self._spark.sparkContext.statusTracker(), slots(self._application)
        until = time.monotonic() + limit_s
        while time.monotonic() < until and not self._ended.is_set():
            for stage in tracker.getActiveStageIds():
                found = tracker.getStageInfo(stage)
                if found is not None and found.numActiveTasks >= wanted:
                    return
            time.sleep(_POLL_S)
        raise Unreachable(f"the stream's {wanted} tasks did not start within {limit_s:g} s", "free some cores of Spark")

    def end(self) -> None:
        """Let :meth:`run` return soon."""
        self._ended.set()

    @property
    def batches(self) -> int:
        """Batches that were committed, known once :meth:`run` or :meth:`drain` has returned."""
        return self._batches

    def _over(self, query: StreamingQuery, until: float | None, batches: int | None) -> bool:
        if self._ended.is_set() or (until is not None and time.monotonic() >= until):
            return True
        return batches is not None and self._batches + _finished(query) >= batches

    def _await_boundary(self, query: StreamingQuery, until: float | None) -> None:
        """Return when a batch has just been committed: a stop now makes few requests be answered twice."""
        before = _finished(query)
        while _finished(query) == before and query.isActive and not self._over(query, until, None):
            time.sleep(_POLL_S)

    def _restart(self, query: StreamingQuery, version: Version) -> StreamingQuery:
        self._batches += _finished(query)
        query.stop()
        return self._start(version, real_time=True)

    def _start(self, version: Version, *, real_time: bool) -> StreamingQuery:
        files.require_writable(self._checkpoint.parent)
        say(f"answering with model version {version.version} (pipeline {version.pipeline})")
        most = None if real_time else self._max_records
        messages = self._answers(version, most).unionByName(self._refusals(most))
        writer = (
            messages.writeStream.format("kafka")
            .queryName(f"consume {self._application.name}")
            .options(**self._kafka.spark())
            .option("includeHeaders", "true")
            .option("kafka.linger.ms", 0)
            .option("checkpointLocation", str(self._checkpoint))
            .outputMode("update")
        )
        if real_time:
            writer = writer.trigger(realTime=f"{self._interval_s} seconds")  # type: ignore[call-overload]  # not in its types
        else:
            writer = writer.trigger(availableNow=True)
        self.versions.append(version.version)
        return writer.start()

    def _requests(self, client: str, most: int | None) -> DataFrame:
        """Records, each with its event and the reason of its refusal.

        Two sources of one plan must differ in something, or Spark takes them for one.
        """
        source = read_stream(self._spark, self._kafka, self._application.topics.events, most, client)
        event, reason = self._application.decode(F.col("value"))
        return source.select("*", event.alias("event"), reason.alias("reason"))

    def _answers(self, version: Version, most: int | None) -> DataFrame:
        application = self._application
        predict = application.predict
        if not isinstance(predict, Answering):
            raise TypeError(f"application {application.name} answers no single requests")
        names = application.schemas.prediction.names
        requests = self._requests("answers", most).where(F.col("reason").isNull())
        asked = requests.select("event.*", F.unix_millis("timestamp").alias("_kafka"), _accepted().alias("_accepted"))
        answered = predict.answer(self._models.load(version), asked).withColumn("modelVersion", F.lit(version.version))
        latency = F.struct(
            F.col("_accepted").alias("acceptedMs"), F.col("_kafka").alias("kafkaMs"), _now_ms().alias("sparkMs")
        )
        value = F.to_json(F.struct(*[F.col(name) for name in names], latency.alias(LATENCY)))
        return answered.select(
            F.lit(application.topics.predictions).alias("topic"),
            F.col(application.key).cast("string").cast("binary").alias("key"),
            value.cast("binary").alias("value"),
            F.lit(None).cast(_HEADER).alias("headers"),
        )

    def _refusals(self, most: int | None) -> DataFrame:
        application = self._application
        headers: Mapping[str, Column] = {
            "reason": F.col("reason"),
            "topic": F.col("topic"),
            "partition": F.col("partition").cast("string"),
            "offset": F.col("offset").cast("string"),
        }
        pairs = [
            F.struct(F.lit(key).alias("key"), value.cast("binary").alias("value")) for key, value in headers.items()
        ]
        return (
            self._requests("refusals", most)
            .where(F.col("reason").isNotNull())
            .select(
                F.lit(application.topics.invalid).alias("topic"),
                "key",
                "value",
                F.array(*pairs).cast(_HEADER).alias("headers"),
            )
        )


def _accepted() -> Column:
    """The time of acceptance that a request's header tells, null where there is none or it is no number."""
    told = F.filter("headers", lambda header: header["key"] == ACCEPTED)
    return F.get(told, F.lit(0))["value"].cast("string").try_cast("bigint")


def _now_ms() -> Column:
    """The present of each row. Spark's own functions tell when the batch began, which may be a minute ago."""
    return F.java_method(F.lit("java.lang.System"), F.lit("currentTimeMillis")).cast("bigint")


def _finished(query: StreamingQuery) -> int:
    """How many batches a query has committed since it was started."""
    progress = query.recentProgress
    return int(progress[-1]["batchId"]) - int(progress[0]["batchId"]) + 1 if progress else 0
