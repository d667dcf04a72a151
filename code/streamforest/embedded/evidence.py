"""What a demo showed: everything its table and its page are made from, and the rows of the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from streamforest.application import Answering, Application
from streamforest.embedded.comparison import Comparison
from streamforest.embedded.excerpt import Excerpt
from streamforest.jobs.context import Report


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The reports of one pipeline's two jobs."""

    train: Report
    test: Report


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """The jobs' reports, and what was found beside them."""

    application: Application
    home: Path
    elsewhere: bool
    """Whether the home is another one than the default."""
    history: Sequence[Path]
    """The labelled raw files."""
    live: Path | None
    """The raw file without labels; None where the testing rows are drawn from."""
    partition: Report
    pipelines: Mapping[str, Trained]
    """By name, the default one last."""
    sample: Report
    produce: Report
    consume: Report
    batch: Report
    """Of ``consume --batch``."""
    messages: Mapping[str, int]
    """Messages that Kafka holds, by topic."""
    comparison: Comparison
    excerpt: Excerpt | None
    predictions: Path
    """Where the predictions and the page lie."""
    seconds: float
    generated: str
    """When, ISO 8601."""
    revision: str
    """Of the code."""

    @property
    def answers(self) -> bool:
        """Whether the application answers single requests."""
        return isinstance(self.application.predict, Answering)

    @property
    def synthetic(self) -> bool:
        """Whether anything of it comes from made-up data."""
        tests = (trained.test for trained in self.pipelines.values())
        return any(report["synthetic"] for report in (self.partition, self.sample, *tests))

    @property
    def classes(self) -> list[str]:
        """Names of all classes, sorted: the same order everywhere on the page."""
        found = {found.name for found in self.excerpt.predictions} if self.excerpt else set()
        for trained in self.pipelines.values():
            found.update(trained.test["metrics"]["classes"])
        return sorted(found)

    @property
    def title(self) -> str:
        """What it is, with the mark of made-up data."""
        return f"streamforest demo: {self.application.name}{' (synthetic data)' if self.synthetic else ''}"


class Row(NamedTuple):
    """One line of the table."""

    group: str
    name: str
    value: str


def rows(report: DemoReport) -> list[Row]:
    """The table of evidence."""
    parts: dict[str, Iterator[tuple[str, str]]] = {"data": _data(report)}
    for name, trained in report.pipelines.items():
        parts[f"pipeline {name}"] = _pipeline(report, trained)
    parts |= {"stream": _stream(report), "run": _run(report)}
    return [Row(group, name, value) for group, pairs in parts.items() for name, value in pairs]


def text(report: DemoReport) -> list[str]:
    """The table as lines for a terminal."""
    found = rows(report)
    width = max(len(row.name) for row in found)
    lines, group = ["", report.title], ""
    for row in found:
        if row.group != group:
            lines += ["", row.group]
            group = row.group
        lines.append(f"  {row.name:<{width}}  {row.value}")
    return lines


def kind(source: Report) -> str:
    """``synthetic`` or ``real``, of the file that a job read."""
    return "synthetic" if source["synthetic"] else "real"


def counted(refused: Mapping[str, int]) -> str:
    """Counts by reason in words."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.items())
    return f"{sum(refused.values()):,}" + (f" ({reasons})" if reasons else "")


def variants(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """An evaluation's metrics by what was predicted: ``plain``, then each of the application's variants."""
    return {"plain": metrics, **{name: metrics[name] for name in names if name in metrics}}


def verdict(gate: Mapping[str, Any]) -> str:
    """The gate's verdict in words."""
    value = f"{gate['metric']} {gate['candidate']:.3f}"
    champion = gate["champion"]
    beside = "no champion before it" if champion is None else f"the champion had {champion:.3f} on the same rows"
    if gate["passed"]:
        return f"published: {value}, {beside}"
    return f"not published: {'; '.join(gate['reasons'])}"


def _data(report: DemoReport) -> Iterator[tuple[str, str]]:
    partition, sample, split = report.partition, report.sample, report.application.split
    yield "history", f"{', '.join(path.name for path in report.history)}, {kind(partition)}"
    yield "records read", f"{partition['rows_read']:,}"
    yield "records refused", counted(partition["rows_refused"])
    for side in ("training", "testing"):
        units = f"{partition[f'users_{side}']:,} different {split.unit}"
        yield f"{side} rows", f"{partition[f'rows_{side}']:,} of {units}"
    if report.live is None:
        yield "to stream", f"from the testing rows, {kind(sample)}"
    else:
        yield "to stream", f"{report.live.name}, {kind(sample)}"
        yield "records refused", counted(sample["rows_refused"])
    yield "sampled", f"{sample['rows']:,} rows of {sample['keys']:,} different {report.application.key}"


def _pipeline(report: DemoReport, trained: Trained) -> Iterator[tuple[str, str]]:
    train, test = trained.train, trained.test
    mark = " (synthetic data)" if report.synthetic else ""
    yield (
        "windows" if report.application.signal else "rows",
        f"{train['windows']:,} trained on, {test['windows']:,} tested",
    )
    compared = [*report.application.variants, *report.application.baselines]
    for name, metrics in variants(test["metrics"], compared).items():
        quality = f"accuracy {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}"
        yield name, f"{quality}{mark}"
    if test["unseen_classes"]:
        yield "not in training", ", ".join(test["unseen_classes"])
    yield "gate", verdict(test["gate"])
    yield "MLflow", f"run {train['run_id']}, model version {train['version']}{mark}"


def _stream(report: DemoReport) -> Iterator[tuple[str, str]]:
    consume, topics = report.consume, report.application.topics
    mark = " (synthetic data)" if report.synthetic else ""
    yield "messages in", f"{report.messages[topics.events]:,} in topic {topics.events}"
    yield (
        "messages out",
        (
            f"{report.messages[topics.predictions]:,} in topic {topics.predictions}, "
            f"{report.messages[topics.invalid]:,} in topic {topics.invalid}"
        ),
    )
    yield "predictions", f"{consume['predictions']:,} by model version {', '.join(consume['versions'])}{mark}"
    if report.answers:
        yield "refused", counted(consume["refused"])
    else:
        yield "refused", f"{counted(consume['refused'])}, of which late: {consume['refused'].get('late', 0):,}"
    yield "duplicates", f"{consume['duplicates']:,}"
    yield "stream = batch", f"{'yes' if report.comparison.holds else 'NO'}: {report.comparison}"
    if report.answers:
        yield "latency", f"{prompt(consume['latency_ms'])}, from a request in Kafka to its answer in Kafka"
    else:
        yield "latency", f"{latency(consume['latency_ms'])}; a backlog, so its waiting is in it"


def latency(quantiles: Mapping[str, float | None]) -> str:
    """p50 and p95 in words; from a record's arrival in Kafka to its prediction's record."""
    if quantiles["p50"] is None or quantiles["p95"] is None:
        return "none measured"
    return f"p50 {quantiles['p50'] / 1000:.1f} s, p95 {quantiles['p95'] / 1000:.1f} s"


def prompt(quantiles: Mapping[str, float | None]) -> str:
    """p50 and p95 of answers in real time, in ms."""
    if quantiles["p50"] is None or quantiles["p95"] is None:
        return "none measured"
    return f"p50 {quantiles['p50']:.0f} ms, p95 {quantiles['p95']:.0f} ms"


def _run(report: DemoReport) -> Iterator[tuple[str, str]]:
    elsewhere = f" --home {report.home}" if report.elsewhere else ""
    yield "seconds", f"{report.seconds:.0f}"
    yield "the page", str(report.predictions / "report.html")
    yield "predictions", str(report.predictions / ("batch" if report.answers else "pred_batch_*"))
    yield "the model", str(report.home / "model" / report.application.prefix)
    if report.answers:
        yield "the pages", f"./control_env.sh web{elsewhere}"
    yield "MLflow's page", f"./control_env.sh mlflow{elsewhere}"
