"""Machine learning: the window kernel, pipeline stages, evaluation, and the forest outside Spark."""
