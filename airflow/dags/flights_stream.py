"""Answer what is asked on the page of flight delays, in Spark's real-time mode, while this DAG is switched on.

Waits for a model, then answers for *seconds*; the next run follows at once and goes on where it ended. It holds four
cores of the cluster all the time, whether anybody asks or not.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.answering(
    "flights_stream", "flights", cores=4, metrics_port=9465, prefix="flights/", doc=__doc__, paused=True
)
