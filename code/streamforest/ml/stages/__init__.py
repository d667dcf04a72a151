"""Pipeline stages. Their module paths are part of the saved format: moving one breaks saved models."""

from streamforest.ml.stages.balance import ClassWeightBalancer, ClassWeightBalancerModel
from streamforest.ml.stages.categories import CategoryIndexer
from streamforest.ml.stages.columns import ColumnSelector
from streamforest.ml.stages.distance import GreatCircle
from streamforest.ml.stages.events import EventSeparator
from streamforest.ml.stages.features import FeaturesGenerator, WindowStatistics
from streamforest.ml.stages.past import PastMeans, PastMeansModel
from streamforest.ml.stages.rows import FilterNulls, RowsSelector
from streamforest.ml.stages.typical import TypicalValues, TypicalValuesModel
from streamforest.ml.stages.values import CapValues

__all__ = [
    "CapValues",
    "CategoryIndexer",
    "ClassWeightBalancer",
    "ClassWeightBalancerModel",
    "ColumnSelector",
    "EventSeparator",
    "FeaturesGenerator",
    "FilterNulls",
    "GreatCircle",
    "PastMeans",
    "PastMeansModel",
    "RowsSelector",
    "TypicalValues",
    "TypicalValuesModel",
    "WindowStatistics",
]
