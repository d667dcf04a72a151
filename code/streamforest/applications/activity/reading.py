"""The raw files as a DataFrame: one row a record, accepted or refused.

Plain files, ``.xz`` and ``.gz`` are read in blocks of whole lines. A regular expression tells the lines that are one
clean record, which Arrow converts at once; every other line goes through :mod:`.records`, which says what it means.
The expression accepts less than that grammar, never more, so that both ways agree on every line.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyspark.sql import DataFrame, SparkSession

from streamforest.application import REFUSED_COLUMNS
from streamforest.applications.activity import records
from streamforest.applications.activity.schemas import RAW
from streamforest.errors import BadInput

BLOCK_BYTES = 1 << 22
SPLIT_BYTES = 1 << 24
"""A plain file is cut into parts of about this size, so that several cores work on it."""

_BOM = b"\xef\xbb\xbf"
_XZ, _GZ = b"\xfd7zXZ\x00", b"\x1f\x8b"
_MAGIC = {".xz": _XZ, ".gz": _GZ}
_XZ_END = b"YZ"
_SEPARATOR, _TERMINATOR, _SPACE, _NEWLINE = b",; \n"

# The bound on a line's length keeps a number's digits so few, and its exponent so small, that it can neither overflow
# nor underflow a double.
_CLEAN_LINE_BYTES = 200
_CLEAN_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
_CLEAN_LINE = (
    r"^[0-9]{1,9}"
    rf",[A-Za-z](?:[A-Za-z0-9 _-]{{0,{records.MAX_ACTIVITY_CHARS - 2}}}[A-Za-z0-9_-])?"
    r",(?:[1-9][0-9]{0,11}|[1-3][0-9]{12})"
    rf"(?:,{_CLEAN_NUMBER}){{3}}(?:,?;)?\r?\n?$"
)

_READING = pa.schema(
    [
        ("userId", pa.int32()),
        ("action", pa.string()),
        ("timestamp", pa.int64()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("z", pa.float64()),
    ]
)
_RECORD = pa.schema([*_READING, ("line", pa.int64()), ("text", pa.string()), ("reason", pa.string())])
_CSV_READ = csv.ReadOptions(column_names=_READING.names, use_threads=False, block_size=4 * BLOCK_BYTES)
_CSV_PARSE = csv.ParseOptions(quote_char=False, double_quote=False)
_CSV_CONVERT = csv.ConvertOptions(column_types=_READING, null_values=[], strings_can_be_null=False)


class Part(NamedTuple):
    """Whole lines of one file: its bytes from ``start`` to ``end`` (None: all), of which ``first_line`` is the first.

    Bytes and lines are those of the content, where the file is an archive.
    """

    path: str
    start: int
    end: int | None
    first_line: int


def read(spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
    """One row a record: RAW's columns, ``file`` (base name), ``line`` (from 1), ``text`` and ``reason``.

    A refused record has a reason of :data:`.records.REASONS` and no reading, an accepted one no text and no reason.
    Every line yields at least one record, so that a file's largest ``line`` is the number of its lines. Driver and
    executors must see a file under the same path.

    Raises:
        BadInput: a file is missing, unreadable, or not the archive that its name says. Damage inside an archive shows
            only when an executor reads it: as an error of Spark's, which ``failures.explain`` turns into this one.
    """
    parts = [part for path in paths for part in split(path, SPLIT_BYTES)]

    def read_parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                yield from rows(parts[index])

    columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in RAW)
    tasks = spark.range(0, len(parts), 1, max(len(parts), 1))
    return tasks.mapInArrow(read_parts, f"{columns}, {REFUSED_COLUMNS}")


def split(path: Path, split_bytes: int = SPLIT_BYTES) -> list[Part]:
    """The parts of a file that can be read side by side; an archive is one part, an empty file none.

    A plain file is read through once for its line ends.

    Raises:
        BadInput: as :func:`read` says.
    """
    with _readable(path), path.open("rb") as file:
        head = file.read(len(_XZ))
        expected = _MAGIC.get(path.suffix, b"")
        if not head.startswith(expected):
            raise BadInput(f"{path} is not an archive, which its name says it is", "fetch it again or rename it")
        if head.startswith(_XZ) and not _is_whole_xz(file):
            raise EOFError
        if head.startswith((_XZ, _GZ)):
            return [Part(str(path), 0, None, 1)]
        file.seek(0)
        return list(_split_plain(path, file, split_bytes))


def parse(blocks: Iterable[bytes], first_line: int = 1) -> Iterator[pa.RecordBatch]:
    """Records of blocks of whole lines, in order: RAW's columns, ``line``, ``text``, ``reason``; one batch a block."""
    for block in blocks:
        lines = _lines(block)
        clean = _is_clean(lines)
        readings = _convert(lines if clean.all() else lines.filter(pa.array(clean)))
        readings = readings.append_column("line", pa.array(first_line + np.flatnonzero(clean)))
        yield _in_order(readings, _read_odd(lines, np.flatnonzero(~clean), first_line))
        first_line += len(lines)


def whole_lines(stream: IO[bytes], size: int | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Blocks of whole lines from the next ``size`` bytes (None: all), each about ``block_bytes`` long.

    A line that is too long for the grammar and for a block is cut behind the grammar's limit, so that memory stays
    bounded and the grammar refuses it all the same.
    """
    longest = records.MAX_LINE_BYTES + len(b"\r\n")
    rest, skipping = b"", False
    while piece := stream.read(block_bytes if size is None else min(block_bytes, size)):
        size = None if size is None else size - len(piece)
        if skipping:
            _, newline, piece = piece.partition(b"\n")
            rest, skipping = rest + newline, not newline
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            yield whole + newline
        if len(rest) > longest:
            rest, skipping = rest[:longest], True
    if rest:
        yield rest


def rows(part: Part) -> Iterator[pa.RecordBatch]:
    """What :func:`read` says of one part, without Spark; one batch a block of lines."""
    path = Path(part.path)
    with _readable(path), _opened(path) as stream:
        stream.seek(part.start)
        if part.start == 0 and stream.read(len(_BOM)) != _BOM:
            stream.seek(0)
        size = None if part.end is None else part.end - stream.tell()
        for batch in parse(whole_lines(stream, size), part.first_line):
            position = len(_READING)
            yield batch.add_column(position, "file", pa.repeat(path.name, len(batch)))


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(len(_XZ))
    if head.startswith(_XZ):
        return cast("IO[bytes]", lzma.open(path))
    return cast("IO[bytes]", gzip.open(path)) if head.startswith(_GZ) else path.open("rb")


def _split_plain(path: Path, file: IO[bytes], split_bytes: int) -> Iterator[Part]:
    start, line = 0, 1
    while block := file.read(split_bytes):
        end, newlines = start + len(block), block.count(b"\n")
        # A line may be longer than memory: its end is looked for in pieces.
        while not block.endswith(b"\n") and (block := file.readline(split_bytes)):
            end, newlines = end + len(block), newlines + block.count(b"\n")
        yield Part(str(path), start, end, line)
        start, line = end, line + newlines


def _is_whole_xz(file: IO[bytes]) -> bool:
    """Whether an .xz archive has its end, which a download that broke off lacks."""
    file.seek(-len(_XZ_END), os.SEEK_END)
    return file.read() == _XZ_END


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the file and of the archive as BadInput."""
    try:
        yield
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        detail = f" ({error})" if str(error) else ""
        raise BadInput(f"the archive {path} is damaged or cut off{detail}", "fetch it again") from None
    except FileNotFoundError:
        raise BadInput(
            f"there is no input file {path}", "put it there, or make data with: ./control_env.sh data"
        ) from None
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or error})", "make it a readable file") from None


def _lines(block: bytes) -> pa.Array:
    """The lines of a block, their ends included, without a copy."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
    last = [] if block.endswith(b"\n") or not block else [len(block)]
    offsets = np.concatenate([[0], ends, last]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(block)])


def _is_clean(lines: pa.Array) -> npt.NDArray[np.bool_]:
    short = pc.less_equal(pc.binary_length(lines), _CLEAN_LINE_BYTES)
    clean = pc.and_(short, pc.match_substring_regex(lines, _CLEAN_LINE))
    return cast("npt.NDArray[np.bool_]", clean.to_numpy(zero_copy_only=False))


def _convert(lines: pa.Array) -> pa.Table:
    """The readings of clean lines, whose terminators are blanked so that each line has six fields."""
    if not len(lines):
        return _READING.empty_table()
    text = np.frombuffer(lines.buffers()[2], np.uint8)[: pc.sum(pc.binary_length(lines)).as_py()].copy()
    ends = np.flatnonzero(text == _TERMINATOR)
    text[ends] = _SPACE
    text[ends[text[ends - 1] == _SEPARATOR] - 1] = _SPACE
    return csv.read_csv(pa.py_buffer(text), _CSV_READ, _CSV_PARSE, _CSV_CONVERT)


def _read_odd(lines: pa.Array, indexes: npt.NDArray[np.int64], first_line: int) -> pa.Table:
    rows = [
        (*(record.reading or [None] * len(_READING)), first_line + int(index), record.text, record.reason)
        for index in indexes
        for record in records.read_line(lines[int(index)].as_py())
    ]
    columns = zip(*rows, strict=True) if rows else [[]] * len(_RECORD)
    return pa.table(
        [pa.array(list(column), field.type) for column, field in zip(columns, _RECORD, strict=True)], _RECORD
    )


def _in_order(readings: pa.Table, odd: pa.Table) -> pa.RecordBatch:
    """Both in the order of their lines; records of one line keep theirs."""
    for name in ("text", "reason"):
        readings = readings.append_column(name, pa.nulls(len(readings), pa.string()))
    if len(odd):
        readings = pa.concat_tables([readings, odd])
        readings = readings.take(pa.array(np.argsort(readings["line"].to_numpy(), kind="stable")))
    columns = [column.combine_chunks() for column in readings.columns]
    return pa.record_batch(columns, schema=_RECORD)
