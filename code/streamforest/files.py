"""Files that are whole or absent: write aside, then swap; one lock a job; one checksum a folder."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from streamforest.errors import BadInput

_CHUNK_BYTES = 1 << 20
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def require_writable(folder: Path) -> None:
    """Create ``folder`` where it is missing.

    Raises:
        BadInput: it cannot be created or written.
    """
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"cannot write to {folder} ({error.strerror})", "free it or give another --home") from None


@contextlib.contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to; on success it takes the target's place, on failure it is removed.

    What was at ``target`` stays readable until the swap: a reader sees the old content or the new.
    """
    recover(target)
    staging = target.with_name(f".{target.name}.writing-{os.getpid()}")
    remove(staging)
    staging.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield staging
        swap(staging, target)
    finally:
        remove(staging)


def swap(new: Path, target: Path) -> None:
    """Put ``new`` in the place of ``target``; the old content is gone afterwards.

    Linux exchanges the two names in one step, so that there is no moment without a readable target. Where the file
    system cannot (NFS, macOS) it is two renames, and :func:`recover` repairs a kill between them.
    """
    old = target.with_name(f".{target.name}.old")
    if not target.exists():
        new.rename(target)
    elif _exchange(new, target):
        remove(new)
    else:
        remove(old)
        target.rename(old)
        new.rename(target)
        remove(old)
    _sync_folder(target.parent)


def recover(target: Path) -> None:
    """Tidy up after a killed writer: put back an old folder whose successor did not arrive, remove what was aside."""
    old = target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():
        old.rename(target)
    for left in target.parent.glob(f".{target.name}.writing-*"):
        if not _alive(int(left.name.rpartition("-")[2])):
            remove(left)


def write_text(path: Path, text: str) -> None:
    """Replace a small file at once: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside_path = path.with_name(f".{path.name}.{os.getpid()}")
    with aside_path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside_path.replace(path)
    _sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, mode: int | None = None) -> None:
    """Like :func:`write_text`, for bytes; ``mode`` is the file's from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside_path = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(aside_path, flags, 0o666 if mode is None else mode), "wb") as file:
        if mode is not None:
            # What the process masks of new files' modes is meant for others.
            os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside_path.replace(path)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder; nothing happens where there is none."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """Hex digest of one file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(folder: Path) -> str:
    """Hex digest over the names and contents of all files below ``folder``; Hadoop's hidden checksums left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(".crc"):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold ``lock`` while the block runs; the kernel lets go of it when the process ends, however it ends.

    Raises:
        BadInput: another process holds it; the line names that process and when it started.
    """
    require_writable(lock.parent)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{what} is running already ({_holder(lock)})", "wait for it or stop it") from None
        started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "started": started}))
        file.flush()
        yield


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step by Linux's renameat2; False where the kernel or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


def _holder(lock: Path) -> str:
    try:
        held = json.loads(lock.read_text(encoding="utf-8"))
        return f"process {held['pid']}, started {held['started']}"
    except (OSError, ValueError, KeyError):
        return "just started"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
