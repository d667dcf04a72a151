"""Send the sampled readings to Kafka and predict them as they come, every ten minutes, one run at a time.

Waits for a model and for sampled data. Predictions go to `predictions/pred_batch_*` and to the topic HAR.predictions,
messages that cannot be read to HAR.invalid. The consumer stops after *seconds*, and the next run goes on where it was;
the producer sends at *speed* times the recording's own pace, or at once with 0. Events bear the time of *clock*: with
their recorded ones, sampled moments step back in time, and most are late after a few runs.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.streaming("create_consumer_producer", "activity", metrics_port=9464, clock="now", doc=__doc__)
