"""The platform's verbs where something is wrong, on machines with an engine of chosen answers."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.machines import ROOT, Machine

# An engine as far as the script asks it before anything is started; what it is asked to do is written down.
ENGINE = """#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in
  *compose*version*) {compose} ;;
  "buildx version") {buildx} ;;
  info*MemTotal*Architecture*) echo "{version} 2 {memory} {machine} /nowhere" ;;
  info*MemTotal*) echo "{memory}" ;;
  version*) echo amd64 ;;
  "image inspect"*--format*Architecture*) echo {image_for} ;;
  "image inspect"*) {images} ;;
  "volume inspect"*) {volumes} ;;
  ps*Ports*) echo "{ports}" ;;
  *compose*up*) {up} ;;
esac
"""
FIT = {
    "compose": "echo 2.26.1", "buildx": "true", "version": "26.1.5", "memory": "16000000000", "machine": "x86_64",
    "image_for": "amd64", "images": "true", "volumes": "exit 1", "ports": "", "up": "exit 1",
}  # fmt: skip


class Host(Machine):
    """A machine with an engine."""

    def add_engine(self, **answers: str) -> None:
        self.add("docker", ENGINE.format(**{**FIT, **answers}, calls=self.calls))

    @property
    def dotenv(self) -> Path:
        return self.root / ".env"

    @property
    def asked(self) -> str:
        return self.calls.read_text() if self.calls.exists() else ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    for name in ("data", "model", "predictions", "notebook"):
        (found.root / name).mkdir()
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def ports() -> dict[str, str]:
    names = ("SPARK_PORT", "AIRFLOW_PORT", "MLFLOW_PORT", "KAFKA_PORT", "JUPYTER_PORT", "WEB_PORT")
    return {name: str(free_port()) for name in names}


def refusal(host: Host, *verb: str, code: int = 69, taken: Mapping[str, str] | None = None) -> str:
    """The one line that a verb ends with."""
    ended = host.run(*verb, **{**ports(), **(taken or {})})
    lines = ended.stderr.splitlines()
    assert ended.returncode == code, ended.stderr
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "compose up" not in host.asked
    return lines[0]


@pytest.mark.parametrize("verb", ["start", "status", "smoke", "cleanup", "create-images", "logs"])
def test_no_docker_is_named(host: Host, verb: str) -> None:
    assert "no docker" in refusal(host, verb)


@pytest.mark.parametrize("verb", ["start", "status", "smoke", "stop", "cleanup", "create-images", "update"])
def test_an_engine_that_is_down_is_named(host: Host, verb: str) -> None:
    host.add("docker", "#!/bin/sh\nexit 1\n")

    assert "engine does not answer; start it" in refusal(host, verb)


def test_an_engine_of_somebody_else_is_named(host: Host) -> None:
    host.add("docker", "#!/bin/sh\necho 'permission denied while trying to connect' >&2\nexit 1\n")

    assert "add yourself to its group" in refusal(host, "start")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"memory": "4000000000"}, "4000 MB for the engine, 7000 MB are needed"),
        ({"version": "20.10.24"}, "Docker 20.10.24, 25 or newer is needed"),
        ({"machine": "riscv64"}, "riscv64, unfit"),
        ({"compose": "exit 1"}, "no docker compose v2"),
        ({"images": "exit 1"}, "make them: ./control_env.sh create-images"),
        ({"image_for": "arm64"}, "is for arm64, this machine is amd64"),
    ],
)
def test_an_unfit_engine_is_named(host: Host, answers: dict[str, str], words: str) -> None:
    host.add_engine(**answers)

    assert words in refusal(host, "start")
    assert not host.dotenv.exists()


def test_everything_that_is_unfit_is_named_at_once(host: Host) -> None:
    host.add_engine(memory="4000000000", version="20.10.24")

    ended = host.run("start")

    assert len(ended.stderr.splitlines()) == 2


def test_images_are_not_built_without_a_builder(host: Host) -> None:
    host.add_engine(buildx="exit 1")

    assert "no docker buildx" in refusal(host, "create-images")


@pytest.mark.parametrize("name", ["SPARK_PORT", "KAFKA_PORT", "JUPYTER_PORT"])
def test_a_taken_port_is_named_with_its_setting(host: Host, name: str) -> None:
    host.add_engine()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        line = refusal(host, "start", taken={name: str(port)})

    assert f"port {port} (" in line
    assert f"set another {name}" in line


def test_a_port_that_a_container_of_ours_has_is_no_obstacle(host: Host) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        host.add_engine(ports=f"127.0.0.1:{port}->8080/tcp")

        ended = host.run("start", **{**ports(), "SPARK_PORT": str(port)})

    assert "not all services could be started" in ended.stderr


def test_a_profile_without_pages_asks_for_fewer_ports(host: Host) -> None:
    host.add_engine()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = str(listener.getsockname()[1])

        ended = host.run("start", **{**ports(), "JUPYTER_PORT": taken, "COMPOSE_PROFILES": "core"})

    assert "taken" not in ended.stderr
    assert "compose" in host.asked
    assert "mongo:8" not in host.asked


def start(host: Host) -> dict[str, str]:
    """Settings after a start, which here ends where services would come up."""
    host.run("start", **ports())
    lines = [line for line in host.dotenv.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_a_first_start_makes_secrets_that_only_their_owner_reads(host: Host, tmp_path: Path) -> None:
    host.add_engine()
    (tmp_path / "second").mkdir()
    second = Host(tmp_path / "second")
    second.add_engine()

    one, other = start(host), start(second)

    secrets = re.findall(r"(?m)^(\w+) (?:hex|hex64|fernet|word|cluster) ", (ROOT / "docker" / "dotenv.sh").read_text())
    assert len(secrets) == 15
    assert host.dotenv.stat().st_mode & 0o777 == 0o600
    assert all(len(one[name]) >= 16 and one[name] != other[name] for name in secrets)
    assert len({one[name] for name in secrets}) == len(secrets)


def test_a_second_start_keeps_the_secrets(host: Host) -> None:
    host.add_engine()

    assert start(host) == start(host)


def test_containers_never_run_as_root(host: Host) -> None:
    host.add_engine()

    assert start(host)["STREAMFOREST_UID"] != "0"


def test_a_small_machine_gets_smaller_workers(host: Host) -> None:
    host.add_engine(memory="8000000000")

    assert start(host)["SPARK_WORKER_MEMORY"] == "2g"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (("JUPYTER_TOKEN=", "# "), "lacks JUPYTER_TOKEN"),
        (("SPARK_SECRET=", "SPARK_SECRET=short\n#"), "lacks SPARK_SECRET"),
        (("COMPOSE_PROFILES=full", "COMPOSE_PROFILES"), "is not NAME=VALUE"),
        (("COMPOSE_PROFILES=full", "COMPOSE_PROFILES=$(reboot)"), "is not NAME=VALUE"),
        (("COMPOSE_PROFILES=full", 'COMPOSE_PROFILES="full'), "line 5 of"),
    ],
)
def test_a_damaged_env_file_is_named(host: Host, damage: tuple[str, str], words: str) -> None:
    host.add_engine()
    start(host)
    host.calls.unlink()
    host.dotenv.write_text(host.dotenv.read_text().replace(*damage))

    line = refusal(host, "start", code=65)

    assert words in line
    assert str(host.dotenv) in line


def test_a_lost_env_file_is_named_where_data_depend_on_it(host: Host) -> None:
    host.add_engine(volumes="true")

    line = refusal(host, "start", code=65)

    assert "data made with its secrets are in volumes postgres mongo kafka" in line


def test_update_adds_a_new_secret_but_none_that_data_depend_on(host: Host) -> None:
    host.add_engine()
    before = start(host)
    host.dotenv.write_text(host.dotenv.read_text().replace("JUPYTER_TOKEN=", "# "))

    added = host.run("update", **ports())
    found = host.dotenv.read_text()
    host.add_engine(volumes="true")
    host.dotenv.write_text(found.replace("MONGO_PASSWORD=", "# "))
    refused = host.run("update", **ports())

    assert "a new JUPYTER_TOKEN goes into" in added.stderr
    assert before["JUPYTER_TOKEN"] not in found.split("JUPYTER_TOKEN=")[1]
    assert refused.returncode == 65
    assert "lacks MONGO_PASSWORD, with which volume mongo was made" in refused.stderr


def test_an_env_file_for_everybody_is_closed(host: Host) -> None:
    host.add_engine()
    start(host)
    host.dotenv.chmod(0o644)

    ended = host.run("start", **ports())

    assert "had mode 644" in ended.stderr
    assert host.dotenv.stat().st_mode & 0o777 == 0o600


def test_other_machines_are_let_in_with_a_warning(host: Host) -> None:
    host.add_engine()

    ended = host.run("start", **{**ports(), "STREAMFOREST_BIND": "0.0.0.0"})  # noqa: S104  # what is warned of

    assert "warning: STREAMFOREST_BIND=0.0.0.0 opens" in ended.stderr


def test_secrets_are_shown_by_one_verb(host: Host) -> None:
    host.add_engine()
    made = start(host)

    assert host.run("token", "jupyter").stdout.strip() == made["JUPYTER_TOKEN"]
    assert host.run("token", "airflow").stdout.strip() == made["AIRFLOW_PASSWORD"]
    assert made["JUPYTER_TOKEN"] in host.run("token").stdout
    assert host.run("token", "spark").returncode == 64


def test_a_client_of_kafka_is_told_its_login(host: Host) -> None:
    host.add_engine()
    made = start(host)

    told = dict(line.split("=", 1) for line in host.run("token", "kafka", "web", KAFKA_PORT="1234").stdout.splitlines())

    assert (told["bootstrap.servers"], told["security.protocol"]) == ("127.0.0.1:1234", "SASL_PLAINTEXT")
    assert f'username="web" password="{made["STREAMFOREST_KAFKA_WEB_PASSWORD"]}";' in told["sasl.jaas.config"]
    assert "users are admin, producer, predictor and web, not root" in host.run("token", "kafka", "root").stderr


def test_passwords_of_kafka_are_made_anew_beside_its_data(host: Host) -> None:
    host.add_engine()
    before = start(host)
    host.dotenv.write_text(re.sub(r"(?m)^STREAMFOREST_KAFKA_.*\n", "", host.dotenv.read_text()))
    host.add_engine(volumes="true")

    refused = host.run("start", **ports())
    added = host.run("update", **ports())

    assert refused.returncode == 65
    assert "lacks STREAMFOREST_KAFKA_ADMIN_PASSWORD" in refused.stderr
    assert "a new STREAMFOREST_KAFKA_WEB_PASSWORD goes into" in added.stderr
    assert before["STREAMFOREST_KAFKA_WEB_PASSWORD"] not in host.dotenv.read_text()


def test_encryption_is_on_or_off(host: Host) -> None:
    host.add_engine()

    line = refusal(host, "start", code=65, taken={"STREAMFOREST_TLS": "yes"})

    assert "STREAMFOREST_TLS is on or off, not yes" in line


def test_without_encryption_there_is_no_authority(host: Host) -> None:
    host.add_engine()
    start(host)

    assert "STREAMFOREST_TLS is not on" in refusal(host, "token", "ca", code=65)


def test_certificates_are_made_for_the_names_that_clients_use(host: Host) -> None:
    host.add_engine()

    host.run("start", **{**ports(), "STREAMFOREST_TLS": "on", "STREAMFOREST_TLS_NAMES": "trees.example"})

    made = next(line for line in host.asked.splitlines() if "platform.certificates" in line)
    assert "localhost,127.0.0.1,::1,127.0.0.1,trees.example kafka=1000" in made
    assert "docker/tls.yml" in made


def test_a_drill_needs_a_platform_that_runs(host: Host) -> None:
    host.add_engine()
    start(host)

    assert "nothing runs here" in refusal(host, "drill", "broker")


def test_nothing_is_removed_without_a_yes(host: Host) -> None:
    host.add_engine()
    start(host)

    ended = host.run("cleanup")

    assert ended.returncode == 64
    assert host.dotenv.exists()
    assert not re.search(r"(?m)^(rm|volume rm|network rm|image rm)", host.asked)


@pytest.mark.parametrize(
    "arguments",
    [["cleanup", "everything"], ["token", "x"], ["doctor", "x"], ["drill", "x"], ["drill", "all", "broker"]],
)
def test_wrong_arguments_are_named(host: Host, arguments: list[str]) -> None:
    host.add_engine()
    start(host)

    ended = host.run(*arguments)

    assert ended.returncode == 64
    assert arguments[1] in ended.stderr


def test_doctor_tells_everything_about_the_platform(host: Host) -> None:
    host.add_engine(images="exit 1", memory="4000000000")

    ended = host.run("doctor", "platform")

    rows = dict(re.findall(r"(?m)^(?:ok|MISSING) +(\w+) +(.*)$", ended.stdout))
    assert ended.returncode == 69
    assert list(rows) == ["engine", "compose", "memory", "machine", "images", "ports", "folders"]
