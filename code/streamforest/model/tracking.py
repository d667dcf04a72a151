"""Runs and model versions in MLflow."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyspark.ml import Pipeline, PipelineModel

from streamforest.errors import Unreachable
from streamforest.ml.evaluation import Evaluation, flatten
from streamforest.ml.figures import confusion_figure
from streamforest.settings import REPOSITORY, Settings, kept

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

CHAMPION = "champion"
_CONNECT_LIMIT_S = 3.0
_REQUIREMENTS = ["pyspark", "mlflow", "numpy", "pandas", "pyarrow", "treelite"]
_PARAMETER_CHARACTERS = 500
_TAG_CHARACTERS = 4000
_CHECKSUM = "checksum"


class Tracker:
    """MLflow's store, with one experiment and one registered model an application, both named after it."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._uri, self._name = settings.tracking_uri, name
        self._revision = settings.revision
        self._artifacts = settings.model / "mlartifacts"
        self._connected = False

    def connect(self) -> None:
        """Make sure that the store answers and the experiment exists.

        Raises:
            Unreachable: it does not answer within 3 s.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        if self._connected:
            return
        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        self._probe()
        with kept("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(self._uri)
        try:
            if mlflow.get_experiment_by_name(self._name) is None:
                local = self._uri.startswith("sqlite:")
                mlflow.create_experiment(self._name, self._artifacts.as_uri() if local else None)
            mlflow.set_experiment(self._name)
        except (MlflowException, OSError) as error:
            raise self._unreachable(error) from None
        self._connected = True

    @contextlib.contextmanager
    def run(self, *, name: str | None = None, run_id: str | None = None) -> Iterator[str]:
        """A new run, or an earlier one continued; yields its id. A failure inside marks the run as failed."""
        import mlflow
        from mlflow.exceptions import MlflowException

        self.connect()
        try:
            with mlflow.start_run(run_name=name, run_id=run_id) as run:
                yield run.info.run_id
        except MlflowException as error:
            raise self._unreachable(error) from error

    def log_training(self, pipeline: Pipeline, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Parameters of every stage, further ones, and tags with the code's revision, in the current run."""
        import mlflow

        mlflow.log_params({name: str(value)[:_PARAMETER_CHARACTERS] for name, value in parameters.items()})
        mlflow.log_params(stage_parameters(pipeline))
        mlflow.set_tags({**tags, "git_revision": self._revision or revision()})

    def log_model(self, model: PipelineModel, signature: ModelSignature, staging: Path) -> str:
        """Log the fitted pipeline and register it, not yet validated; returns the version."""
        import mlflow

        with warnings.catch_warnings():
            # type hints of mlflow's own model classes
            warnings.simplefilter("ignore")
            logged = mlflow.spark.log_model(
                model,
                artifact_path="model",
                signature=signature,
                pip_requirements=_REQUIREMENTS,
                registered_model_name=self._name,
                dfs_tmpdir=str(staging),
            )
        version = str(logged.registered_model_version)
        self._client.set_model_version_tag(self._name, version, "validation_status", "pending")
        return version

    def fetch_model(self, version: str, folder: Path) -> None:
        """Put the saved pipeline of a registered version into ``folder``, byte for byte as the store keeps it."""
        import mlflow

        with tempfile.TemporaryDirectory() as fetched:
            mlflow.artifacts.download_artifacts(f"models:/{self._name}/{version}/sparkml", dst_path=fetched)
            shutil.copytree(Path(fetched) / "sparkml", folder)

    def log_evaluation(self, evaluations: Mapping[str, Evaluation], metrics: Mapping[str, Any]) -> None:
        """Metrics, and of each evaluation its confusion matrix as table and figure, in the current run."""
        import mlflow

        mlflow.log_metrics(flatten(metrics))
        with tempfile.TemporaryDirectory() as folder:
            for name, evaluation in evaluations.items():
                confusion_figure(evaluation, name, Path(folder) / f"confusion_{name}.png")
                table = {"classes": evaluation.classes, "confusion": evaluation.confusion.tolist()}
                (Path(folder) / f"confusion_{name}.json").write_text(json.dumps(table), encoding="utf-8")
            mlflow.log_artifacts(folder, "evaluation")

    def judged(self, version: str, verdict: Mapping[str, Any]) -> None:
        """Note the gate's verdict: as an artifact and as tags of the current run, and as a tag of the version."""
        import mlflow

        status = "passed" if verdict["passed"] else "failed"
        mlflow.log_dict(dict(verdict), "gate.json")
        mlflow.set_tags({"gate": status, "gate.reasons": "; ".join(verdict["reasons"])[:_TAG_CHARACTERS]})
        for name in ("difference", "interval"):
            if verdict[name] is not None:
                mlflow.set_tag(f"gate.{name}", json.dumps(verdict[name]))
        self._client.set_model_version_tag(self._name, version, "validation_status", status)

    def champion(self) -> str | None:
        """The version with the alias ``champion``; None where none has it.

        Raises:
            Unreachable: MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        self.connect()
        try:
            return str(self._client.get_model_version_by_alias(self._name, CHAMPION).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise self._unreachable(error) from None

    def set_champion(self, version: str) -> None:
        """Move the alias ``champion``.

        Raises:
            Unreachable: MLflow does not answer, or has no such version.
        """
        from mlflow.exceptions import MlflowException

        self.connect()
        try:
            self._client.set_registered_model_alias(self._name, CHAMPION, version)
        except MlflowException as error:
            raise self._unreachable(error) from None

    def checksum(self, version: str) -> str | None:
        """What the registry says of a version's files; None where it says nothing.

        Raises:
            Unreachable: MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        self.connect()
        try:
            return self._client.get_model_version(self._name, version).tags.get(_CHECKSUM)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise self._unreachable(error) from None

    def set_checksum(self, version: str, checksum: str) -> None:
        """Note in the registry which files a version consists of."""
        self._client.set_model_version_tag(self._name, version, _CHECKSUM, checksum)

    def get_run(self, run_id: str) -> Run:
        """A run with its parameters, metrics and tags."""
        import mlflow

        self.connect()
        return mlflow.get_run(run_id)

    @property
    def _client(self) -> MlflowClient:
        import mlflow

        return mlflow.MlflowClient()

    def _probe(self) -> None:
        """A service that does not listen is found here, before MLflow's own client retries for minutes."""
        if self._uri.startswith("sqlite:"):
            Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            return
        parts = urlsplit(self._uri)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), timeout=_CONNECT_LIMIT_S).close()
        except OSError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Unreachable(f"MLflow at {self._uri} failed ({detail})", "start it or give another --tracking-uri")


def stage_parameters(pipeline: Pipeline) -> dict[str, str]:
    """Set parameters of every stage, as ``NN_Stage.parameter``."""
    found = {}
    for index, stage in enumerate(pipeline.getStages()):
        for param, value in stage.extractParamMap().items():
            name = f"{index:02d}_{type(stage).__name__}.{param.name}"
            found[name] = str(value)[:_PARAMETER_CHARACTERS]
    return found


def revision() -> str:
    """The code's git revision, with ``+changes`` where files differ; ``unknown`` outside a checkout."""

    def git(*command: str) -> str:
        found = subprocess.run(
            ["git", "-C", str(REPOSITORY), *command], capture_output=True, text=True, check=True, timeout=10
        )
        return found.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
