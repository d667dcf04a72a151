"""A stream of answers, in numbers. Without batches and their rates: in real-time mode one lasts for minutes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from streamforest.streaming.answering import Answerer
from streamforest.streaming.metrics import Metrics
from streamforest.streaming.tally import Tally


class AnswerMetrics(Metrics):
    """Metrics of one stream of answers, from what arrives in its topics."""

    def __init__(self, answerer: Answerer, tally: Tally, application: str) -> None:
        super().__init__(application)
        self._answerer, self._tally = answerer, tally

    def collect(self) -> Iterator[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        tally = self._tally
        refused = dict(tally.refused)
        for name, help_, value in (
            ("records", "Requests answered or refused", tally.answers + sum(refused.values())),
            ("predictions", "Answers given", tally.answers - tally.repeated),
            ("duplicates", "Answers given again", tally.repeated),
        ):
            yield self.counter(f"streamforest_{name}", f"{help_} since the start", {(): value})
        yield self.refused(refused)
        yield self.latency(tally.latencies, "From a request in Kafka to its answer in Kafka")
        yield self.model(self._answerer.versions[-1] if self._answerer.versions else None)
