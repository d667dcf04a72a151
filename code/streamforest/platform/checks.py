"""What each service must do for another one: a job on every worker, a message, a run, an artifact, DAGs, a notebook."""

from __future__ import annotations

import contextlib
import platform
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamforest import files, session
from streamforest.errors import StreamforestError, Unreachable
from streamforest.kafka import Kafka, Role
from streamforest.platform.airflow import Airflow
from streamforest.platform.asking import ask
from streamforest.settings import Settings, Share, kept, secret, web_url, worker_host
from streamforest.streaming import topics

SPARK_PAGE, JUPYTER = "http://master:8080", "http://jupyter:8888"
EXPERIMENT = "smoke"
_JOB_LIMIT_S = 120.0
_MESSAGE_LIMIT_S = 30.0
_REFUSAL_S = 3.0

Check = Callable[[Settings], str]
"""Returns what was seen, in a few words; raises StreamforestError where it was not as it must be."""


def spark(given: Settings) -> str:
    """A job with a task on every worker, each with the driver's Python and the driver's folders."""
    workers = _alive_workers()
    folder = given.data / f".smoke-{uuid.uuid4().hex}"
    files.require_writable(folder)
    options = {
        # No task before every worker has its executor, so that each gets its share.
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": f"{_JOB_LIMIT_S:.0f}s",
        "spark.locality.wait": "0",
    }
    share = Share(cores=str(len(workers)), memory="512m")
    try:
        with _bounded(session.build(replace(given, batch=share), "smoke", options=options)) as context:
            seen = context.parallelize(range(4 * len(workers)), 4 * len(workers)).mapPartitions(_look(folder)).collect()
        hosts, pythons = {host for host, _ in seen}, {python for _, python in seen}
        left = {path.name for path in folder.iterdir()}
    finally:
        files.remove(folder)
    _require(hosts == workers, f"a job ran on {_listed(hosts)}, not on {_listed(workers)}")
    _require(pythons == {_python()}, f"workers run Python {_listed(pythons)}, the driver {_python()}")
    _require(
        left == hosts, f"of what {_listed(hosts)} wrote into {given.data}, the driver sees that of {_listed(left)}"
    )
    return f"a job on {_listed(hosts)}, Python {_python()} everywhere, one home"


def kafka(given: Settings) -> str:
    """A message goes in and comes out again, and who has no login gets no answer."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    servers = given.kafka(Role.ADMIN)
    topic, message = f"smoke-{uuid.uuid4().hex}", uuid.uuid4().bytes
    topics.create_topics(servers, {topic: 1})
    try:
        with contextlib.closing(KafkaProducer(**servers.python())) as producer:
            producer.send(topic, message).get(_MESSAGE_LIMIT_S)
        limit_ms = int(_MESSAGE_LIMIT_S * 1000)
        consumer = KafkaConsumer(topic, **servers.python(), auto_offset_reset="earliest", consumer_timeout_ms=limit_ms)
        with contextlib.closing(consumer):
            found = next((record.value for record in consumer), None)
    finally:
        with contextlib.closing(KafkaAdminClient(**servers.python())) as admin:
            admin.delete_topics([topic])
    _require(found == message, f"a message sent to {servers} did not come out within {_MESSAGE_LIMIT_S:.0f} s")
    _require(not _answers(replace(servers, login=None)), f"Kafka at {servers} answers who has no login")
    return f"a message through {servers}, which answers nobody without a login"


def _answers(found: Kafka) -> bool:
    try:
        topics.reachable(found, _REFUSAL_S)
    except Unreachable:
        return False
    return True


def mlflow(given: Settings) -> str:
    """A run with a metric and an artifact, both read back; the run is removed."""
    import mlflow as client
    from mlflow.exceptions import MlflowException

    text = uuid.uuid4().hex
    try:
        with kept("MLFLOW_TRACKING_URI"), tempfile.TemporaryDirectory() as folder:
            client.set_tracking_uri(given.tracking_uri)
            client.set_experiment(EXPERIMENT)
            with client.start_run() as run:
                client.log_metric("answer", 42)
                client.log_text(text, "smoke.txt")
            answer = client.get_run(run.info.run_id).data.metrics["answer"]
            path = client.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path="smoke.txt", dst_path=folder
            )
            artifact = Path(path).read_text(encoding="utf-8")
            client.delete_run(run.info.run_id)
    except (MlflowException, OSError, KeyError) as error:
        raise Unreachable(
            f"MLflow at {given.tracking_uri} failed ({error})", "see ./control_env.sh logs mlflow"
        ) from None
    _require(answer == 42 and artifact == text, f"MLflow at {given.tracking_uri} gave back something else")
    return "a run and its artifact, written and read back"


def airflow(_: Settings) -> str:
    """Every service of Airflow is well, every DAG file was read without error, and there are DAGs."""
    found = Airflow()
    health = found.get("/monitor/health")
    sick = [name for name, state in health.items() if state and state.get("status") != "healthy"]
    _require(not sick, f"Airflow says that {_listed(sick)} is not healthy")
    errors = found.get("/importErrors")["import_errors"]
    _require(not errors, f"Airflow cannot read {_listed(error['filename'] for error in errors)}")
    dags = found.get("/dags?limit=100")["dags"]
    _require(bool(dags), "Airflow knows no DAG")
    return f"{len(dags)} DAGs without error: {_listed(dag['dag_id'] for dag in dags)}"


def jupyter(_: Settings) -> str:
    """The notebook server lets in who has the token, and nobody else."""
    token = secret("JUPYTER_TOKEN")
    ask(f"{JUPYTER}/api/status", headers={"Authorization": f"token {token}"})
    try:
        ask(f"{JUPYTER}/api/contents")
    except Unreachable:
        return "answers who has the token, and nobody else"
    raise StreamforestError("Jupyter shows its files without a token", "restart it: ./control_env.sh restart")


def web(_: Settings) -> str:
    """The pages' server reaches what it depends on."""
    found = ask(f"{web_url()}/health")["dependencies"]
    return _listed(f"{name} {'is well' if each['ok'] else 'has nothing to say yet'}" for name, each in found.items())


CORE: Mapping[str, Check] = {"spark": spark, "kafka": kafka, "mlflow": mlflow, "airflow": airflow}
FULL: Mapping[str, Check] = {**CORE, "jupyter": jupyter, "web": web}


def _look(folder: Path) -> Callable[[Iterable[int]], Iterator[tuple[str, str]]]:
    """A task that tells where it ran and leaves a file of that name."""

    def look(_: Iterable[int]) -> Iterator[tuple[str, str]]:
        host = worker_host()
        (folder / host).touch()
        time.sleep(0.2)
        yield host, _python()

    return look


def _python() -> str:
    return f"{platform.python_version()} ({sys.executable})"


def _alive_workers() -> set[str]:
    workers = ask(f"{SPARK_PAGE}/json/")["workers"]
    alive = {str(worker["host"]) for worker in workers if worker["state"] == "ALIVE"}
    _require(bool(alive), "Spark's master has no worker")
    return alive


@contextlib.contextmanager
def _bounded(spark_session: Any) -> Iterator[Any]:  # noqa: ANN401  # a session; its context has no public type
    """The session's context, stopped at the end; a job that got no place in time is cancelled."""
    context = spark_session.sparkContext
    late = threading.Timer(_JOB_LIMIT_S, context.cancelAllJobs)
    late.start()
    try:
        yield context
    except Exception as error:
        if not late.is_alive():
            raise Unreachable(
                f"a small job got no place on the cluster within {_JOB_LIMIT_S:.0f} s",
                "its page tells who holds the cores; end that, or offer more: SPARK_WORKER_CORES in .env",
            ) from None
        raise Unreachable(f"a small job failed ({str(error).splitlines()[0]})", "see ./control_env.sh logs") from error
    finally:
        late.cancel()
        spark_session.stop()


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StreamforestError(otherwise, "see ./control_env.sh logs")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
