"""Files that are whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamforest import files


def fill(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "rows").write_text(text)


def test_aside_replaces_on_success(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    fill(target, "old")

    with files.aside(target) as staging:
        fill(staging, "new")

    assert (target / "rows").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_aside_leaves_the_old_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    fill(target, "old")

    with pytest.raises(ZeroDivisionError):
        _fail_half_way(target)

    assert (target / "rows").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def _fail_half_way(target: Path) -> None:
    with files.aside(target) as staging:
        fill(staging, "half")
        fill(staging / "rest", str(1 / 0))


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    fill(target, "old")
    script = (
        "import os, signal, sys; from pathlib import Path; from streamforest import files\n"
        "with files.aside(Path(sys.argv[1])) as staging:\n"
        "    staging.mkdir(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(target)], env=_environment(), check=False)
    left = len(list(tmp_path.iterdir()))

    with files.aside(target) as staging:
        fill(staging, "new")

    assert (killed.returncode, left) == (-signal.SIGKILL, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_recover_puts_back_what_a_killed_swap_moved_away(tmp_path: Path) -> None:
    fill(tmp_path / ".rows.old", "old")

    files.recover(tmp_path / "rows")

    assert (tmp_path / "rows" / "rows").read_text() == "old"


def test_the_second_of_two_names_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "train.lock"

    with files.exclusive(lock, "the job train"):
        second = subprocess.run(
            [sys.executable, "-c", _LOCKING, str(lock)], env=_environment(), check=True, capture_output=True, text=True
        )

    assert f"the job train is running already (process {os.getpid()}, started" in second.stdout


_LOCKING = (
    "import sys; from pathlib import Path; from streamforest import files, errors\n"
    "try:\n"
    "    with files.exclusive(Path(sys.argv[1]), 'the job train'): sys.exit('got the lock')\n"
    "except errors.BadInput as error: print(error)\n"
)


def test_a_lock_is_free_once_its_holder_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "train.lock"
    with files.exclusive(lock, "the job train"):
        pass

    with files.exclusive(lock, "the job train"):
        held = lock.read_text()

    assert str(os.getpid()) in held


def test_a_changed_byte_changes_the_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    fill(folder, "tree")
    before = files.folder_sha256(folder)

    (folder / "rows").write_text("treE")

    assert files.folder_sha256(folder) != before


def test_hidden_checksums_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    fill(folder, "tree")
    before = files.folder_sha256(folder)

    (folder / ".rows.crc").write_text("1")

    assert files.folder_sha256(folder) == before


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
