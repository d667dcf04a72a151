"""What a stream remembers: one file of state a shard, and a manifest that says which files count.

::

    .checkpoint/consume/manifest.json           replaced at once: the moment of a micro-batch's commit
    .checkpoint/consume/intent.json             which model the micro-batch under way is predicted with
    .checkpoint/consume/state/<attempt>-<shard>-<crc32>.arrow
    .checkpoint/consume/query/                  Spark's own: offsets and commits

A micro-batch reads the files that the manifest names and writes new ones aside. Killed before the manifest was
replaced, it is run again from the same state; killed after, it is known to be done.
"""

from __future__ import annotations

import json
import zlib
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


RESET = "start a new record with consume --reset"


def name_state(attempt: str, shard: str, state: bytes) -> str:
    """Name of a state file; it ends in the checksum of what is in it."""
    return f"{attempt}-{shard}-{zlib.crc32(state):08x}.arrow"


def read_state(path: Path) -> bytes:
    """A state file.

    Raises:
        BadInput: it is missing, or its bytes are not those that were written.
    """
    try:
        state = path.read_bytes()
    except OSError as error:
        raise BadInput(f"the state {path} cannot be read ({error.strerror})", RESET) from None
    if f"{zlib.crc32(state):08x}" != path.stem.rpartition("-")[2]:
        raise BadInput(f"the state {path} is damaged (checksum differs)", RESET)
    return state


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
            raise BadInput(f"the checkpoint {self._folder} is damaged ({error})", RESET) from None
        for name in manifest.states.values():
            if not (self.states / name).is_file():
                raise BadInput(f"the checkpoint {self._folder} lacks {name}", RESET)
        return manifest

    def check_query(self, manifest: Manifest) -> None:
        """Return where Spark's part goes on from the manifest.

        Without its log of offsets Spark would begin again at number 0, and every micro-batch up to the manifest's would
        be taken for a repeat and left out.

        Raises:
            BadInput: the offsets of the last micro-batch are missing or damaged.
        """
        if manifest.batch_id < 0:
            return
        offsets = [path for path in (self.query / "offsets").glob("*") if path.name.isdecimal()]
        numbers = sorted(int(path.name) for path in offsets)
        if not numbers or numbers[-1] < manifest.batch_id:
            raise BadInput(f"the checkpoint {self.query} lacks the offsets of micro-batch {manifest.batch_id}", RESET)
        for path in offsets:
            version, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
            if not version.startswith("v") or not lines or not all(map(_is_json, lines)):
                raise BadInput(f"the checkpoint's file {path} is damaged", RESET)

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


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return line == "-"
    return True
