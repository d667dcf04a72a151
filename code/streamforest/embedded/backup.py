"""The verbs ``backup`` and ``restore``: models, their registry, the record of predictions and Kafka, in one file.

::

    backup.json          when, of which home, and the sha256 of every file
    model/               versions, pointers, MLflow's database and artifacts
    predictions/         the record, and the bookkeeping that says how the stream goes on
    data/kafka/          the home's own Kafka, whose offsets the bookkeeping counts

What belongs together is taken while nothing of it runs. Raw data are not in it: they are the user's, and the jobs make
the rest of ``data/`` from them again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamforest import application as contract
from streamforest import cli, files, settings
from streamforest.application import places
from streamforest.embedded import broker
from streamforest.errors import BadInput, WrongUsage
from streamforest.model.publication import now
from streamforest.model.tracking import revision
from streamforest.progress import say
from streamforest.settings import Settings

_FOLDERS = ("model", "predictions", "data/kafka")
_MANIFEST = "backup.json"
_DATABASE = "model/mlflow.db"
_LEFT_OUT = {"README.md", ".lock", "broker.lock", "broker.json", "mlflow.db-wal", "mlflow.db-shm", "mlflow.db-journal"}
_URIS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}
"""Where MLflow's database names places of the home."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Write a backup, print a report as the last line of stdout, and return the exit code."""

    def command() -> None:
        options = _parser("backup", "Writes models, registry, record and Kafka of a home into one file.").parse_args(
            argv
        )
        say(json.dumps(backup(settings.load(home=options.home), options.file)), sys.stdout)

    return cli.outcome(command, argv)


def restore_main(argv: Sequence[str]) -> int:
    """Restore a backup, print a report as the last line of stdout, and return the exit code."""

    def command() -> None:
        options = _restore_parser().parse_args(argv)
        report = restore(settings.load(home=options.home), options.file, replace=options.replace)
        say(json.dumps(report), sys.stdout)

    return cli.outcome(command, argv)


def _parser(verb: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"./control_env.sh {verb}", description=description, allow_abbrev=False)
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--home", metavar="DIR", help="where data/, model/ and predictions/ lie")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


def _restore_parser() -> argparse.ArgumentParser:
    parser = _parser("restore", "Puts models, registry, record and Kafka of a backup into a home.")
    parser.add_argument("--replace", action="store_true", help="also where there are some, which are removed")
    return parser


def backup(given: Settings, target: Path) -> dict[str, Any]:
    """Write the home's state to ``target``, whole or not at all.

    Raises:
        BadInput: something of it runs, there is nothing, or the target cannot be written.
    """
    target = target.expanduser().resolve()
    files.require_writable(target.parent)
    with _at_rest(given), files.aside(target) as staging:
        found = dict(_found(given.home))
        if not found:
            raise BadInput(f"there is nothing to back up in {given.home}", "give another --home")
        database = staging.with_name(f"{staging.name}.db")
        try:
            if _DATABASE in found:
                found[_DATABASE] = _copied(found[_DATABASE], database)
            sums = {name: files.file_sha256(path) for name, path in found.items() if not path.is_symlink()}
            manifest = {"created": now(), "home": str(given.home), "revision": revision(), "files": sums}
            with tarfile.open(staging, "w:gz", compresslevel=1) as archive:
                _add_text(archive, _MANIFEST, json.dumps(manifest, indent=1))
                for name, path in found.items():
                    archive.add(path, name, recursive=False)
        finally:
            files.remove(database)
    size = target.stat().st_size
    say(f"{len(found):,} files of {given.home} are in {target} ({size / 1e6:.1f} MB)")
    return {"path": str(target), "files": len(found), "bytes": size}


def restore(given: Settings, source: Path, *, replace: bool = False) -> dict[str, Any]:
    """Put a backup into the home, after every file in it was compared with its sha256.

    Raises:
        BadInput: the file is no backup or damaged, something runs, or there is something that would be replaced.
    """
    staging = given.home / f".restoring-{os.getpid()}"
    with _at_rest(given):
        if not replace and (there := next(_found(given.home), None)):
            raise BadInput(
                f"{given.home} holds {there[0]}", "give an empty --home, or --replace to remove what is there"
            )
        try:
            manifest = _unpacked(source, staging)
            _move_uris(staging / _DATABASE, manifest["home"], str(given.home))
            for folder in _FOLDERS:
                _take_place(staging / folder, given.home / folder)
        finally:
            files.remove(staging)
    say(f"{len(manifest['files']):,} files of {manifest['created']} are in {given.home}")
    return {"path": str(given.home), "files": len(manifest["files"]), "created": manifest["created"]}


@contextlib.contextmanager
def _at_rest(given: Settings) -> Iterator[None]:
    """Hold what jobs and Kafka would hold, so that none of them runs meanwhile."""
    with contextlib.ExitStack() as held:
        for name in contract.names(given.applications):
            application = contract.load(name, given.applications)
            for job in (*cli.JOBS, "replay"):
                lock = places(application, given).locks / f"{job}.lock"
                held.enter_context(files.exclusive(lock, f"the job {job} {name}"))
        held.enter_context(broker.held(given.data / "kafka"))
        yield


def _found(home: Path) -> Iterator[tuple[str, Path]]:
    """Files and links of a backup by their name in it."""
    for folder in _FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            if path.name not in _LEFT_OUT and (path.is_symlink() or path.is_file()):
                yield path.relative_to(home).as_posix(), path


def _copied(database: Path, target: Path) -> Path:
    """A copy of SQLite's database as its own backup makes it."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    archive.addfile(member, io.BytesIO(text.encode()))


def _unpacked(source: Path, staging: Path) -> dict[str, Any]:
    """Unpack a backup aside, and return its manifest once every file is what that says."""
    staging.mkdir()
    try:
        with tarfile.open(source) as archive:
            archive.extractall(staging, filter="data")
        manifest: dict[str, Any] = json.loads((staging / _MANIFEST).read_text(encoding="utf-8"))
        expected = manifest["files"]
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{source} is no backup or is damaged ({error})", "give another one") from None
    for name, path in _found(staging):
        if not path.is_symlink() and expected.get(name) != files.file_sha256(path):
            raise BadInput(f"{source} is damaged: {name} is not what was written", "give another one")
    missing = [name for name in expected if not (staging / name).is_file()]
    if missing:
        raise BadInput(f"{source} is damaged: it lacks {missing[0]}", "give another one")
    return manifest


def _move_uris(database: Path, before: str, after: str) -> None:
    """Let MLflow's database name the new home's places."""
    if before == after or not database.is_file():
        return
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
        for name, columns in _URIS.items():
            present = {row[1] for row in connection.execute(f"pragma table_info({name})")} if name in tables else set()
            for column in present & set(columns):
                statement = f"update {name} set {column} = replace({column}, ?, ?)"  # noqa: S608  # our own names
                connection.execute(statement, (f"file://{before}/", f"file://{after}/"))


def _take_place(new: Path, target: Path) -> None:
    """Swap a folder in; the page that says what it holds stays."""
    new.mkdir(parents=True, exist_ok=True)
    page = target / "README.md"
    if page.is_file():
        shutil.copy2(page, new / "README.md")
    target.parent.mkdir(parents=True, exist_ok=True)
    files.swap(new, target)
