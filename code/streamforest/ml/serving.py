"""What a window model needs outside Spark: written next to the saved pipeline, read by the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import RandomForestClassificationModel
from pyspark.ml.feature import MinMaxScalerModel, PCAModel, StringIndexerModel, VectorAssembler

from streamforest import files
from streamforest.application import TrainedModel
from streamforest.errors import BadInput, StreamforestError
from streamforest.ml import features
from streamforest.ml.forest import Forest, Probabilities
from streamforest.ml.stages import CapValues, EventSeparator, FeaturesGenerator, RowsSelector, WindowStatistics
from streamforest.ml.windows import WindowSpec

Stage = TypeVar("Stage", bound=Transformer)


@dataclass(frozen=True, kw_only=True)
class WindowScorer:
    """Windows to class probabilities, with the values of the pipeline's own stages."""

    classes: tuple[str, ...]
    limit: float
    """Readings are capped to ±limit before they become windows, m/s2."""
    spec: WindowSpec
    smoothing_windows: int
    features: str
    """Which of :data:`streamforest.ml.features.COMPUTE` turns windows into vectors."""
    affine: tuple[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], ...]
    """Matrix and offset of each stage between vectors and forest: ``vectors @ matrix + offset``."""
    forest: Forest
    version: str
    """Of the model: probabilities of different versions are never averaged."""

    def probabilities(self, windows: npt.NDArray[np.float64]) -> Probabilities:
        """Shape (windows, classes) from capped windows of shape (windows, length, axes)."""
        vectors: npt.NDArray[Any] = features.COMPUTE[self.features](windows)
        for matrix, offset in self.affine:
            vectors = vectors @ matrix + offset
        return self.forest.probabilities(vectors)


def export(model: TrainedModel, folder: Path) -> None:
    """Write ``folder/serving`` for the pipeline that is saved in ``folder``.

    Raises:
        StreamforestError: the pipeline holds a stage between windows and forest that has no form outside Spark.
    """
    stages = model.pipeline.stages
    window_stage = _only(stages, FeaturesGenerator, WindowStatistics)
    selector, forest_stage = _only(stages, RowsSelector), _only(stages, RandomForestClassificationModel)
    stride, selected = window_stage.getOrDefault(window_stage.stride), selector.getOrDefault(selector.step)
    separator, cap = _only(stages, EventSeparator), _only(stages, CapValues)
    affine = _affine(stages[stages.index(window_stage) + 1 : stages.index(forest_stage)])
    description = {
        "version": model.version,
        "classes": list(_only(stages, StringIndexerModel).labels),
        "limit": cap.getOrDefault(cap.limit),
        "spec": {
            "length": window_stage.getOrDefault(window_stage.length),
            "step": int(np.lcm(stride, selected)),
            "grid_ms": window_stage.getOrDefault(window_stage.gridMs),
            "gap_ms": separator.getOrDefault(separator.gapMs),
        },
        "smoothing_windows": model.serving["smoothing_windows"],
        "features": window_stage.kind,
        "affine": [{"matrix": matrix.tolist(), "offset": offset.tolist()} for matrix, offset in affine],
    }
    target = folder / "serving"
    target.mkdir()
    forest = Forest.from_spark(_stage_folder(folder, model.pipeline, forest_stage), forest_stage.numFeatures)
    files.write_bytes(target / "forest.treelite", forest.to_bytes())
    files.write_text(target / "model.json", json.dumps(description))


def load(folder: Path) -> WindowScorer:
    """The scorer that :func:`export` wrote below ``folder``.

    Raises:
        BadInput: it is missing or damaged.
    """
    try:
        description = json.loads((folder / "serving" / "model.json").read_text(encoding="utf-8"))
        return WindowScorer(
            classes=tuple(description["classes"]),
            limit=description["limit"],
            spec=WindowSpec(**description["spec"]),
            smoothing_windows=description["smoothing_windows"],
            features=description["features"],
            affine=tuple((np.array(part["matrix"]), np.array(part["offset"])) for part in description["affine"]),
            forest=Forest.from_bytes((folder / "serving" / "forest.treelite").read_bytes()),
            version=description["version"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the model in {folder} is damaged ({error})", "train and test again") from None


def _affine(stages: list[Transformer]) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    steps = []
    for stage in stages:
        if isinstance(stage, PCAModel):
            matrix = stage.pc.toArray()
            steps.append((matrix, np.zeros(matrix.shape[1])))
        elif isinstance(stage, MinMaxScalerModel):
            steps.append(_min_max(stage))
        elif not isinstance(stage, VectorAssembler) and type(stage).__module__.startswith("pyspark."):
            raise StreamforestError(f"stage {type(stage).__name__} has no form outside Spark", "extend ml/serving.py")
    return steps


def _min_max(stage: MinMaxScalerModel) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``(x - low) / (high - low) * (max - min) + min``; the middle of [min, max] for a constant column, as in Spark."""
    low, high = stage.originalMin.toArray(), stage.originalMax.toArray()
    constant = high == low
    scale = np.where(constant, 0.0, (stage.getMax() - stage.getMin()) / np.where(constant, 1.0, high - low))
    offset = np.where(constant, (stage.getMax() + stage.getMin()) / 2, stage.getMin() - low * scale)
    return np.diag(scale), offset


def _only(stages: list[Transformer], *kinds: type[Stage]) -> Stage:
    found = [stage for stage in stages if isinstance(stage, kinds)]
    if len(found) != 1:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise StreamforestError(f"the pipeline has {len(found)} stages {wanted}", "a window model needs exactly one")
    return found[0]


def _stage_folder(folder: Path, pipeline: PipelineModel, stage: Transformer) -> Path:
    index = pipeline.stages.index(stage)
    return next(path for path in (folder / "stages").glob(f"*_{stage.uid}") if int(path.name.split("_")[0]) == index)
