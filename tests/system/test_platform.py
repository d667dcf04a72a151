"""The platform from a clean clone: images, start, DAGs on recordings, what a stop keeps, what a cleanup leaves.

The tests follow one installation through its life, in the order of this file.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from streamforest import application as contract
from streamforest.errors import BadInput, Unreachable
from streamforest.streaming import topics
from tests import engines
from tests.flights import add_flights
from tests.homes import HISTORY
from tests.platform_facts import (
    DRILLS,
    applications,
    may,
    offsets,
    remembered,
    runs,
    secret_values,
    until_answered,
    while_healthy,
)
from tests.platforms import PROJECT, Platform, add_recordings, engine_answers, output

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not engine_answers(), reason="no Docker engine with compose here: the platform is not tried"),
]

DAY = "2013-12-24"
KEYS = ("/certificates/ca.key", "/certificates/kafka.pem", "/certificates/web.pem")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Images made, nothing started yet; what an interrupted run of these tests left is gone."""
    found = Platform(tmp_path_factory.mktemp("platform"))
    found.verb("cleanup", "--yes")
    made = found.verb("create-images")
    assert made.returncode == 0, made.stderr
    try:
        yield found
    finally:
        found.verb("cleanup", "--yes")


def test_a_first_start_ends_in_evidence(platform: Platform) -> None:
    ended = platform.verb("start")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.findall(r"(?m)^(\w+) +ok +[\d.]+  ", ended.stdout) == [
        "spark",
        "kafka",
        "mlflow",
        "airflow",
        "jupyter",
        "web",
    ]
    assert "a job on worker1, worker2" in ended.stdout
    assert f"http://127.0.0.1:{platform.ports['AIRFLOW_PORT']}" in ended.stdout
    assert not any(value in ended.stdout + ended.stderr for value in secret_values(platform))


def test_a_second_start_changes_nothing(platform: Platform) -> None:
    before = {name: each["Id"] for name, each in platform.containers().items()}

    ended = platform.verb("start")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {name: each["Id"] for name, each in platform.containers().items()} == before


def test_containers_may_do_little(platform: Platform) -> None:
    for name, container in platform.containers().items():
        host, user = container["HostConfig"], container["Config"]["User"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["ReadonlyRootfs"], name
        assert not host["Privileged"], name
        assert host["Memory"] > 0, name
        assert host["LogConfig"]["Config"]["max-size"], name
        assert name in ("airflow-init", "kafka-access") or container["State"]["Health"]["Status"] == "healthy", name


def test_processes_have_the_users_id_and_no_capability(platform: Platform) -> None:
    for name, container in platform.containers().items():
        if container["State"]["Running"]:
            status = output("docker", "exec", container["Id"], "cat", "/proc/1/status")
            assert re.search(r"(?m)^Uid:\s+[1-9]", status), name
            assert re.search(r"(?m)^CapEff:\s+0+$", status), name


def test_only_loopback_is_published(platform: Platform) -> None:
    published = [
        (name, port["HostIp"], port["HostPort"])
        for name, container in platform.containers().items()
        for ports in (container["NetworkSettings"]["Ports"] or {}).values()
        for port in ports or []
    ]

    assert {address for _, address, _ in published} == {"127.0.0.1"}
    assert {name for name, _, _ in published} == {"master", "airflow", "mlflow", "kafka", "jupyter", "web"}


def test_nothing_answers_at_another_address_of_this_machine(platform: Platform) -> None:
    addresses = {address for address in output("hostname", "-I").split() if "." in address}
    ports = [int(port) for port in platform.ports.values()]

    assert addresses, "this machine has no address but loopback"
    for address in addresses:
        for port in ports:
            with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):  # noqa: PT011
                pass


def test_no_secret_is_in_an_image_or_a_log(platform: Platform) -> None:
    secrets = secret_values(platform)
    names = [f"streamforest/{name}:test" for name in ("spark", "mlflow", "airflow", "jupyter", "web")]
    images = output("docker", "inspect", *names)
    images += "".join(output("docker", "history", "--no-trunc", name) for name in names)
    logs = platform.verb("logs", "--tail", "all").stdout

    assert len(secrets) == 14
    assert "airflow" in logs
    assert [value for value in secrets if value in images or value in logs] == []


def test_images_hold_no_installer_and_name_their_revision(platform: Platform) -> None:
    looked = "ls -d /opt/uv /var/cache/uv/* /root/.cache /var/lib/apt/lists/*; command -v gcc uv pip; true"
    for name in ("spark", "mlflow", "airflow", "jupyter", "web"):
        run = ["docker", "run", "--rm", "--network", "none", f"streamforest/{name}:test", "bash", "-c", looked]
        found = output(*run)
        (image,) = json.loads(output("docker", "image", "inspect", f"streamforest/{name}:test"))
        assert found.strip() in ("", "/opt/uv"), name
        assert image["Config"]["User"] == "10001:10001"
        assert image["Config"]["Labels"]["org.opencontainers.image.revision"]
    assert not (platform.root / ".venv").exists()


def test_only_who_knows_the_secret_may_join(platform: Platform) -> None:
    worker = ["docker", "run", "--rm", "--network", f"{PROJECT}_cluster", "-e", "_SPARK_AUTH_SECRET=guessed"]
    command = [*worker, "streamforest/spark:test", "timeout", "40", "/opt/streamforest/bin/entrypoint.sh", "worker"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode != 0
    assert len(platform.ask("SPARK_PORT", "/json/")["workers"]) == 2
    assert "Successfully registered" not in ended.stderr


def test_kafka_answers_nobody_without_the_login(platform: Platform) -> None:
    good = platform.kafka("web")
    assert good.login is not None
    wrong, nobody = replace(good.login, password=good.login.password[::-1]), replace(good.login, user="nobody")

    topics.reachable(good)

    for login in (None, wrong, nobody):
        with pytest.raises(Unreachable, match=r"no answer of Kafka's within .* or the login that it asks for"):
            topics.reachable(replace(good, login=login), 5)


@pytest.mark.parametrize("application", ["activity", "flights"])
def test_each_user_of_kafka_may_do_its_part_and_no_more(platform: Platform, application: str) -> None:
    topic = contract.load(application, ["streamforest.applications"]).topics
    answers = {"read", "write"} if application == "flights" else {"write"}
    asks = application == "flights"
    expected = {
        "producer": {topic.events: {"write"}, topic.predictions: set(), topic.invalid: set()},
        "predictor": {topic.events: {"read"}, topic.predictions: answers, topic.invalid: answers},
        "web": {
            topic.events: {"write"} if asks else set(),
            topic.predictions: {"read"},
            topic.invalid: {"read"} if asks else set(),
        },
    }

    found = {user: {name: may(platform.kafka(user), name) for name in names} for user, names in expected.items()}

    assert found == expected


@pytest.mark.parametrize("user", ["producer", "predictor", "web"])
def test_only_the_admin_makes_topics(platform: Platform, user: str) -> None:
    with pytest.raises(BadInput, match=f"user {user} may not make the topics other"):
        topics.create_topics(platform.kafka(user), {"other": 1})


def test_no_password_is_on_a_command_line(platform: Platform) -> None:
    shown = {name: while_healthy(each) for name, each in platform.containers().items() if each["State"]["Running"]}

    assert "org.apache.spark.deploy.worker.Worker" in shown["worker1"]
    assert "mongosh" in shown["mongo"]
    assert [name for name, text in shown.items() for value in secret_values(platform) if value in text] == []


def test_without_data_the_first_task_says_what_to_do(platform: Platform) -> None:
    run_id = platform.trigger("train_model")

    assert platform.ended("train_model", run_id) == "failed"
    assert f"there is no {HISTORY}" in platform.log("train_model", run_id, "partition_data")


def test_a_wrong_data_file_is_named(platform: Platform) -> None:
    (platform.root / "data" / HISTORY).write_text("<html>moved</html>\n")

    run_id = platform.trigger("train_model")

    assert platform.ended("train_model", run_id) == "failed"
    assert HISTORY in platform.log("train_model", run_id, "partition_data")


def test_the_dags_run_to_success(platform: Platform) -> None:
    add_recordings(platform.root / "data")

    states = {
        dag_id: platform.ended(dag_id, platform.trigger(dag_id, **params))
        for dag_id, params in (
            ("train_model", {}),
            ("sample_data", {"samples": 3}),
            ("create_consumer_producer", {"seconds": 60, "speed": 0}),
        )
    }

    assert states == dict.fromkeys(("train_model", "sample_data", "create_consumer_producer"), "success")
    assert list((platform.root / "predictions").glob("pred_batch_*/*.parquet"))
    assert offsets(platform)["HAR.predictions"] > 0
    assert {run["pipeline"] for run in runs(platform)} == {"lags", "statistics"}
    assert all("macro_f1" in run for run in runs(platform))


def test_the_notebook_runs_on_the_cluster(platform: Platform) -> None:
    before = applications(platform)
    jupyter = platform.containers()["jupyter"]["Id"]
    convert = ["python", "-P", "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "eda.ipynb"]
    # As a kernel of Jupyter's: with the cluster's secret, which the entrypoint puts in place.
    command = ["docker", "exec", jupyter, "/opt/streamforest/bin/entrypoint.sh", *convert]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert applications(platform) - before


def test_flights_are_trained_asked_about_and_predicted_by_the_day(platform: Platform) -> None:
    training, stream, batch = (
        "agile_data_science_batch_prediction_model_training",
        "flights_stream",
        "flights_batch_prediction",
    )
    platform.pause("train_model", "sample_data", "create_consumer_producer")
    data = platform.root / "data"
    add_flights(data / "flights")
    for path in (data / "flights", *(data / "flights").iterdir()):
        os.chown(path, data.stat().st_uid, data.stat().st_gid)
    platform.resume(training, stream)

    trained = platform.ended(training, platform.begun(training))
    assert trained == "success"
    answer = until_answered(platform, DAY)
    status = platform.verb("status").stdout
    platform.resume(batch)
    predicted = platform.ended(batch, platform.trigger(batch, day=DAY))
    platform.pause(training, stream, batch)

    assert predicted == "success"
    version = answer["prediction"]["modelVersion"]
    assert re.search(rf"(?m)^flights +{version} +[1-9]\d* +[1-9]\d* +0 ", status), status
    page = platform.page("WEB_PORT", f"/flights/delays/predict_batch/results/{DAY}")
    assert re.search(r"[1-9]\d* flights predicted", page)
    health = platform.ask("WEB_PORT", "/health")
    assert health["status"] == "ok"
    assert re.search(r"[1-9]\d* predictions kept", health["dependencies"]["store"]["detail"])


@pytest.mark.parametrize(("names", "again"), DRILLS)
def test_a_drill_keeps_the_promise(platform: Platform, names: str, again: set[str]) -> None:
    """Protection: Airflow tries a killed driver again, Spark a lost executor's tasks; the engine starts what ended, on
    its own disk; Kafka's clients wait. What each drill says without is in docs/operations.md.
    """
    platform.pause("train_model", "sample_data", "create_consumer_producer")

    ended = platform.verb("drill", *names.split())

    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = r"drill ([a-z ]+): [1-9]\d* equal, 0 missing, 0 added, 0 different, 0 repeated; .*; tried again: (.*)"
    told = re.fullmatch(found, ended.stdout.strip())
    assert told is not None, ended.stdout
    assert told[1] == names
    assert again <= set(re.findall(r"\w+", told[2]))


def test_killed_containers_lose_nothing(platform: Platform) -> None:
    platform.pause("sample_data", "create_consumer_producer")
    before = remembered(platform)
    ids = [each["Id"] for each in platform.containers().values() if each["State"]["Running"]]
    output("docker", "kill", *ids)

    down = platform.verb("status")
    ended = platform.verb("start")

    assert down.returncode == 69
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert remembered(platform) == before


def test_stop_and_start_keep_everything(platform: Platform) -> None:
    before = remembered(platform)

    ended = platform.verb("restart")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert remembered(platform) == before


@pytest.mark.filterwarnings("ignore:unclosed .ssl.SSLSocket:ResourceWarning")
def test_what_is_published_may_be_encrypted(platform: Platform, tmp_path: Path) -> None:
    ended = platform.verb("start", STREAMFOREST_TLS="on")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    platform.settings["STREAMFOREST_TLS"] = "on"
    ca = tmp_path / "ca.pem"
    ca.write_text(platform.verb("token", "ca").stdout)
    kafka = platform.kafka("web")
    pages = f"https://127.0.0.1:{platform.ports['WEB_PORT']}/health"

    topics.reachable(replace(kafka, ca=ca))
    with urllib.request.urlopen(pages, timeout=30, context=ssl.create_default_context(cafile=ca)) as answer:
        assert json.load(answer)["dependencies"]["kafka"]["ok"]

    for stranger in (kafka, replace(kafka, ca=Path(certifi.where()))):
        with pytest.raises(Unreachable):
            topics.reachable(stranger, 5)
    gc.collect()  # kafka-python leaves the socket of a refused handshake to the collector: here, not in the next test
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(pages, timeout=30, context=ssl.create_default_context())
    with pytest.raises((OSError, http.client.HTTPException)):
        platform.ask("WEB_PORT", "/health")


@pytest.mark.parametrize("name", ["kafka", "web"])
def test_a_service_reads_its_own_key_alone(platform: Platform, name: str) -> None:
    container = platform.containers()[name]["Id"]

    modes = output("docker", "exec", container, "stat", "-c", "%a %n", *KEYS).splitlines()
    read = ["docker", "exec", container, "head", "-c", "10"]
    readable = [key for key in KEYS if subprocess.run([*read, key], capture_output=True, check=False).returncode == 0]

    assert modes == [f"600 {key}" for key in KEYS]
    assert readable == [f"/certificates/{name}.pem"]


def test_a_service_that_dies_is_named(platform: Platform) -> None:
    output("docker", "kill", platform.containers()["mlflow"]["Id"])

    ended = platform.verb("status")

    assert ended.returncode == 69
    assert re.search(r"(?m)^mlflow +exited +ended 137", ended.stdout)


@pytest.mark.skipif(not engines.possible(), reason="no root, or no ip: there is no other machine to join from")
def test_a_worker_of_another_machine_joins(platform: Platform, tmp_path: Path) -> None:
    platform.settings |= {"STREAMFOREST_ADDRESS": engines.HERE, "COMPOSE_PROFILES": "core", "STREAMFOREST_TLS": "off"}
    other = Platform(tmp_path)
    shutil.copy(platform.root / ".env", other.root / ".env")
    with engines.another() as engine:
        alone = platform.verb("start")
        services = set(platform.containers())
        copied = f"docker save streamforest/spark:test | docker --host {engine} load"
        subprocess.run(copied, shell=True, check=True, capture_output=True, timeout=300)  # noqa: S602  # no user's text

        joined = other.verb(
            "join", engines.HERE,
            DOCKER_HOST=engine, SPARK_WORKER_HOST=engines.THERE, STREAMFOREST_FILES=str(platform.root),
        )  # fmt: skip
        together = platform.verb("smoke")
        subprocess.run(["docker", "--host", engine, "rm", "--force", "streamforest-worker"], check=True)

    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert f"a job on {engines.HERE}" in alone.stdout
    assert services.isdisjoint({"worker2", "jupyter", "mongo", "web"})
    assert joined.returncode == 0, joined.stderr
    assert together.returncode == 0, together.stdout + together.stderr
    assert f"a job on {engines.HERE}, {engines.THERE}" in together.stdout


def test_cleanup_removes_what_the_project_made_and_nothing_else(platform: Platform) -> None:
    output("docker", "volume", "create", "bystander")
    try:
        ended = platform.verb("cleanup", "--yes")
        volumes = output("docker", "volume", "ls", "--format", "{{.Name}}").split()
    finally:
        output("docker", "volume", "rm", "bystander")

    assert ended.returncode == 0, ended.stderr
    assert "bystander" in volumes
    assert not [name for name in volumes if name.startswith(f"{PROJECT}_")]
    assert PROJECT not in output("docker", "ps", "-a") + output("docker", "network", "ls")
    assert ":test" not in output("docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
    assert not (platform.root / ".env").exists()
    assert (platform.root / "model" / ".created").exists()
