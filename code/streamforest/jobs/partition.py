"""partition: raw history to typed rows, training and testing apart, and the refused records with their reasons."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest import files, synthetic
from streamforest.application import Application
from streamforest.errors import BadInput
from streamforest.jobs.context import Context, Job, Report
from streamforest.jobs.parsing import parsed, reasons

_SIDE = "side"
_SIDES = ("training", "testing")
FINGERPRINT = "_fingerprint.json"
"""Beside the two sides: what they were made from."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: where training ends."""
    parser.add_argument("--split-at", metavar="VALUE", help="where training ends (default: the application's)")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Write ``data/partitioned/{training,testing}`` and ``data/refused``; each replaced at once, the rows first."""
    application, places = context.application, context.places
    split_at = options.split_at or application.split.default
    sources = context.history()
    for folder in (places.training.parent, places.refused):
        files.require_writable(folder.parent)
    with parsed(context, sources) as records:
        is_training = application.split.is_training(split_at)
        rows = records.where(F.col("reason").isNull()).withColumn(
            _SIDE, F.when(is_training, _SIDES[0]).otherwise(_SIDES[1])
        )
        refused = reasons(records)
        sides = _sides(rows, application)
        _require_rows(sides, refused, sources, split_at)
        made_from = _fingerprint(sources, sides)
        with files.aside(places.refused) as refused_aside, files.aside(places.training.parent) as rows_aside:
            kept = records.where(F.col("reason").isNotNull()).select("file", "line", "text", "reason")
            kept.coalesce(1).write.parquet(str(refused_aside))
            _write(rows, application, rows_aside)
            files.write_text(rows_aside / FINGERPRINT, json.dumps(made_from))
    accepted = sum(side["rows"] for side in sides.values())
    return {
        "rows_read": accepted + sum(refused.values()),
        "rows_refused": refused,
        **{f"rows_{side}": sides[side]["rows"] for side in _SIDES},
        **{f"users_{side}": sides[side]["units"] for side in _SIDES},
        **{f"classes_{side}": sides[side]["classes"] for side in _SIDES},
        "synthetic": made_from["synthetic"],
        "paths": {"training": str(places.training), "testing": str(places.testing), "refused": str(places.refused)},
    }


def fingerprint(partitioned: Path) -> dict[str, Any]:
    """What the rows in a folder were made from; empty where nobody wrote it down."""
    path = partitioned / FINGERPRINT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write(rows: DataFrame, application: Application, target: Path) -> None:
    """Both sides in one pass: one file a folder, in order of time."""
    folders = [_SIDE, *application.partition_by]
    columns = [_SIDE, *application.schemas.raw.names]
    (
        rows.select(*columns)
        .repartition(*folders)
        .sortWithinPartitions(*folders, application.event_time)
        .write.partitionBy(*folders)
        .parquet(str(target))
    )
    for side in _SIDES:
        (target / f"{_SIDE}={side}").rename(target / side)


def _sides(rows: DataFrame, application: Application) -> dict[str, dict[str, Any]]:
    """Rows, units and class names of each side; a side without rows is missing."""
    found = rows.groupBy(_SIDE).agg(
        F.count("*").alias("rows"),
        F.count_distinct(application.split.unit).alias("units"),
        F.sort_array(F.collect_set(application.label)).alias("classes"),
    )
    return {row[_SIDE]: {name: row[name] for name in ("rows", "units", "classes")} for row in found.collect()}


def _require_rows(sides: dict[str, Any], refused: dict[str, int], sources: Sequence[Path], split_at: str) -> None:
    if not sides:
        raise BadInput(
            f"{' and '.join(map(str, sources))} holds no usable record ({_listed(refused)})", "put the real file there"
        )
    for side in _SIDES:
        if side not in sides:
            raise BadInput(f"--split-at {split_at} leaves no rows for {side}", "choose another value")


def _listed(refused: dict[str, int]) -> str:
    return ", ".join(f"{count} refused: {reason}" for reason, count in refused.items()) or "it has no lines"


def _fingerprint(sources: Sequence[Path], sides: dict[str, Any]) -> dict[str, Any]:
    """``sha256`` is that of the file, or of several files' digests in the order of their names."""
    digests = [files.file_sha256(source) for source in sources]
    return {
        "file": ", ".join(source.name for source in sources),
        "sha256": digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest(),
        "rows": sum(side["rows"] for side in sides.values()),
        "users": sum(side["units"] for side in sides.values()),
        "synthetic": any(map(synthetic.is_synthetic, sources)),
    }


JOB = Job(name="partition", summary="raw history to training and testing rows", run=run, arguments=arguments)
