"""Train and test both pipelines of activity, each day and at the first start.

A task that fails on bad input (no data file, a damaged one) says what to do in the last line of its log and is not
tried again. Metrics of both pipelines stand side by side in MLflow, experiment *activity*; the better one is published
under `model/`. With *split_at*, users below that number train and the others test.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.training("train_model", "activity", pipelines=("lags", "statistics"), split_at="1607", doc=__doc__)
