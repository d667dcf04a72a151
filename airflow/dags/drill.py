"""A stream to be broken on purpose, begun by `./control_env.sh drill NAME` and by nobody else.

It sends made-up readings at their own pace, predicts them as they come, then what is left, then all of them by the
batch path; the verb breaks something meanwhile and compares the two. In topics and folders of its own, named *drill*.
"""

from airflow.sdk import DAG

from streamforest_dags import factory

dag: DAG = factory.drilling("drill", "drill", path="data/drill/real_time", doc=__doc__)
