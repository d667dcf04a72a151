"""Spark's forest outside Spark: read from its saved files, built by treelite, predicted without a JVM.

``PipelineModel.transform`` pays for a query plan each time; a micro-batch of a stream has no time for that.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import treelite
from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

from streamforest.errors import BadInput

Probabilities = npt.NDArray[np.float64]


class Forest:
    """Class probabilities of a Random Forest, equal to those of the Spark model it was read from.

    Spark adds, tree by tree, the share of each class in the leaf that a row falls into, and divides by the sum: the
    mean over trees. A value equal to a split's threshold goes left; NaN goes right.
    """

    def __init__(self, model: treelite.Model) -> None:
        self._model = model

    @classmethod
    def from_spark(cls, stage: Path, features: int) -> Forest:
        """The forest saved by Spark in ``stage``, a folder of a saved pipeline, for vectors of that width.

        Raises:
            BadInput: the folder holds no readable forest.
        """
        try:
            trees = _trees(pq.read_table(stage / "data"))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BadInput(f"no readable forest in {stage} ({error})", "train again") from None
        return cls(_build(trees, features))

    @classmethod
    def from_bytes(cls, data: bytes) -> Forest:
        """The forest that :meth:`to_bytes` gave."""
        return cls(treelite.Model.deserialize_bytes(data))

    def to_bytes(self) -> bytes:
        """All trees, in treelite's format."""
        return bytes(self._model.serialize_bytes())

    def probabilities(self, vectors: npt.NDArray[np.float32]) -> Probabilities:
        """Shape (rows, classes) from vectors of shape (rows, features)."""
        if not len(vectors):
            return np.empty((0, self.classes))
        # One thread: Spark runs one task a core already.
        votes = treelite.gtil.predict(self._model, vectors.astype(np.float64), nthread=1)
        return np.asarray(votes, dtype=np.float64).reshape(len(vectors), self.classes)

    @property
    def classes(self) -> int:
        return int(self._model.get_header_accessor().get_field("num_class")[0])


def _trees(table: pa.Table) -> list[pa.Table]:
    """Nodes of each tree, ordered by their number, one table a tree."""
    nodes = pa.table(
        {
            "tree": table["treeID"],
            **dict(zip(table["nodeData"].type.names, table["nodeData"].combine_chunks().flatten(), strict=True)),
        }
    ).sort_by([("tree", "ascending"), ("id", "ascending")])
    ids = nodes["tree"].to_numpy()
    bounds = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1], [True])))
    return [nodes.slice(start, end - start) for start, end in itertools.pairwise(bounds)]


def _build(trees: list[pa.Table], features: int) -> treelite.Model:
    classes = len(trees[0]["impurityStats"][0])
    builder = ModelBuilder(
        threshold_type="float64",
        leaf_output_type="float64",
        metadata=Metadata(
            num_feature=features,
            task_type="kMultiClf",
            average_tree_output=True,
            num_target=1,
            num_class=[classes],
            leaf_vector_shape=(1, classes),
        ),
        tree_annotation=TreeAnnotation(num_tree=len(trees), target_id=[0] * len(trees), class_id=[-1] * len(trees)),
        postprocessor=PostProcessorFunc(name="identity_multiclass"),
        base_scores=[0.0] * classes,
    )
    for tree in trees:
        _add(builder, tree)
    return builder.commit()


def _add(builder: ModelBuilder, tree: pa.Table) -> None:
    left, right = tree["leftChild"].to_pylist(), tree["rightChild"].to_pylist()
    split = tree["split"].combine_chunks()
    feature = split.field("featureIndex").to_pylist()
    threshold = split.field("leftCategoriesOrThreshold").to_pylist()
    categories = split.field("numCategories").to_pylist()
    stats = np.array(tree["impurityStats"].to_pylist())
    shares = (stats / stats.sum(axis=1, keepdims=True)).tolist()
    builder.start_tree()
    for node in range(len(tree)):
        builder.start_node(node)
        if left[node] < 0:
            builder.leaf(shares[node])
        elif categories[node] >= 0:
            raise BadInput("the forest splits on categories, which the export does not know", "use numeric features")
        else:
            builder.numerical_test(
                feature[node],
                threshold[node][0],
                default_left=False,
                opname="<=",
                left_child_key=left[node],
                right_child_key=right[node],
            )
        builder.end_node()
    builder.end_tree()
