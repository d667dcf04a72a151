"""Settings: the one place that reads the environment, and where every path of a home is spelled out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamforest.errors import BadInput, WrongUsage

REPOSITORY = Path(__file__).resolve().parents[2]


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
    tracking_uri: str
    """MLflow's store."""
    spark_master: str
    spark_driver_memory: str
    spark_log_level: str
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
    | ``STREAMFOREST_SPARK_MASTER`` | ``local[*]`` |
    | ``STREAMFOREST_SPARK_DRIVER_MEMORY`` | ``2g`` |
    | ``STREAMFOREST_SPARK_LOG_LEVEL`` | ``off`` (jobs say themselves what went wrong) |
    | ``STREAMFOREST_LOG_FORMAT`` | ``plain`` (or ``json``) |
    | ``MLFLOW_TRACKING_URI`` | SQLite under ``model/`` of the home |

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
        tracking_uri=tracking_uri or environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home_path}/model/mlflow.db",
        spark_master=environ.get("STREAMFOREST_SPARK_MASTER", "local[*]"),
        spark_driver_memory=environ.get("STREAMFOREST_SPARK_DRIVER_MEMORY", "2g"),
        spark_log_level=environ.get("STREAMFOREST_SPARK_LOG_LEVEL", "off"),
        java_home=environ.get("JAVA_HOME"),
        log_format=log_format(environ),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


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
