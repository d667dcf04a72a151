"""The DAGs of an application: train, sample, stream, answer, and predict from files. A DAG file calls one of these.

Parsing them asks for nothing but environment variables. Those of the first application are active from the start and
see to the order by themselves: training begins at once, the others wait for the files that they need, in the triggerer.
Another application's wait, ``paused``, for somebody who wants it: a small machine has room for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import DAG, CronTriggerTimetable, Param

from streamforest_dags import settings
from streamforest_dags.job import JobOperator
from streamforest_dags.sensor import HomeSensor

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

Schedule: TypeAlias = "str | CronTriggerTimetable"

_DAILY = CronTriggerTimetable("0 0 * * *", timezone="UTC", run_immediately=True)
_DEFAULTS = {"owner": "streamforest", "retries": 2, "retry_delay": timedelta(minutes=1)}
_ANSWERING_S = 6 * 3600
"""Between two runs of a stream of answers nobody answers for about half a minute."""
_MODEL_PRIORITY, _SAMPLE_PRIORITY, _STREAM_PRIORITY = 3, 2, 1
"""Of tasks that wait for cores: without a model nothing else has anything to do."""

_DOCS = {
    "partition": "Reads the raw history under `data/` and writes `data/partitioned/{training,testing}`.",
    "train": "Fits one pipeline a mapped task and leaves each as a candidate, with a run in MLflow.",
    "test": "Scores each candidate beside the published model on the same rows; the gate decides whether it replaces "
    "it. Metrics and confusion matrices are in the candidate's run in MLflow.",
    "sample": "Draws random stretches of unlabelled records into `data/real_time`.",
    "produce": "Sends what Kafka has not got yet of `data/real_time`.",
    "consume": "Predicts what arrives in Kafka, into `predictions/pred_batch_*` and the topic of predictions.",
    "batch": "Computes the predictions of events in files, without Kafka, into `predictions/batch`.",
}
_RETURNS = "\n\nReturns the job's report; exit codes and options: docs/guide/jobs.md."


def training(
    dag_id: str,
    application: str,
    *,
    pipelines: Sequence[str],
    split_at: str,
    doc: str | None,
    schedule: Schedule = _DAILY,
    paused: bool = False,
) -> DAG:
    """partition_data → train_model → test_model; the last two are mapped over the pipelines, one at a time."""
    params = {"split_at": Param(split_at, type="string")}
    with _dag(dag_id, application, schedule, doc, params, paused=paused) as dag:
        partition = _batch(
            "partition_data",
            timedelta(hours=2),
            priority=_MODEL_PRIORITY,
            application_args=["partition", application, "--split-at={{ params.split_at }}"],
        )
        train, test = (
            _mapped(task_id, timedelta(hours=4), [[job, application, "--pipeline", name] for name in pipelines])
            for task_id, job in (("train_model", "train"), ("test_model", "test"))
        )
        partition >> train >> test
    return dag


def sampling(
    dag_id: str,
    application: str,
    *,
    doc: str | None,
    samples: int = 20,
    schedule: Schedule = "*/5 * * * *",
    prefix: str = "",
) -> DAG:
    """check_model → sample: other moments in each run."""
    params = {"samples": Param(samples, type="integer", minimum=1)}
    with _dag(dag_id, application, schedule, doc, params) as dag:
        sample = _batch(
            "sample",
            timedelta(minutes=30),
            priority=_SAMPLE_PRIORITY,
            application_args=[
                "sample",
                application,
                "--samples={{ params.samples }}",
                "--seed={{ dag_run.run_after.timestamp() | int }}",
            ],
        )
        _check_model(prefix) >> sample
    return dag


def streaming(
    dag_id: str,
    application: str,
    *,
    doc: str | None,
    metrics_port: int,
    clock: str = "recorded",
    schedule: Schedule = "*/10 * * * *",
    prefix: str = "",
) -> DAG:
    """check_model, check_realtime_data → create_producer ∥ create_consumer, for most of the time between two runs.

    The consumer serves its metrics at ``metrics_port``, to other containers of the cluster's network alone.
    """
    params = {
        "seconds": Param(480, type="number", exclusiveMinimum=0, description="how long to consume"),
        "speed": Param(1, type="number", minimum=0, description="1: the recording's own pace; 0: at once"),
        "clock": Param(clock, enum=["now", "recorded"], description="whose times the events bear"),
    }
    with _dag(dag_id, application, schedule, doc, params) as dag:
        ready = [_check_model(prefix), _waiting("check_realtime_data", f"data/{prefix}real_time/*.parquet")]
        options = ["--speed={{ params.speed }}", "--clock={{ params.clock }}"]
        producer = _stream("create_producer", ["produce", application, *options])
        consumer = _stream("create_consumer", _consuming(application, metrics_port))
        for task in (producer, consumer):
            ready >> task
    return dag


def answering(
    dag_id: str,
    application: str,
    *,
    cores: int,
    metrics_port: int,
    doc: str | None,
    prefix: str = "",
    paused: bool = False,
) -> DAG:
    """check_model → answer_requests, one run after the other: for an application that answers single requests.

    ``cores``: as many as its query holds tasks, all the time. ``metrics_port``: as for :func:`streaming`.
    """
    params = {"seconds": Param(_ANSWERING_S, type="number", exclusiveMinimum=0, description="how long to answer")}
    with _dag(dag_id, application, "@continuous", doc, params, paused=paused) as dag:
        _check_model(prefix) >> _stream(
            "answer_requests",
            _consuming(application, metrics_port),
            limit=timedelta(seconds=2 * _ANSWERING_S),
            cores=cores,
        )
    return dag


def predicting(
    dag_id: str,
    application: str,
    *,
    path: str,
    doc: str | None,
    schedule: Schedule,
    prefix: str = "",
    paused: bool = False,
) -> DAG:
    """check_model → predict: the events in ``path`` (below the home), of one day or all, without Kafka."""
    params = {"path": Param(path, type="string"), "day": Param("", type="string", description="empty: all days")}
    with _dag(dag_id, application, schedule, doc, params, paused=paused) as dag:
        predict = _batch(
            "predict",
            timedelta(hours=1),
            priority=_SAMPLE_PRIORITY,
            application_args=["consume", application, "--batch={{ params.path }}", "--day={{ params.day }}"],
        )
        predict.doc_md = _DOCS["batch"] + _RETURNS
        _check_model(prefix) >> predict
    return dag


def drilling(dag_id: str, application: str, *, path: str, doc: str | None) -> DAG:
    """create_producer ∥ create_consumer → drain → predict: a stream, its rest, and what the batch path says of both.

    Begun by the verb drill alone. Whatever is broken meanwhile, its tasks are soon tried again.
    """
    params = {"seconds": Param(60, type="number", exclusiveMinimum=0, description="how long to consume")}
    with _dag(dag_id, application, None, doc, params, retries=10, retry_delay=timedelta(seconds=5)) as dag:
        producer = _stream("create_producer", ["produce", application, "--speed=1"])
        consumer = _stream("create_consumer", ["consume", application, "--seconds={{ params.seconds }}"])
        drain = _stream("drain", ["consume", application, "--available-now"])
        predict = _batch(
            "predict",
            timedelta(hours=1),
            priority=_STREAM_PRIORITY,
            application_args=["consume", application, f"--batch={path}", "--as-recorded"],
        )
        predict.doc_md = _DOCS["batch"] + _RETURNS
        [producer, consumer] >> drain >> predict
    return dag


def _dag(
    dag_id: str,
    application: str,
    schedule: Schedule | None,
    doc: str | None,
    params: Mapping[str, Param],
    *,
    paused: bool = False,
    **defaults: Any,  # noqa: ANN401  # arguments of tasks
) -> DAG:
    return DAG(
        dag_id,
        schedule=schedule,
        params=dict(params),
        doc_md=doc,
        description=(doc or "").partition("\n")[0],
        tags=["streamforest", application],
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=paused,
        default_args={**_DEFAULTS, **defaults},
        render_template_as_native_obj=False,
    )


def _resources(share: settings.Share, limit: timedelta, priority: int) -> dict[str, Any]:
    """Arguments of a task that takes a share of the cluster.

    It takes as many slots of Airflow's pool as cores, so that a pool with as many slots as the cluster has cores keeps
    a job from starting before there is room for it.
    """
    given = settings.load()
    return {
        "application": str(given.main),
        "spark_binary": str(given.spark_submit),
        "deploy_mode": "client",
        "driver_memory": given.driver_memory,
        "conf": {
            "spark.cores.max": str(share.cores),
            "spark.executor.cores": "1",
            "spark.executor.memory": share.memory,
            "spark.pyspark.python": str(given.python),
            "spark.executorEnv.PYTHONPATH": str(given.code),
            "spark.driver.extraJavaOptions": given.driver_options,
        },
        "pool_slots": share.cores,
        "execution_timeout": limit,
        "priority_weight": priority,
        "weight_rule": "absolute",
    }


def _named(application_args: Sequence[str]) -> dict[str, str]:
    job, application = application_args[:2]
    return {"name": f"{job} {application}", "doc_md": _DOCS[job] + _RETURNS}


def _batch(task_id: str, limit: timedelta, *, priority: int, application_args: Sequence[str]) -> JobOperator:
    return JobOperator(
        task_id=task_id,
        application_args=list(application_args),
        **_named(application_args),
        **_resources(settings.load().batch, limit, priority),
    )


def _mapped(task_id: str, limit: timedelta, each: Sequence[Sequence[str]]) -> MappedOperator:
    """One task an entry, one after the other: a job holds its application's lock. Named after the last argument."""
    return JobOperator.partial(
        task_id=task_id,
        max_active_tis_per_dagrun=1,
        map_index_template="{{ task.application_args[-1] }}",
        **_named(each[0]),
        **_resources(settings.load().batch, limit, _MODEL_PRIORITY),
    ).expand(application_args=[list(arguments) for arguments in each])


def _consuming(application: str, metrics_port: int) -> list[str]:
    return ["consume", application, "--seconds={{ params.seconds }}", f"--metrics=0.0.0.0:{metrics_port}"]


def _stream(
    task_id: str,
    application_args: Sequence[str],
    *,
    limit: timedelta = timedelta(hours=1),
    cores: int | None = None,
) -> JobOperator:
    share = settings.load().stream
    return JobOperator(
        task_id=task_id,
        application_args=list(application_args),
        **_named(application_args),
        **_resources(replace(share, cores=cores or share.cores), limit, _STREAM_PRIORITY),
    )


def _check_model(prefix: str) -> HomeSensor:
    return _waiting("check_model", f"model/{prefix}.created")


def _waiting(task_id: str, filepath: str) -> HomeSensor:
    """Skips the run, rather than failing it, where nothing came for half a day."""
    return HomeSensor(
        task_id=task_id,
        filepath=filepath,
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(hours=12).total_seconds(),
        soft_fail=True,
        doc_md=f"Waits for `{filepath}` below the home, without holding a worker.",
    )
