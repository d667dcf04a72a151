"""Draw new stretches of unlabelled activity readings, every five minutes, once there is a model.

Each run draws other moments; *samples* says how many. What was drawn before is replaced.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.sampling("sample_data", "activity", doc=__doc__)
