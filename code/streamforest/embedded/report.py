"""The page of a demo: one HTML file that needs no network, made from the jobs' reports and a template."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streamforest import files
from streamforest.embedded import chart, evidence
from streamforest.embedded.evidence import DemoReport

_TEMPLATE = "report.html.j2"
_WIDTHS = {"wide": 760, "narrow": 350}
"""One chart for desks and one for phones, whose letters are as large; the style sheet shows one of them."""


def write(report: DemoReport, path: Path) -> None:
    """Write the page, replacing an older one at once; everything that comes from outside is escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["verdict"] = evidence.verdict
    files.write_text(path, templates.get_template(_TEMPLATE).render(**_values(report)))


def _values(report: DemoReport) -> dict[str, Any]:
    colours = {name: index % 10 for index, name in enumerate(report.classes)}
    return {
        "report": report,
        "evidence": [
            (group, list(found)) for group, found in groupby(evidence.rows(report), key=lambda row: row.group)
        ],
        "pipelines": {name: _pipeline(report, trained.test) for name, trained in report.pipelines.items()},
        "refused": {
            ", ".join(path.name for path in report.history): report.partition["rows_refused"],
            **({report.live.name: report.sample["rows_refused"]} if report.live else {}),
            f"topic {report.application.topics.events}": report.consume["refused"],
        },
        "colours": colours,
        "charts": {name: chart.draw(report.excerpt, colours, width) for name, width in _WIDTHS.items()}
        if report.excerpt
        else {},
    }


def _pipeline(report: DemoReport, test: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a pipeline: metrics and confusion by variant, and the gate's verdict."""
    metrics = evidence.variants(test["metrics"], report.application.variants)
    return {
        "metrics": metrics,
        "classes": sorted(set().union(*(found["classes"] for found in metrics.values()))),
        "confusion": {
            "plain" if name == "predicted" else name: _shaded(found) for name, found in test["confusion"].items()
        },
        "gate": test["gate"],
        "version": test["version"],
        "run_id": test["run_id"],
        "windows": test["windows"],
        "unseen": test["unseen_classes"],
    }


def _shaded(confusion: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, each with its share of the label's rows, which is its shade."""
    return {
        "classes": confusion["classes"],
        "rows": [
            [(count, count / max(sum(counts), 1), row == column) for column, count in enumerate(counts)]
            for row, counts in enumerate(confusion["counts"])
        ],
    }
