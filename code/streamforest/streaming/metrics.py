"""A running stream in numbers, at one HTTP endpoint in Prometheus' format.

Counts since the start come from the predictor at each request; rates, stages and lag from what Spark tells of each
micro-batch.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from pyspark.sql.streaming.query import StreamingQuery

from streamforest.errors import BadInput, StreamforestError
from streamforest.progress import say
from streamforest.streaming import topics
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


class StreamMetrics(Collector):
    """Metrics of one stream."""

    def __init__(self, predictor: Predictor, checkpoint: Checkpoint, application: str, *, served: bool) -> None:
        self._served = served
        self._predictor, self._checkpoint, self._application = predictor, checkpoint, application
        self._seconds: Counter[str] = Counter()
        self._batches = 0
        self._rates = {"input": 0.0, "processed": 0.0}
        self._lag = 0
        self._last_batch = -1

    def watch(self, query: StreamingQuery) -> None:
        """Take in what Spark told of its last micro-batch. Nobody asks for it where the metrics are not served."""
        progress = query.lastProgress if self._served else None
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
            yield self._counter(f"streamforest_{kind}", f"{help_} since the start", {(): predictor.totals[name]})
        refused = {(reason,): count for reason, count in dict(predictor.refused).items()}
        yield self._counter("streamforest_refused", "Records refused since the start", refused, "reason")
        stages = SummaryMetricFamily(
            "streamforest_batch_seconds", "Time of a micro-batch by stage", labels=["application", "stage"]
        )
        for stage, seconds in dict(self._seconds).items():
            stages.add_metric([self._application, stage], self._batches, seconds)
        yield stages
        quantiles = {
            (name.removeprefix("p"),): _number(at) / 1000 for name, at in predictor.latencies.quantiles().items()
        }
        yield self._gauge("streamforest_latency_seconds", "From arrival in Kafka to commit", quantiles, "percentile")
        rates = {(name,): rate for name, rate in self._rates.items()}
        yield self._gauge("streamforest_rows_per_second", "Records a second of the last micro-batch", rates, "what")
        yield self._gauge("streamforest_lag_records", "Records in Kafka that are not read yet", {(): self._lag})
        yield self._gauge("streamforest_state_keys", "Keys remembered", {(): sum(dict(predictor.keys).values())})
        yield self._gauge("streamforest_state_bytes", "Size of the state's files", {(): self._state_bytes()})
        model = {(predictor.version,): 1.0} if predictor.version else {}
        yield self._gauge("streamforest_model_info", "1 for the version that predicts", model, "version")

    def _state_bytes(self) -> int:
        with contextlib.suppress(StreamforestError, OSError):
            names = self._checkpoint.read().states.values()
            return sum((self._checkpoint.states / name).stat().st_size for name in names)
        return 0

    def _counter(self, name: str, help_: str, values: Mapping[Any, float], *labels: str) -> Metric:
        return self._filled(CounterMetricFamily(name, help_, labels=["application", *labels]), values)

    def _gauge(self, name: str, help_: str, values: Mapping[Any, float], *labels: str) -> Metric:
        return self._filled(GaugeMetricFamily(name, help_, labels=["application", *labels]), values)

    def _filled(self, family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]) -> Metric:
        for labels, value in values.items():
            family.add_metric([self._application, *labels], value)
        return family


def behind(sources: list[Any]) -> int:
    """Records between where the stream is and the end of its topic, as Spark told them last."""
    total = 0
    for source in sources:
        end, latest = (_offsets(source[name]) for name in ("endOffset", "latestOffset"))
        total += sum(max(offset - end.get(at, 0), 0) for at, offset in latest.items())
    return total


@contextlib.contextmanager
def served(
    address: str | None, predictor: Predictor, checkpoint: Checkpoint, application: str
) -> Iterator[StreamMetrics]:
    """Metrics, served at HOST:PORT (port 0: a free one) while the block runs; None serves them nowhere.

    Raises:
        BadInput: the address is taken or not of this machine.
        WrongUsage: it is not HOST:PORT.
    """
    metrics = StreamMetrics(predictor, checkpoint, application, served=address is not None)
    if address is None:
        yield metrics
        return
    host, port = topics.address(address)
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise BadInput(f"metrics cannot be served at {address} ({error.strerror})", "give another --metrics") from None
    say(f"metrics at http://{host}:{server.server_port}/metrics")
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _offsets(text: str | None) -> dict[tuple[str, str], int]:
    found = json.loads(text or "null") or {}
    return {(topic, number): offset for topic, parts in found.items() for number, offset in parts.items()}


def _number(value: float | None) -> float:
    """0 for null and for what is no number: Spark tells rates of nothing so."""
    return value if value is not None and math.isfinite(value) else 0.0
