"""train: training rows to a candidate model, its run in MLflow, and its files under ``model/``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import types as T

from streamforest import files
from streamforest.application import PipelineDefinition, Prediction, TrainedModel
from streamforest.errors import WrongUsage
from streamforest.jobs.context import Context, Job, Report
from streamforest.jobs.partition import fingerprint
from streamforest.ml.fit import fit
from streamforest.model.publication import Version, now
from streamforest.progress import say

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_SIGNATURE_TYPES = {
    T.IntegerType: "integer",
    T.LongType: "long",
    T.DoubleType: "double",
    T.StringType: "string",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: which pipeline, and its smoothing."""
    parser.add_argument("--pipeline", metavar="NAME", help="which pipeline (default: the application's)")
    parser.add_argument("--smoothing", type=int, metavar="N", help="average probabilities over the last N predictions")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Fit a pipeline; its version becomes the candidate that test scores. The published model stays as it is."""
    application = context.application
    name, definition = application.pipeline(options.pipeline)
    serving = _serving(context, definition, options.smoothing)
    files.require_writable(context.places.model)
    rows = context.partitioned(context.places.training)
    found = fingerprint(context.places.training.parent)
    with context.tracker.run(name=name) as run_id:
        labels = rows.select(application.label).distinct().dropna().collect()
        classes = sorted(row[application.label] for row in labels)
        say(f"fitting pipeline {name} to classes {', '.join(classes)}")
        pipeline = definition.build()
        fitted, windows = fit(pipeline, rows, context.known)
        say(f"fitted on {windows:,} rows of the forest's input; writing the model")
        parameters = {"pipeline": name, **serving, **{f"data.{key}": value for key, value in found.items()}}
        synthetic = bool(found.get("synthetic"))
        context.tracker.log_training(pipeline, parameters, {"synthetic": str(synthetic).lower(), "pipeline": name})
        staging = context.places.model / ".mlflow-staging"
        version = context.tracker.log_model(fitted, _signature(application.schemas.raw), staging)
        files.remove(staging)

        def write(folder: Path) -> None:
            # Saving costs seconds, a small Spark job a stage: what MLflow has is saved already.
            context.tracker.fetch_model(version, folder)
            if isinstance(application.predict, Prediction):
                application.predict.export(TrainedModel(pipeline=fitted, serving=serving, version=version), folder)

        def describe(checksum: str) -> Version:
            context.tracker.set_checksum(version, checksum)
            return Version(
                version=version,
                pipeline=name,
                run_id=run_id,
                checksum=checksum,
                serving=serving,
                classes=classes,
                created=now(),
                synthetic=synthetic,
            )

        candidate = context.models.add_candidate(version, write, describe)
    return {
        "pipeline": name,
        "rows": rows.count(),
        "windows": windows,
        "run_id": run_id,
        "version": version,
        "synthetic": synthetic,
        "path": str(context.models.path(candidate)),
    }


def _serving(context: Context, definition: PipelineDefinition, smoothing: int | None) -> dict[str, Any]:
    serving = dict(definition.serving)
    if smoothing is None:
        return serving
    if not context.application.smoothing:
        raise WrongUsage(f"application {context.application.name} has no smoothing", "leave --smoothing out")
    if smoothing < 1:
        raise WrongUsage(f"--smoothing {smoothing} is not a number of predictions", "give 1 (none) or more")
    return serving | {context.application.smoothing: smoothing}


def _signature(raw: T.StructType) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(_SIGNATURE_TYPES.get(type(field.dataType), "string"), field.name) for field in raw.fields
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("double", "prediction")]))


JOB = Job(name="train", summary="training rows to a candidate model", run=run, arguments=arguments)
