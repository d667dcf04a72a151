"""Whether data was made up: a mark inside the file itself, which a copy, a new name or an archive does not lose."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import BinaryIO, cast

MARK = "9.8066500420042"
"""Stands in the first lines of every made-up file, as a field of a record that is valid otherwise.

It is standard gravity and then more digits than any sensor gives, so that no recording holds it."""

_HEAD_BYTES = 4096


def is_synthetic(path: Path) -> bool:
    """Whether the file was made by a generator; False where it is missing or cannot be read.

    Only the first 4 KiB are read. A file that the real one has replaced is not marked, whatever its name.
    """
    try:
        with _opened(path) as file:
            return MARK.encode() in file.read(_HEAD_BYTES)
    except (OSError, EOFError, lzma.LZMAError):
        return False


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".xz":
        return cast("BinaryIO", lzma.open(path))
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
