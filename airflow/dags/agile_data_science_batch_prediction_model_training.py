"""Train and test both pipelines of flights, each day while this DAG is switched on.

The flights of 2013 come with the platform; other files go into `data/flights`. With *split_at*, a month or a day,
flights before it train and later ones test. Metrics stand side by side in MLflow, experiment *flights*; the gate
decides which model is published under `model/flights`.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.training(
    "agile_data_science_batch_prediction_model_training",
    "flights",
    pipelines=("reference", "history"),
    split_at="2013-10",
    doc=__doc__,
    paused=True,
)
