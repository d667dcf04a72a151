"""Settings: the one place that reads the environment, and where every path of a home is spelled out."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streamforest.errors import BadInput, WrongUsage
from streamforest.kafka import Kafka, Login, Role

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one job takes of a cluster. None leaves it to Spark, which gives a job all there is."""

    cores: str | None = None
    """In all executors together."""
    memory: str | None = None
    """Heap of each executor, such as 1g."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is told from outside, beside its own options. All paths are absolute."""

    home: Path
    """Where ``data/``, ``model/`` and ``predictions/`` lie."""
    cache: Path
    """Downloads that several checkouts share: jars."""
    applications: tuple[str, ...]
    """Packages in which applications are looked up, in this order."""
    bootstrap_servers: str | None
    """HOST:PORT of Kafka; None where nothing was set."""
    kafka_passwords: Mapping[Role, str] = field(repr=False)
    """Of the users of that Kafka; empty where it asks for none."""
    kafka_ca: Path | None
    """Certificates that vouch for that Kafka; None: it is spoken to in clear."""
    tracking_uri: str
    """MLflow's store."""
    store: str
    """Address of the store of answers; it may hold a password."""
    spark_master: str
    spark_driver_memory: str
    spark_log_level: str
    spark_driver_host: str | None
    """Name under which a cluster's executors reach this driver; None: Spark finds one."""
    spark_driver_port: int | None
    """First of the ports at which a cluster's executors reach this driver; its blocks are 100 further on."""
    batch: Share
    """Of a cluster, for a job that reads files."""
    stream: Share
    """Of a cluster, for a job that reads or writes Kafka."""
    revision: str | None
    """Of the code, where no checkout tells it."""
    java_home: str | None
    log_format: str
    """``plain`` or ``json``."""
    cores: int
    """Of this machine, as far as this process may use them."""

    @property
    def jars(self) -> Path:
        return self.cache / "jars"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def model(self) -> Path:
        return self.home / "model"

    @property
    def predictions(self) -> Path:
        return self.home / "predictions"

    @property
    def locks(self) -> Path:
        """Lock files of running jobs."""
        return self.data / ".locks"

    def kafka(self, role: Role) -> Kafka:
        """The Kafka that was set, as its user of that role.

        Raises:
            WrongUsage: none was set; or passwords were, and not this one.
        """
        if self.bootstrap_servers is None:
            raise WrongUsage("no Kafka is named", "set STREAMFOREST_BOOTSTRAP_SERVERS or give --bootstrap-servers")
        password = self.kafka_passwords.get(role)
        if self.kafka_passwords and password is None:
            variable = f"STREAMFOREST_KAFKA_{role.name}_PASSWORD"
            raise WrongUsage(f"no password of Kafka's user {role} is set", f"set {variable}")
        login = Login(user=role, password=password) if password else None
        return Kafka(self.bootstrap_servers, login, self.kafka_ca)


def load(
    *,
    home: str | Path | None = None,
    bootstrap_servers: str | None = None,
    tracking_uri: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings: the given arguments first, then ``STREAMFOREST_*`` variables, then defaults.

    | variable | default |
    | --- | --- |
    | ``STREAMFOREST_HOME`` | the repository |
    | ``STREAMFOREST_CACHE`` | ``$XDG_CACHE_HOME/streamforest``, else ``~/.cache/streamforest`` |
    | ``STREAMFOREST_APPLICATIONS`` | ``streamforest.applications`` (more packages after a comma) |
    | ``STREAMFOREST_BOOTSTRAP_SERVERS`` | none |
    | ``STREAMFOREST_KAFKA_ADMIN_PASSWORD`` | none |
    | ``STREAMFOREST_KAFKA_PRODUCER_PASSWORD`` | none |
    | ``STREAMFOREST_KAFKA_PREDICTOR_PASSWORD`` | none |
    | ``STREAMFOREST_KAFKA_WEB_PASSWORD`` | none |
    | ``STREAMFOREST_KAFKA_CA`` | none |
    | ``STREAMFOREST_SPARK_MASTER`` | ``local[*]`` |
    | ``STREAMFOREST_SPARK_DRIVER_MEMORY`` | ``3g`` |
    | ``STREAMFOREST_SPARK_LOG_LEVEL`` | ``off`` (jobs say themselves what went wrong) |
    | ``STREAMFOREST_SPARK_DRIVER_HOST`` | none |
    | ``STREAMFOREST_SPARK_DRIVER_PORT`` | none |
    | ``STREAMFOREST_SPARK_BATCH_CORES`` | none |
    | ``STREAMFOREST_SPARK_BATCH_MEMORY`` | none |
    | ``STREAMFOREST_SPARK_STREAM_CORES`` | none |
    | ``STREAMFOREST_SPARK_STREAM_MEMORY`` | none |
    | ``STREAMFOREST_REVISION`` | none |
    | ``STREAMFOREST_LOG_FORMAT`` | ``plain`` (or ``json``) |
    | ``MLFLOW_TRACKING_URI`` | SQLite under ``model/`` of the home |
    | ``STREAMFOREST_STORE`` | SQLite under ``data/`` of the home |

    Raises:
        BadInput: the home is not a folder.
        WrongUsage: a variable has a value without a meaning.
    """
    home_path = Path(home or environ.get("STREAMFOREST_HOME") or REPOSITORY).expanduser().resolve()
    if not home_path.is_dir():
        raise BadInput(f"the home {home_path} is not a folder", "create it or give another --home")
    cache_root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    packages = environ.get("STREAMFOREST_APPLICATIONS", "streamforest.applications")
    return Settings(
        home=home_path,
        cache=Path(environ.get("STREAMFOREST_CACHE") or Path(cache_root) / "streamforest").resolve(),
        applications=tuple(name.strip() for name in packages.split(",") if name.strip()),
        bootstrap_servers=bootstrap_servers or environ.get("STREAMFOREST_BOOTSTRAP_SERVERS") or None,
        kafka_passwords=_given(
            {
                Role.ADMIN: environ.get("STREAMFOREST_KAFKA_ADMIN_PASSWORD"),
                Role.PRODUCER: environ.get("STREAMFOREST_KAFKA_PRODUCER_PASSWORD"),
                Role.PREDICTOR: environ.get("STREAMFOREST_KAFKA_PREDICTOR_PASSWORD"),
                Role.WEB: environ.get("STREAMFOREST_KAFKA_WEB_PASSWORD"),
            }
        ),
        kafka_ca=_file("STREAMFOREST_KAFKA_CA", environ.get("STREAMFOREST_KAFKA_CA")),
        tracking_uri=tracking_uri or environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home_path}/model/mlflow.db",
        store=environ.get("STREAMFOREST_STORE") or f"sqlite:///{home_path}/data/store.db",
        spark_master=environ.get("STREAMFOREST_SPARK_MASTER", "local[*]"),
        spark_driver_memory=environ.get("STREAMFOREST_SPARK_DRIVER_MEMORY", "3g"),
        spark_log_level=environ.get("STREAMFOREST_SPARK_LOG_LEVEL", "off"),
        spark_driver_host=environ.get("STREAMFOREST_SPARK_DRIVER_HOST") or None,
        spark_driver_port=int(environ.get("STREAMFOREST_SPARK_DRIVER_PORT") or 0) or None,
        batch=Share(
            cores=environ.get("STREAMFOREST_SPARK_BATCH_CORES") or None,
            memory=environ.get("STREAMFOREST_SPARK_BATCH_MEMORY") or None,
        ),
        stream=Share(
            cores=environ.get("STREAMFOREST_SPARK_STREAM_CORES") or None,
            memory=environ.get("STREAMFOREST_SPARK_STREAM_MEMORY") or None,
        ),
        revision=environ.get("STREAMFOREST_REVISION") or None,
        java_home=environ.get("JAVA_HOME"),
        log_format=log_format(environ),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _given(passwords: Mapping[Role, str | None]) -> dict[Role, str]:
    return {role: text for role, text in passwords.items() if text}


def _file(name: str, text: str | None) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise BadInput(f"{name}: there is no file {path}", "correct it or unset it")
    return path


def secret(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """A secret that the platform hands to its own checks.

    Raises:
        BadInput: it did not.
    """
    value = environ.get(name)
    if not value:
        raise BadInput(f"{name} is not set", "run it through ./control_env.sh")
    return value


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """What the web pages are told beside :class:`Settings`."""

    host: str
    """Address to listen at."""
    port: int
    timeout_s: float
    """After which a request without an answer is a TIMEOUT."""
    rate: float
    """Requests for a prediction that one client may send a second; twice as many at once."""
    queue: int
    """Requests that may wait for an answer."""
    body_bytes: int
    """The largest body of a request."""
    connections: int
    """Connections at a time; one more is told 503."""
    certificate: Path | None
    """File with a private key and its certificates (PEM), to serve by https; None: http."""
    proxies: str
    """Addresses whose word about the client is believed, with commas between them; empty: nobody's."""


def web(environ: Mapping[str, str] = os.environ) -> WebSettings:
    """The settings of the web pages, from variables or defaults.

    Raises:
        WrongUsage: a number is none, or out of its bounds.
        BadInput: there is no such certificate.
    """
    return WebSettings(
        host=environ.get("STREAMFOREST_WEB_HOST") or "127.0.0.1",
        port=int(_number("STREAMFOREST_WEB_PORT", environ.get("STREAMFOREST_WEB_PORT"), 8000, 0, 65535)),
        timeout_s=_number("STREAMFOREST_WEB_TIMEOUT_S", environ.get("STREAMFOREST_WEB_TIMEOUT_S"), 10, 0.1, 3600),
        rate=_number("STREAMFOREST_WEB_RATE", environ.get("STREAMFOREST_WEB_RATE"), 20, 0.1, 1e6),
        queue=int(_number("STREAMFOREST_WEB_QUEUE", environ.get("STREAMFOREST_WEB_QUEUE"), 1000, 1, 1e6)),
        body_bytes=int(
            _number("STREAMFOREST_WEB_BODY_BYTES", environ.get("STREAMFOREST_WEB_BODY_BYTES"), 16_384, 1_024, 1e8)
        ),
        connections=int(
            _number("STREAMFOREST_WEB_CONNECTIONS", environ.get("STREAMFOREST_WEB_CONNECTIONS"), 1000, 1, 1e6)
        ),
        certificate=_file("STREAMFOREST_WEB_CERTIFICATE", environ.get("STREAMFOREST_WEB_CERTIFICATE")),
        proxies=environ.get("STREAMFOREST_WEB_PROXIES", ""),
    )


def web_url(environ: Mapping[str, str] = os.environ) -> str:
    """Where the platform's own checks find the pages."""
    return environ.get("STREAMFOREST_WEB_URL") or "http://web:8000"


def worker_host(environ: Mapping[str, str] = os.environ) -> str:
    """The name by which Spark's master knows the worker on this machine; in its host's network that is an address."""
    return environ.get("SPARK_WORKER_HOST") or socket.gethostname()


def _number(name: str, text: str | None, default: float, least: float, most: float) -> float:
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise WrongUsage(f"{name}={text} is not a number from {least:g} to {most:g}", "correct it or unset it")
    return value


def log_format(environ: Mapping[str, str] = os.environ) -> str:
    """How lines on stderr look: ``plain`` or ``json``.

    Raises:
        WrongUsage: something else is asked for.
    """
    found = environ.get("STREAMFOREST_LOG_FORMAT", "plain")
    if found not in ("plain", "json"):
        raise WrongUsage(f"STREAMFOREST_LOG_FORMAT {found!r} is no format", "set it to plain or json")
    return found


@contextlib.contextmanager
def kept(variable: str) -> Iterator[None]:
    """Leave a variable of the environment as it was before the block.

    MLflow writes the store that it is told into ``MLFLOW_TRACKING_URI``, where the next job of this process, which may
    be of another home, would take it for the user's word.
    """
    before = os.environ.get(variable)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before
