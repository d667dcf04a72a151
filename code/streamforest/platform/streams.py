"""What the platform's streams do now, as the verb ``status`` shows it.

``python -m streamforest.platform.streams APPLICATION=PORT ...`` runs in the container of the jobs' drivers, which serve
their metrics there, at the ports that the DAGs give them.
"""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from streamforest.progress import say

_LIMIT_S = 3.0
_COLUMNS = "{:<10}{:<7}{:>11}{:>12}{:>9}{:>11}{:>9}{:>8}"
_NAMES = ("stream", "model", "records", "predictions", "refused", "records/s", "behind", "p95 s")
_NONE = "-"


def table(ports: Mapping[str, int]) -> Iterator[str]:
    """A line of names, then one an application; a dash where its stream does not run, or does not tell."""
    yield _COLUMNS.format(*_NAMES)
    for application, port in ports.items():
        yield _COLUMNS.format(application, *_row(f"http://127.0.0.1:{port}/metrics")).rstrip()


def _row(address: str) -> list[str]:
    try:
        with urllib.request.urlopen(address, timeout=_LIMIT_S) as page:  # noqa: S310  # our own address
            text = page.read().decode()
    except OSError:
        return [_NONE] * (len(_NAMES) - 1)
    found: dict[str, float] = {}
    version = _NONE
    for sample in (each for family in text_string_to_metric_families(text) for each in family.samples):
        if sample.name == "streamforest_model_info":
            version = sample.labels["version"]
        kinds = (sample.labels.get(label) for label in ("what", "percentile"))
        name = " ".join([sample.name, *filter(None, kinds)])
        # By reason, of which the sum is shown.
        found[name] = found.get(name, 0) + sample.value
    refused = found.get("streamforest_refused_total", 0.0)
    return [
        version,
        _shown(found.get("streamforest_records_total")),
        _shown(found.get("streamforest_predictions_total")),
        _shown(refused),
        _shown(found.get("streamforest_rows_per_second processed")),
        _shown(found.get("streamforest_lag_records")),
        _shown(found.get("streamforest_latency_seconds 95"), 3),
    ]


def _shown(value: float | None, decimals: int = 0) -> str:
    return _NONE if value is None else f"{value:,.{decimals}f}"


if __name__ == "__main__":
    given = (argument.partition("=") for argument in sys.argv[1:])
    for line in table({application: int(port) for application, _, port in given}):
        say(line, sys.stdout)
