"""The grammar of a raw line, one line at a time in plain Python: the meaning of what the vectorised reader does fast.

A line holds records that end in ``;``; a record is ``user,activity,timestamp,x,y,z`` with spaces allowed around each
field. Every line yields at least one record, and every refused record has one of these reasons, the first that fits:

| reason | the record |
| --- | --- |
| ``blank`` | is a line of nothing but spaces and ``;`` |
| ``long`` | is a line of more than 65,536 bytes, which is not searched for records |
| ``encoding`` | is not UTF-8 |
| ``truncated`` | has fewer than six fields |
| ``fields`` | has more than six (a seventh that is empty is allowed) and cannot be told apart into whole records |
| ``empty`` | has an empty field |
| ``user`` | has a user that is not an integer from 0 to 2,147,483,647 |
| ``activity`` | has an activity that is not a letter and up to 63 letters, digits, spaces, ``_`` or ``-`` (ASCII) |
| ``number`` | has an x, y or z that is not a finite decimal number |
| ``zero`` | has timestamp 0 and x, y, z all 0 |
| ``timestamp`` | has a timestamp that is not an integer from 1 to the end of the year 2099 in epoch ms |

Any activity of that shape is accepted: which classes there are is for the data to say. Any finite value is accepted,
too (up to 5.9e20 was recorded), and duplicate or disordered timestamps are not the reader's concern.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

REASONS = (
    "blank",
    "long",
    "encoding",
    "truncated",
    "fields",
    "empty",
    "user",
    "activity",
    "number",
    "zero",
    "timestamp",
)
MAX_LINE_BYTES = 65_536
MAX_TEXT_CHARS = 1_000
MAX_USER = 2**31 - 1
MAX_ACTIVITY_CHARS = 64
MAX_TIMESTAMP_MS = 4_102_444_799_999
"""1 ms before the year 2100: a later time is a broken clock."""

_SPACE = " \t\r"
_FIELDS = 6
_PIECE = re.compile(rb"[^;]*;|[^;]+")
_INTEGER = re.compile(r"0*[0-9]{1,19}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ACTIVITY = re.compile(rf"[A-Za-z][A-Za-z0-9 _-]{{0,{MAX_ACTIVITY_CHARS - 1}}}")


class Reading(NamedTuple):
    """An accepted record; x, y, z in m/s²."""

    user: int
    activity: str
    timestamp_ms: int
    x: float
    y: float
    z: float


class Record(NamedTuple):
    """One record of a line: a reading, or the text of what was refused and why."""

    reading: Reading | None
    text: str | None
    reason: str | None


def read_line(line: bytes) -> list[Record]:
    """The records of one line, in order; the line's end may be left on it."""
    content = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(content) > MAX_LINE_BYTES:
        return [_refused(content[: 4 * MAX_TEXT_CHARS].decode("utf-8", "replace"), "long")]
    pieces = _PIECE.findall(content)
    filled = [piece for piece in pieces if piece.strip(b" \t\r;")]
    if not filled:
        return [_refused(content.decode("ascii"), "blank")]
    # Empty pieces beside a record (";;") are terminators too many, not records.
    texts = [content] if len(filled) == 1 else filled
    return [record for piece, text in zip(filled, texts, strict=True) for record in _read_piece(piece, text)]


def read_fields(fields: Sequence[str]) -> Reading | str:
    """The reading that six fields hold, or the reason why they hold none; spaces around a field do not count."""
    user, activity, timestamp, *values = (field.strip(_SPACE) for field in fields)
    if not (user and activity and timestamp and all(values)):
        return "empty"
    user_id, timestamp_ms = _integer(user), _integer(timestamp)
    if user_id is None or user_id > MAX_USER:
        return "user"
    if not _ACTIVITY.fullmatch(activity):
        return "activity"
    if not all(_NUMBER.fullmatch(value) for value in values):
        return "number"
    x, y, z = (float(value) for value in values)
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return "number"
    if timestamp_ms == x == y == z == 0:
        return "zero"
    if timestamp_ms is None or not 0 < timestamp_ms <= MAX_TIMESTAMP_MS:
        return "timestamp"
    return Reading(user_id, activity, timestamp_ms, x, y, z)


def _integer(text: str) -> int | None:
    # Not more than 19 digits count: Python refuses to convert thousands, however many of them are zeros.
    return int(text[-19:]) if _INTEGER.fullmatch(text) else None


def _read_piece(piece: bytes, text: bytes) -> Iterator[Record]:
    """Records of what stands before one ``;``; ``text`` is what to quote if it is a single record."""
    try:
        fields = piece.decode("utf-8").removesuffix(";").split(",")
    except UnicodeDecodeError:
        yield _refused(text.decode("utf-8", "replace"), "encoding")
        return
    parts = [fields] if _is_whole(fields) else list(_parts(fields))
    quoted = [text.decode("utf-8", "replace")] if len(parts) == 1 else [",".join(part) for part in parts]
    for part, quote in zip(parts, quoted, strict=True):
        yield _judge(part, quote)


def _is_whole(fields: Sequence[str]) -> bool:
    return len(fields) == _FIELDS or (len(fields) == _FIELDS + 1 and not fields[_FIELDS].strip(_SPACE))


def _judge(fields: Sequence[str], text: str) -> Record:
    if not _is_whole(fields):
        return _refused(text, "truncated" if len(fields) < _FIELDS else "fields")
    outcome = read_fields(fields[:_FIELDS])
    return _refused(text, outcome) if isinstance(outcome, str) else Record(outcome, None, None)


def _parts(fields: Sequence[str]) -> Iterator[list[str]]:
    """Records that run into each other without ``;``, cut where another one starts.

    A record starts at a user that is followed by an activity and an integer. The user may stand by itself (``y,33,``)
    or be stuck to the value before it (``12.6833,``): then it is told apart only if it is the user that the line
    starts with, since any other cut would be a guess.
    """
    leading = fields[0].strip(_SPACE)
    part = [fields[0]]
    for index in range(1, len(fields)):
        field = fields[index].strip(_SPACE)
        start = _user_start(field, leading) if _is_followed_like_a_user(fields, index) else None
        if start is None:
            part.append(fields[index])
            continue
        yield [*part, field[:start]] if start else part
        part = [field[start:]]
    yield part


def _user_start(field: str, leading: str) -> int | None:
    """Where in ``field`` a user starts, None where that cannot be told."""
    stuck = bool(leading) and field != leading and field.endswith(leading)
    if _is_user(field):
        # "1033" after user 33 may be user 1033, or the value 10 and user 33.
        return None if stuck else 0
    return len(field) - len(leading) if stuck and _is_user(leading) else None


def _is_user(field: str) -> bool:
    user = _integer(field)
    return user is not None and user <= MAX_USER


def _is_followed_like_a_user(fields: Sequence[str], index: int) -> bool:
    if index + 2 >= len(fields):
        return False
    activity, timestamp = (field.strip(_SPACE) for field in fields[index + 1 : index + 3])
    return bool(_ACTIVITY.fullmatch(activity) and _INTEGER.fullmatch(timestamp))


def _refused(text: str, reason: str) -> Record:
    shown = text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
    return Record(None, shown, reason)
