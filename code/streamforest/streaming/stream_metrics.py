"""A stream that keeps a record, in numbers.

Counts since the start come from the predictor at each request; rates, stages and lag from what Spark tells of each
micro-batch.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric, SummaryMetricFamily
from pyspark.sql.streaming.query import StreamingQuery

from streamforest.errors import StreamforestError
from streamforest.streaming.metrics import Metrics
from streamforest.streaming.predictor import Predictor
from streamforest.streaming.state import Checkpoint

_STAGES = {
    "triggerExecution": "all",
    "latestOffset": "offsets",
    "queryPlanning": "planning",
    "walCommit": "log",
    "addBatch": "predict",
    "commitOffsets": "commit",
}
"""Stages of a micro-batch as Spark calls them, and as the metrics do."""


class StreamMetrics(Metrics):
    """Metrics of one stream."""

    def __init__(self, predictor: Predictor, checkpoint: Checkpoint, application: str) -> None:
        super().__init__(application)
        self._predictor, self._checkpoint = predictor, checkpoint
        self._seconds: Counter[str] = Counter()
        self._batches = 0
        self._rates = {"input": 0.0, "processed": 0.0}
        self._lag = 0
        self._last_batch = -1

    def watch(self, query: StreamingQuery) -> None:
        """Take in what Spark told of its last micro-batch. Nobody asks for it where the metrics are not served."""
        progress = query.lastProgress if self.are_served else None
        if progress is None:
            return
        if progress["batchId"] > self._last_batch and progress["numInputRows"]:
            self._last_batch = progress["batchId"]
            self._batches += 1
            for name, took_ms in progress["durationMs"].items():
                if name in _STAGES:
                    self._seconds[_STAGES[name]] += took_ms / 1000
        self._lag = behind(progress["sources"])
        self._rates = {
            "input": _number(progress["inputRowsPerSecond"]),
            "processed": _number(progress["processedRowsPerSecond"]),
        }

    def collect(self) -> Iterator[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        predictor = self._predictor
        for name, help_ in (
            ("rows", "Records read"),
            ("predictions", "Predictions made"),
            ("duplicates", "Events that were there already"),
            ("batches", "Micro-batches committed"),
        ):
            kind = "records" if name == "rows" else name
            yield self.counter(f"streamforest_{kind}", f"{help_} since the start", {(): predictor.totals[name]})
        yield self.refused(predictor.refused)
        stages = SummaryMetricFamily(
            "streamforest_batch_seconds", "Time of a micro-batch by stage", labels=["application", "stage"]
        )
        for stage, seconds in dict(self._seconds).items():
            stages.add_metric([self._application, stage], self._batches, seconds)
        yield stages
        yield self.latency(predictor.latencies, "From arrival in Kafka to commit")
        rates = {(name,): rate for name, rate in self._rates.items()}
        yield self.gauge("streamforest_rows_per_second", "Records a second of the last micro-batch", rates, "what")
        yield self.gauge("streamforest_lag_records", "Records in Kafka that are not read yet", {(): self._lag})
        yield self.gauge(
            "streamforest_state_keys", "Keys of which events are kept", {(): sum(dict(predictor.keys).values())}
        )
        yield self.gauge("streamforest_state_bytes", "Size of the state's files", {(): self._state_bytes()})
        yield self.model(predictor.version)

    def _state_bytes(self) -> int:
        with contextlib.suppress(StreamforestError, OSError):
            names = self._checkpoint.read().states.values()
            return sum((self._checkpoint.states / name).stat().st_size for name in names)
        return 0


def behind(sources: list[Any]) -> int:
    """Records between where the stream is and the end of its topic, as Spark told them last."""
    total = 0
    for source in sources:
        end, latest = (_offsets(source[name]) for name in ("endOffset", "latestOffset"))
        total += sum(max(offset - end.get(at, 0), 0) for at, offset in latest.items())
    return total


def _offsets(text: str | None) -> dict[tuple[str, str], int]:
    found = json.loads(text or "null") or {}
    return {(topic, number): offset for topic, parts in found.items() for number, offset in parts.items()}


def _number(value: float | None) -> float:
    """0 for null and for what is no number: Spark tells rates of nothing so."""
    return value if value is not None and math.isfinite(value) else 0.0
