"""What a running stream tells in numbers, at one HTTP endpoint in Prometheus' format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamforest.errors import BadInput
from streamforest.progress import say
from streamforest.streaming import topics
from streamforest.streaming.latency import Latencies


class Metrics(Collector):
    """Metrics of one stream, each with the label ``application``; subclasses say which."""

    def __init__(self, application: str) -> None:
        self._application = application
        self.are_served = False

    def latency(self, latencies: Latencies, help_: str) -> Metric:
        """Quantiles of times in ms, as seconds; 0 before there is one."""
        quantiles = {(name.removeprefix("p"),): (at or 0) / 1000 for name, at in latencies.quantiles().items()}
        return self.gauge("streamforest_latency_seconds", help_, quantiles, "percentile")

    def refused(self, refused: Mapping[str, int]) -> Metric:
        """Refused records by reason."""
        counts = {(reason,): count for reason, count in dict(refused).items()}
        return self.counter("streamforest_refused", "Records refused since the start", counts, "reason")

    def model(self, version: str | None) -> Metric:
        """Which version predicts; None: none yet."""
        found = {(version,): 1.0} if version else {}
        return self.gauge("streamforest_model_info", "1 for the version that predicts", found, "version")

    def counter(self, name: str, help_: str, values: Mapping[Any, float], *labels: str) -> Metric:
        """A counter by the values of its labels."""
        return self._filled(CounterMetricFamily(name, help_, labels=["application", *labels]), values)

    def gauge(self, name: str, help_: str, values: Mapping[Any, float], *labels: str) -> Metric:
        """A gauge by the values of its labels."""
        return self._filled(GaugeMetricFamily(name, help_, labels=["application", *labels]), values)

    def _filled(self, family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]) -> Metric:
        for labels, value in values.items():
            family.add_metric([self._application, *labels], value)
        return family


Kind = TypeVar("Kind", bound=Metrics)


@contextlib.contextmanager
def served(address: str | None, metrics: Kind) -> Iterator[Kind]:
    """Metrics, served at HOST:PORT (port 0: a free one) while the block runs; None serves them nowhere.

    Raises:
        BadInput: the address is taken or not of this machine.
        WrongUsage: it is not HOST:PORT.
    """
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
    metrics.are_served = True
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
