"""Models on disk: immutable versions, a pointer to the candidate of each pipeline, and one to the champion.

::

    model/versions/<version>/          a saved PipelineModel with serving/ in it; never changed
    model/versions/<version>.json      its pointer
    model/candidates/<pipeline>.json   what train left for test
    model/.created                     the champion: the moment this file is replaced is the promotion
    model/trained_pipeline             link to the champion's folder, for people and other programs

Each pointer names a version and the checksum of its folder. Who reads a model goes through a pointer, so a version is
seen whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.ml import PipelineModel

from streamforest import files
from streamforest.application import TrainedModel
from streamforest.errors import BadInput

_KEPT_VERSIONS = 10
_KEPT_HISTORY = 10


@dataclass(frozen=True, kw_only=True)
class Version:
    """What a pointer says of a model."""

    version: str
    pipeline: str
    run_id: str
    checksum: str
    serving: Mapping[str, Any]
    created: str
    """When it was published or trained, ISO 8601."""
    classes: Sequence[str] = ()
    """Names of the classes in its training rows."""
    metric: Mapping[str, float] | None = None
    """The gate's metric and its value; None before it was tested."""
    synthetic: bool = False
    """True when it was trained on generated data."""
    verdict: Mapping[str, Any] | None = None
    """What the gate said of it; None before it was tested."""
    history: Sequence[str] = ()
    """Of the published one: the versions that were published before it and not rolled back, oldest first."""


class ModelFolder:
    """The ``model/`` folder of one application."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def trained_pipeline(self) -> Path:
        return self._folder / "trained_pipeline"

    def path(self, version: Version) -> Path:
        """The folder that holds a version."""
        return self._folder / "versions" / version.version

    def add_candidate(self, version: str, write: Callable[[Path], None], describe: Callable[[str], Version]) -> Version:
        """Let ``write`` fill the folder of a new version, then make it the candidate of its pipeline.

        ``describe`` is told the folder's checksum.
        """
        with files.aside(self._folder / "versions" / version) as staging:
            write(staging)
        candidate = describe(files.folder_sha256(self._folder / "versions" / version))
        with self.changing():
            self._point(self._folder / "versions" / f"{version}.json", candidate)
            self._point(self._folder / "candidates" / f"{candidate.pipeline}.json", candidate)
            self._prune()
        return candidate

    def candidate(self, pipeline: str) -> Version:
        """The candidate of a pipeline.

        Raises:
            BadInput: there is none.
        """
        found = self._read(self._folder / "candidates" / f"{pipeline}.json")
        if found is None:
            raise BadInput(f"there is no trained model of pipeline {pipeline} in {self._folder}", "run the job train")
        return found

    def champion(self) -> Version | None:
        """The published version; None before the first promotion."""
        return self._read(self._folder / ".created")

    def require_champion(self) -> Version:
        """The published version.

        Raises:
            BadInput: nothing is published yet.
        """
        found = self.champion()
        if found is None:
            raise BadInput(f"there is no published model in {self._folder}", "run the jobs train and test")
        return found

    def judged(self, version: Version, verdict: Mapping[str, Any]) -> Version:
        """Note the gate's verdict on a version."""
        value = verdict["candidate"]
        metric = {str(verdict["metric"]): float(value)} if value is not None else None
        found = replace(version, verdict=dict(verdict), metric=metric)
        self._point(self._folder / "versions" / f"{version.version}.json", found)
        return found

    def publish(self, version: Version, history: Sequence[str] = ()) -> Version:
        """Make a version the champion; ``history`` are the versions to go back to, oldest first."""
        published = replace(version, created=now(), history=list(history)[-_KEPT_HISTORY:])
        self._link(version)
        self._point(self._folder / ".created", published)
        return published

    def _link(self, version: Version) -> None:
        link = self.trained_pipeline.with_name(f".trained_pipeline.{os.getpid()}")
        files.remove(link)
        link.symlink_to(Path("versions") / version.version)
        if self.trained_pipeline.is_dir() and not self.trained_pipeline.is_symlink():
            files.remove(self.trained_pipeline)
        link.replace(self.trained_pipeline)

    def linked(self) -> str | None:
        """The version that ``trained_pipeline`` leads to; None where it leads nowhere."""
        if not self.trained_pipeline.is_symlink() or not self.trained_pipeline.exists():
            return None
        return self.trained_pipeline.resolve().name

    def repair_link(self) -> None:
        """Let ``trained_pipeline`` lead to the champion."""
        self._link(self.require_champion())

    def versions(self) -> list[Version]:
        """All versions that are on disk, oldest first."""
        found = (self._read(path) for path in (self._folder / "versions").glob("*.json"))
        return sorted((one for one in found if one), key=lambda one: (len(one.version), one.version))

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the folder's lock, waiting for who has it: pointers move and versions go one change at a time."""
        files.require_writable(self._folder)
        with (self._folder / ".lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def verify(self, version: Version) -> Path:
        """The folder of a version whose files are what its pointer says.

        Raises:
            BadInput: a file is missing, added or changed.
        """
        folder = self.path(version)
        if not folder.is_dir():
            raise BadInput(f"model version {version.version} is missing in {folder.parent}", "train and test again")
        if files.folder_sha256(folder) != version.checksum:
            raise BadInput(f"a file of the model in {folder} is damaged (checksum differs)", "train and test again")
        return folder

    def load(self, version: Version) -> TrainedModel:
        """A verified version as Spark runs it.

        Raises:
            BadInput: it is damaged, or was saved by another version of the code.
        """
        folder = self.verify(version)
        try:
            pipeline = PipelineModel.load(str(folder))
        except (Py4JError, OSError, ValueError, AttributeError, ImportError) as error:
            detail = str(error).splitlines()[0]
            raise BadInput(f"the model in {folder} cannot be loaded ({detail})", "train and test again") from None
        return TrainedModel(pipeline=pipeline, serving=version.serving, version=version.version)

    def find(self, version: str) -> Version | None:
        """What a pointer once said of a version that is still on disk; None where it is gone."""
        return self._read(self._folder / "versions" / f"{version}.json")

    def _read(self, pointer: Path) -> Version | None:
        try:
            return Version(**json.loads(pointer.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{pointer} is damaged ({error})", "run the jobs train and test") from None

    def _point(self, pointer: Path, version: Version) -> None:
        files.write_text(pointer, json.dumps(asdict(version), indent=2) + "\n")

    def _prune(self) -> None:
        """Remove the oldest versions, beyond the newest ten, that no pointer names and no rollback leads to."""
        pointers = [*(self._folder / "candidates").glob("*.json"), self._folder / ".created"]
        found = [one for one in map(self._read, pointers) if one]
        named = {one.version for one in found} | {before for one in found for before in one.history}
        folders = [path for path in (self._folder / "versions").iterdir() if path.is_dir() and path.name[0] != "."]
        by_age = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[_KEPT_VERSIONS:]:
            if path.name not in named:
                files.remove(path)
                files.remove(path.with_name(f"{path.name}.json"))


def now() -> str:
    """The present, ISO 8601 with the zone's offset."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
