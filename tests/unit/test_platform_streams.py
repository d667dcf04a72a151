"""What status shows of the streams, from metrics that a real endpoint serves."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric

from streamforest.platform import streams
from streamforest.streaming.latency import Latencies
from streamforest.streaming.metrics import Metrics, served


class Told(Metrics):
    """Metrics of a stream that has done something."""

    def collect(self) -> Iterator[Metric]:
        yield self.counter("streamforest_records", "records", {(): 12_345})
        yield self.counter("streamforest_predictions", "predictions", {(): 678})
        yield self.refused({"json": 2, "late": 3})
        rates = {("input",): 999.0, ("processed",): 40.0}
        yield self.gauge("streamforest_rows_per_second", "rates", rates, "what")
        yield self.gauge("streamforest_lag_records", "lag", {(): 7})
        yield self.latency(Latencies(), "latency")
        yield self.model("31")


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        found: int = listener.getsockname()[1]
        return found


def test_a_row_a_stream_and_dashes_where_none_runs(port: int) -> None:
    with served(f"127.0.0.1:{port}", Told("runs")):
        names, *rows = (line.split() for line in streams.table({"runs": port, "rests": 1}))

    assert names == ["stream", "model", "records", "predictions", "refused", "records/s", "behind", "p95", "s"]
    assert rows == [["runs", "31", "12,345", "678", "5", "40", "7", "0.000"], ["rests", *["-"] * 7]]


def test_what_a_stream_does_not_tell_is_a_dash(port: int) -> None:
    class Silent(Metrics):
        def collect(self) -> Iterator[Metric]:
            yield self.model(None)

    with served(f"127.0.0.1:{port}", Silent("silent")):
        _, row = streams.table({"silent": port})

    assert row.split() == ["silent", "-", "-", "-", "0", "-", "-", "-"]
