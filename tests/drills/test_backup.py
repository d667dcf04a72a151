"""A home is lost, and its backup goes on elsewhere."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from streamforest import settings
from streamforest.embedded import backup
from streamforest.embedded.broker import Broker
from streamforest.errors import BadInput
from streamforest.model import lifecycle
from tests.drills.drill import Drill


def test_a_restored_home_goes_on_where_the_lost_one_was(drill: Drill, tmp_path: Path) -> None:
    """Protection: Kafka and bookkeeping are taken together and at rest; without either the stream refuses to start."""
    rows = drill.mixed()
    file, elsewhere = tmp_path / "backup.tar.gz", tmp_path / "elsewhere"
    elsewhere.mkdir()
    drill.send(rows.iloc[: len(rows) // 2])
    drill.consume()
    given = settings.load(home=drill.home)
    with pytest.raises(BadInput, match="another broker works in"):
        backup.backup(given, file)
    drill.broker.stop()

    written = backup.backup(given, file)
    restored = backup.restore(settings.load(home=elsewhere), file)
    with pytest.raises(BadInput, match="--replace"):
        backup.restore(settings.load(home=elsewhere), file)

    assert written["files"] >= restored["files"] > 0
    with Broker(elsewhere / "data" / "kafka", settings.load(home=elsewhere)) as broker:
        moved = replace(drill, home=elsewhere, broker=broker)
        assert lifecycle.standing(moved.folder, moved.tracker).agrees
        moved.send(rows.iloc[len(rows) // 2 :])
        moved.consume()
        moved.holds("A home is backed up, lost, and restored in another place")


def test_a_damaged_backup_changes_nothing(drill: Drill, tmp_path: Path) -> None:
    """Protection: every file is compared with its checksum before the first one takes its place."""
    drill.broker.stop()
    file, elsewhere = tmp_path / "backup.tar.gz", tmp_path / "elsewhere"
    elsewhere.mkdir()
    backup.backup(settings.load(home=drill.home), file)
    changed = tmp_path / "changed"
    with tarfile.open(file) as archive:
        archive.extractall(changed, filter="data")
    forest = next((changed / "model").rglob("forest.treelite"))
    forest.write_bytes(forest.read_bytes()[:-1])
    with tarfile.open(file, "w:gz") as archive:
        archive.add(changed, ".")

    with pytest.raises(BadInput, match="damaged"):
        backup.restore(settings.load(home=elsewhere), file)

    assert [path for path in elsewhere.rglob("*") if path.is_file() and ".locks" not in path.parts] == []
