"""Random Forest predictions on live event streams, from raw history to a prediction that can be trusted."""

__version__ = "0.1.0"
