"""What a stream remembers: one file of state a shard, and a manifest that says which files count.

::

    .checkpoint/consume/manifest.json           replaced at once: the moment of a micro-batch's commit
    .checkpoint/consume/intent.json             which model the micro-batch under way is predicted with
    .checkpoint/consume/state/<attempt>-<shard>.arrow
    .checkpoint/consume/query/                  Spark's own: offsets and commits

A micro-batch reads the files that the manifest names and writes new ones aside. Killed before the manifest was
replaced, it is run again from the same state; killed after, it is known to be done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from streamforest import files
from streamforest.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is committed."""

    cluster_id: str
    """Of the Kafka cluster that the offsets belong to."""
    shards: int
    sequence: int = -1
    """Number of the last record folder, ``pred_batch_<sequence>``; -1 before the first."""
    batch_id: int = -1
    """Spark's number of the last micro-batch; the same for a flush that follows it."""
    states: Mapping[str, str] = field(default_factory=dict)
    """File name of each shard's state."""


class Checkpoint:
    """The folder of one stream's checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def query(self) -> Path:
        """Spark's part."""
        return self._folder / "query"

    @property
    def states(self) -> Path:
        return self._folder / "state"

    @property
    def exists(self) -> bool:
        return self._manifest.exists()

    def read(self) -> Manifest:
        """The manifest.

        Raises:
            BadInput: it is missing or damaged, or a state file that it names is missing.
        """
        try:
            manifest = Manifest(**json.loads(self._manifest.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(
                f"the checkpoint {self._folder} is damaged ({error})", "start a new record with consume --reset"
            ) from None
        for name in manifest.states.values():
            if not (self.states / name).is_file():
                raise BadInput(f"the checkpoint {self._folder} lacks {name}", "start a new record with consume --reset")
        return manifest

    def commit(self, manifest: Manifest) -> None:
        """Make a manifest the one that counts, and remove state files that neither it nor its predecessor names."""
        kept = set(manifest.states.values())
        if self.exists:
            kept |= set(self.read().states.values())
        files.write_text(self._manifest, json.dumps(asdict(manifest)))
        if self.states.is_dir():
            for path in self.states.iterdir():
                if path.name not in kept and not path.name.startswith("."):
                    files.remove(path)

    def intended(self, batch_id: int) -> str | None:
        """The model version that an earlier, killed try at this micro-batch began with."""
        try:
            intent = json.loads((self._folder / "intent.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(intent["version"]) if intent["batch_id"] == batch_id else None

    def intend(self, batch_id: int, version: str) -> None:
        """Note the model of the micro-batch that begins, so that a repeat of it says the same."""
        files.write_text(self._folder / "intent.json", json.dumps({"batch_id": batch_id, "version": version}))

    @property
    def _manifest(self) -> Path:
        return self._folder / "manifest.json"
