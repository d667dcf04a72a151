"""Fitting a pipeline with its expensive middle computed once."""

from __future__ import annotations

from collections.abc import Callable

from pyspark import StorageLevel
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.feature import StringIndexerModel
from pyspark.sql import DataFrame


def fit(
    pipeline: Pipeline, rows: DataFrame, history: Callable[[], DataFrame] | None = None
) -> tuple[PipelineModel, int]:
    """The fitted pipeline, as ``pipeline.fit(rows)`` returns it, and how many rows its last estimator saw.

    An estimator that says ``looks_back = True`` is fitted on ``history`` instead, as it is (asked for only then): rows
    of the training time and of later, of which it gives each row what came before that row.

    ``Pipeline.fit`` leaves every estimator to recompute all that lies before it. Here the rows behind the last stage
    before the last estimator that says ``expensive = True`` are kept (in memory, else on disk) until the end.
    """
    stages = pipeline.getStages()
    last_estimator = max(index for index, stage in enumerate(stages) if isinstance(stage, Estimator))
    keep_after = max((i for i, stage in enumerate(stages[:last_estimator]) if _expensive(stage)), default=-1)
    fitted: list[Transformer] = []
    kept: DataFrame | None = None
    frame = rows
    try:
        for index, stage in enumerate(stages):
            known = history() if history is not None and getattr(stage, "looks_back", False) else frame
            transformer = stage.fit(known) if isinstance(stage, Estimator) else stage
            if index == last_estimator:
                count = frame.count()
            if index < last_estimator:
                frame = transformer.transform(frame)
            if index == keep_after:
                kept = frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
            fitted.append(transformer)
        for transformer in fitted:
            if isinstance(transformer, StringIndexerModel):
                # Strict while it learnt, so that the forest is taught no class without rows; lenient from now on, so
                # that rows of a class met only in testing are scored and counted instead of failing the job.
                transformer.setHandleInvalid("keep")
    finally:
        if kept is not None:
            kept.unpersist()
    return PipelineModel(fitted), count


def _expensive(stage: object) -> bool:
    return bool(getattr(stage, "expensive", False))
