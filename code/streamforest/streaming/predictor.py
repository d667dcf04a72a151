"""The streaming predictor: each micro-batch from Kafka to the record of predictions, exactly once.

A micro-batch is one Spark job. Its records are decoded, brought to their shard, and given to
:class:`streamforest.streaming.shard.ShardTask`, whose messages go to Kafka in the same job. Then the driver commits:

1. the predictions' folder takes its name, ``pred_batch_<sequence>``;
2. the manifest is replaced: the new state counts.

Killed before 2, the micro-batch runs again from the same offsets, state and model, and puts an equal folder in the
place of the first. Killed after 2 but before Spark noted it, the repeat is known by its number and left out. Messages
are sent before 1: after a kill they may be in the topic twice, with the same key and content, and are never missing.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_type

from streamforest import files
from streamforest.application import Application, Prediction
from streamforest.errors import BadInput
from streamforest.kafka import Kafka
from streamforest.model.publication import ModelFolder, Version
from streamforest.progress import note, say
from streamforest.streaming.latency import Latencies
from streamforest.streaming.shard import (
    ARRIVED,
    KEY,
    OFFSET,
    PARTITION,
    REASON,
    SHARD,
    VALUE,
    ShardTask,
    message_schema,
)
from streamforest.streaming.state import Checkpoint, Manifest

RECORD_PREFIX = "pred_batch_"


class Predictor:
    """Handles the micro-batches of one application's stream, and counts what it did."""

    def __init__(
        self,
        application: Application,
        predict: Prediction,
        models: ModelFolder,
        checkpoint: Checkpoint,
        predictions: Path,
        kafka: Kafka,
        lateness_ms: int,
        ttl_ms: int,
    ) -> None:
        self._application, self._predict = application, predict
        self._models, self._checkpoint = models, checkpoint
        self._predictions, self._kafka = predictions, kafka
        self._lateness_ms, self._ttl_ms = lateness_ms, ttl_ms
        self._verified: dict[str, Version] = {}
        self._refused_versions: set[str] = set()
        self._last: Version | None = None
        self.latencies = Latencies()
        self.totals: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.versions: set[str] = set()
        self.version: str | None = None
        """The version that predicts now."""
        self.keys: dict[str, int] = {}
        """Of how many keys each shard keeps events, of the shards that had records."""

    def handle(self, batch: DataFrame, batch_id: int) -> None:
        """Take one micro-batch of Kafka records."""
        manifest = self._checkpoint.read()
        if batch_id <= manifest.batch_id:
            return
        model = self._model(batch_id)
        note(batch=batch_id, model_version=model.version)
        # A repeated micro-batch must say what its first try said.
        self._checkpoint.intend(batch_id, model.version)
        self._run(self._records(batch, manifest.shards), manifest, batch_id, model, final=False)

    def flush(self, spark: SparkSession) -> None:
        """Predict what waits for late events, in a record folder of its own; nothing happens where nothing waits."""
        manifest = self._checkpoint.read()
        if not self._lateness_ms or not manifest.states:
            return
        event = F.lit(None).cast(self._application.schemas.event)
        shards = spark.range(manifest.shards, numPartitions=1)
        none = F.lit(None)
        records = shards.select(
            F.col("id").cast("int").alias(SHARD),
            F.lit(0).alias(PARTITION),
            F.lit(0).cast("long").alias(OFFSET),
            F.lit(0).cast("long").alias(ARRIVED),
            none.cast("binary").alias(KEY),
            none.cast("binary").alias(VALUE),
            none.cast("string").alias(REASON),
            event.alias("event"),
        )
        self._run(records, manifest, manifest.batch_id, self._model(None), final=True)

    def _model(self, batch_id: int | None) -> Version:
        """The champion, or the model that a killed try at this micro-batch had begun with; verified once.

        A champion whose files are not what its pointer says is refused, and the one before it goes on predicting.
        """
        champion = self._models.require_champion()
        intended = self._checkpoint.intended(batch_id) if batch_id is not None else None
        chosen = self._verified.get(intended or "", champion)
        if intended and intended != chosen.version:
            chosen = self._models.find(intended) or champion
        if chosen.version not in self._verified:
            try:
                self._models.verify(chosen)
            except BadInput as error:
                if self._last is None:
                    raise
                if chosen.version not in self._refused_versions:
                    say(f"model version {chosen.version} is refused, {self._last.version} goes on: {error}")
                self._refused_versions.add(chosen.version)
                return self._last
            self._verified[chosen.version] = chosen
            say(f"predicting with model version {chosen.version} (pipeline {chosen.pipeline})")
        self._last = chosen
        return chosen

    @cached_property
    def _decoded(self) -> tuple[Column, Column]:
        """Event and reason of a record. They are made once, since that takes hundreds of calls to the JVM."""
        return self._application.decode(F.col("value"))

    def _records(self, batch: DataFrame, shards: int) -> DataFrame:
        event, reason = self._decoded
        decoded = batch.select(
            "key",
            "value",
            F.col("partition").alias(PARTITION),
            F.col("offset").alias(OFFSET),
            F.unix_millis("timestamp").alias(ARRIVED),
            event.alias("event"),
            reason.alias(REASON),
        )
        # refused records need no state: any shard will do
        owner = F.coalesce(F.xxhash64(F.col("event")[self._application.key]), F.col(OFFSET))
        return decoded.withColumn(SHARD, F.pmod(owner, F.lit(shards)).cast("int"))

    def _run(self, records: DataFrame, manifest: Manifest, batch_id: int, model: Version, *, final: bool) -> None:
        sequence = manifest.sequence + 1
        attempt = f"{sequence}-{uuid.uuid4().hex[:8]}"
        folder = self._predictions / f"{RECORD_PREFIX}{sequence}"
        staging = self._predictions / f".{folder.name}.{attempt}"
        self._sweep(folder)
        files.require_writable(staging)
        files.require_writable(self._checkpoint.states)
        task = self._task(manifest, model, staging, attempt, final=final)
        self._send(records, task, manifest.shards)
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in staging.glob("_report-*.json")]
        for path in staging.glob("_report-*.json"):
            path.unlink()
        if any(report["predictions"] for report in reports):
            files.swap(staging, folder)
        else:
            files.remove(staging)
        states = {**manifest.states, **{report["shard"]: report["state"] for report in reports}}
        self._checkpoint.commit(
            Manifest(
                cluster_id=manifest.cluster_id,
                shards=manifest.shards,
                sequence=sequence,
                batch_id=batch_id,
                states=states,
            )
        )
        self._count(reports, model)

    def _task(self, manifest: Manifest, model: Version, staging: Path, attempt: str, *, final: bool) -> ShardTask:
        application = self._application
        return ShardTask(
            load=self._predict.load,
            model=self._models.path(model),
            version=model.version,
            checksum=model.checksum,
            states=self._checkpoint.states,
            state_files=manifest.states,
            staging=staging,
            attempt=attempt,
            event_columns=tuple(application.schemas.event.names),
            prediction_type=to_arrow_type(application.schemas.prediction),
            events_topic=application.topics.events,
            predictions_topic=application.topics.predictions,
            invalid_topic=application.topics.invalid,
            lateness_ms=self._lateness_ms,
            ttl_ms=self._ttl_ms,
            final=final,
        )

    def _send(self, records: DataFrame, task: Callable[..., Any], shards: int) -> None:
        application = self._application
        sharded = records.select(SHARD, PARTITION, OFFSET, ARRIVED, KEY, VALUE, REASON, "event.*").repartitionById(
            shards, SHARD
        )
        messages = sharded.mapInArrow(task, message_schema(application.schemas.prediction))
        prediction = F.col("prediction")
        identity = F.concat_ws(":", prediction[application.key], prediction[application.event_time])
        (
            messages.select(
                "topic",
                F.when(prediction.isNotNull(), identity.cast("binary")).otherwise(F.col("key")).alias("key"),
                F.when(prediction.isNotNull(), F.to_json(prediction).cast("binary"))
                .otherwise(F.col("value"))
                .alias("value"),
                "headers",
            )
            .write.format("kafka")
            .options(**self._kafka.spark())
            .option("kafka.max.request.size", _MAX_REQUEST_BYTES)
            .option("includeHeaders", "true")
            .save()
        )

    def _sweep(self, folder: Path) -> None:
        """Remove what killed attempts left."""
        for left in self._predictions.glob(f".{RECORD_PREFIX}*"):
            files.remove(left)
        files.recover(folder)

    def _count(self, reports: list[dict[str, Any]], model: Version) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.versions.add(model.version)
        self.version = model.version
        self.totals["batches"] += 1
        for report in reports:
            self.totals["rows"] += report["events"] + sum(report["refused"].values()) - report["refused"].get("late", 0)
            self.totals["predictions"] += report["predictions"]
            self.totals["duplicates"] += report["counts"].get("duplicates", 0)
            self.refused.update(report["refused"])
            self.keys[report["shard"]] = report["counts"].get("users", 0)
            arrived_ms = np.frombuffer(base64.b64decode(report["arrived_ms"]), dtype=np.int64)
            self.latencies.add(now_ms - arrived_ms[arrived_ms > 0])


_MAX_REQUEST_BYTES = 12 * 1024 * 1024
