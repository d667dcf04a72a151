"""Predict the delays of all flights of a day, or of every day after the training's, and keep them for the web page.

Runs daily while this DAG is switched on, once there is a model. *day*, such as 2013-12-24, is one day; left empty, it
is all of them. Results are in `predictions/flights/batch` and in the store, where the page of a day's results looks.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.predicting(
    "flights_batch_prediction",
    "flights",
    path="data/flights/partitioned/testing",
    schedule="0 3 * * *",
    prefix="flights/",
    doc=__doc__,
    paused=True,
)
