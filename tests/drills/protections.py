"""What protects a stream, and its drill's word without it: ``make drills-unprotected``.

Each protection is taken out of a copy of the code, once, and the drill that is about it has to fail there. What the
drill says then is a line of ``docs/protections.md``, which the run writes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamforest.progress import say
from tests import guide
from tests.homes import REPOSITORY, copy_checkout

PAGE = REPOSITORY / "docs" / "protections.md"
_HEAD = ("drill", "without", "what it says")
_INTRODUCTION = """# What a drill says without its protection

A drill that cannot fail shows nothing. `make drills-unprotected` takes each of these protections out of a copy of the
code, runs the drill that is about it, and wrote this page: all of them failed. With everything in place they hold, see
[drills](drills.md).
"""
_LIMIT_S = 900


@dataclass(frozen=True)
class Edit:
    """Text that occurs once in a file, and what takes its place."""

    path: str
    text: str
    instead: str


@dataclass(frozen=True)
class Protection:
    """Something without which a drill fails."""

    without: str
    drill: str
    """pytest's name of the test, below tests/drills where it names no folder."""
    edits: tuple[Edit, ...]

    @property
    def name(self) -> str:
        """Of the drill, with its parameters."""
        return self.drill.rpartition("::")[2]

    @property
    def test(self) -> str:
        """Name of the drill's function."""
        return self.name.partition("[")[0]


_STREAM, _MODEL, _EMBEDDED = (f"code/streamforest/{name}" for name in ("streaming", "model", "embedded"))
_PREDICTOR, _STATE, _SHARD = (f"{_STREAM}/{name}.py" for name in ("predictor", "state", "shard"))
_WINDOWS = "code/streamforest/ml/window_stream.py"

_NEWEST_STATE = (
    Edit(
        _SHARD,
        "        name = self.state_files.get(shard)\n"
        "        state = read_state(self.states / name) if name else None\n",
        '        found = self.states.glob(f"*-*-{shard}-*.arrow")\n'
        "        path = max(found, key=lambda each: each.stat().st_mtime_ns, default=None)\n"
        "        state = read_state(path) if path else None\n",
    ),
)
_IN_PLACE = (
    Edit(_PREDICTOR, 'staging = self._predictions / f".{folder.name}.{attempt}"', "staging = folder"),
    Edit(_PREDICTOR, "files.swap(staging, folder)", "pass"),
)
_ANY_MODELS_PROBABILITIES = (
    Edit(
        _WINDOWS,
        'pc.not_equal(table.column("model"), scorer.version)',
        'pc.is_null(table.column("user"))',
    ),
)

PROTECTIONS = (
    Protection(
        "the manifest's state: the newest file is read",
        "test_drills.py::test_a_driver_that_dies_within_a_commit[staged]",
        _NEWEST_STATE,
    ),
    Protection(
        "the note of the first try's model: a repeat takes the champion of the day",
        "test_drills.py::test_a_driver_that_dies_within_a_commit[named]",
        (
            Edit(
                _PREDICTOR,
                "self._checkpoint.intended(batch_id) if batch_id is not None else None",
                "None",
            ),
        ),
    ),
    Protection(
        "the number of the last micro-batch: one that counts is taken again",
        "test_drills.py::test_a_driver_that_dies_within_a_commit[committed]",
        (Edit(_PREDICTOR, "if batch_id <= manifest.batch_id:", "if batch_id < 0:"),),
    ),
    Protection(
        "the manifest's state: the newest file is read",
        "test_drills.py::test_a_killed_python_worker",
        _NEWEST_STATE,
    ),
    Protection(
        "the broker's disk: it is empty at each start",
        "test_drills.py::test_a_killed_broker_that_comes_back",
        (
            Edit(
                f"{_EMBEDDED}/broker.py",
                "        # A killed owner leaves its state behind.\n",
                '        remove(self._folder / "data")\n',
            ),
        ),
    ),
    Protection(
        "patience: Kafka's clients, and Spark, give up within a second",
        "test_drills.py::test_a_paused_broker",
        (
            Edit(
                "code/streamforest/kafka.py",
                'options = {"bootstrap.servers": self.servers, "security.protocol": self._protocol}\n',
                'options = {"bootstrap.servers": self.servers, "security.protocol": self._protocol}\n'
                '        options |= {"request.timeout.ms": "800", "default.api.timeout.ms": "1000"}\n'
                '        options |= {"delivery.timeout.ms": "1000", "max.block.ms": "1000"}\n',
            ),
            Edit(
                f"{_STREAM}/source.py",
                '.option("failOnDataLoss", "true")',
                '.option("failOnDataLoss", "true")\n'
                '        .option("fetchOffset.numRetries", 1)\n'
                '        .option("kafkaConsumer.pollTimeoutMs", 1000)',
            ),
        ),
    ),
    Protection(
        "the rule that the first reading of a time counts",
        "test_drills.py::test_a_killed_producer",
        (
            Edit(
                _WINDOWS,
                "fresh[1:] = (np.diff(times_ms[order]) != 0) | (np.diff(user[order]) != 0)",
                "fresh[1:] = True",
            ),
        ),
    ),
    Protection(
        "a limit for one step of Kafka's clock",
        "test_drills.py::test_kafkas_clock_jumps",
        (
            Edit(
                "code/streamforest/ml/clocks.py",
                "np.minimum(np.diff(newest_ms), LONGEST_STEP_MS)",
                "np.diff(newest_ms)",
            ),
        ),
    ),
    Protection(
        "the state's word whose probabilities it keeps: both models' are averaged",
        "test_drills.py::test_models_are_swapped_and_rolled_back_under_the_stream",
        _ANY_MODELS_PROBABILITIES,
    ),
    Protection(
        "the state's word whose probabilities it keeps: both models' are averaged",
        "test_drills.py::test_a_restart_with_an_older_model",
        _ANY_MODELS_PROBABILITIES,
    ),
    Protection(
        "the driver's look at the model's checksum",
        "test_drills.py::test_a_champion_changed_on_disk_is_refused_and_the_one_before_goes_on",
        (Edit(_PREDICTOR, "self._models.verify(chosen)", "pass"),),
    ),
    Protection(
        "writing aside: predictions are written where they belong",
        "test_drills.py::test_a_full_disk[predictions]",
        _IN_PLACE,
    ),
    Protection(
        "the manifest's state: the newest file is read",
        "test_drills.py::test_a_full_disk[state]",
        _NEWEST_STATE,
    ),
    Protection(
        "the look for the state files that the manifest names",
        "test_drills.py::test_a_damaged_checkpoint_is_named_and_reset",
        (Edit(_STATE, "if not (self.states / name).is_file():", "if not name:"),),
    ),
    Protection(
        "the checksum of a state file",
        "test_drills.py::test_a_damaged_checkpoint_is_named_and_reset",
        (Edit(_STATE, 'if f"{zlib.crc32(state):08x}" != path.stem.rpartition("-")[2]:', "if not state:"),),
    ),
    Protection(
        "the look at Spark's log of offsets",
        "test_drills.py::test_a_damaged_checkpoint_is_named_and_reset",
        (Edit(_STATE, "if manifest.batch_id < 0:\n            return", "return"),),
    ),
    Protection(
        "the source's failure where records are gone",
        "test_drills.py::test_records_that_expired_unread_stop_the_stream",
        (Edit(f"{_STREAM}/source.py", '.option("failOnDataLoss", "true")', '.option("failOnDataLoss", "false")'),),
    ),
    Protection(
        "Kafka's part of the backup",
        "test_backup.py::test_a_restored_home_goes_on_where_the_lost_one_was",
        (Edit(f"{_EMBEDDED}/backup.py", '("model", "predictions", "data/kafka")', '("model", "predictions")'),),
    ),
    Protection(
        "the look whether a broker works there",
        "test_backup.py::test_a_restored_home_goes_on_where_the_lost_one_was",
        (
            Edit(
                f"{_EMBEDDED}/backup.py",
                '        held.enter_context(broker.held(given.data / "kafka"))\n',
                "",
            ),
        ),
    ),
    Protection(
        "the checksums in the backup",
        "test_backup.py::test_a_damaged_backup_changes_nothing",
        (
            Edit(
                f"{_EMBEDDED}/backup.py",
                "if not path.is_symlink() and expected.get(name) != files.file_sha256(path):",
                "if not path.is_symlink() and name not in expected:",
            ),
        ),
    ),
    Protection(
        "the manifest's state: the newest file is read",
        "tests/stream/test_promise.py::test_a_killed_driver_loses_and_doubles_nothing",
        _NEWEST_STATE,
    ),
)


def main(argv: Sequence[str]) -> int:
    """Try those whose drill's name holds a word of ``argv``, or all, and put their lines into the page.

    Returns 1 where a drill did not fail.
    """
    known = {tuple(row[:2]): row[2] for row in guide.table(guide.read(PAGE), _HEAD[0])} if PAGE.exists() else {}
    failed = True
    for protection in PROTECTIONS:
        if argv and not any(word in protection.drill for word in argv):
            continue
        said = _tried(protection)
        say(f"{protection.name}, without {protection.without}: {said or 'it held'}")
        failed = failed and bool(said)
        known[_key(protection)] = said
        PAGE.write_text(_page(known), encoding="utf-8")
    return int(not failed)


def _key(protection: Protection) -> tuple[str, ...]:
    return f"`{protection.name}`", protection.without


def _page(known: Mapping[tuple[str, ...], str]) -> str:
    rows = [(*_key(each), known[_key(each)]) for each in PROTECTIONS if _key(each) in known]
    return f"{_INTRODUCTION}\n{guide.written_table(_HEAD, rows)}\n"


def _tried(protection: Protection) -> str:
    """What the drill said without its protection; empty where it held all the same."""
    with tempfile.TemporaryDirectory(prefix="unprotected-") as folder:
        root = Path(folder) / "main"
        copy_checkout(root)
        for edit in protection.edits:
            path = root / edit.path
            path.write_text(path.read_text(encoding="utf-8").replace(edit.text, edit.instead), encoding="utf-8")
        drill = protection.drill if "/" in protection.drill else f"tests/drills/{protection.drill}"
        # Wide enough for pytest's one line on a failure.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "code"), str(root)]), "COLUMNS": "1000"}
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--basetemp", f"{folder}/pytest"]
        ended = subprocess.run(
            [*command, drill], cwd=root, env=environ, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stdout[-2000:] + ended.stderr[-2000:])
    return _words(ended.stdout) if ended.returncode else ""


def _words(output: str) -> str:
    """pytest's one line on the failure, fit for a table."""
    (line,) = re.findall(r"(?m)^FAILED \S+ - (.*)$", output)
    return re.sub(r"/\S*/", ".../", line)[:160]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
