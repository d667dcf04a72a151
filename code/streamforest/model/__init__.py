"""Models: their runs and versions in MLflow, and the published one under ``model/``."""
