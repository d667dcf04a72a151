"""Reading the raw activity files, without Spark: the grammar of a line, the vectorised way, blocks, parts, archives."""

from __future__ import annotations

import gzip
import io
import lzma
import math
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamforest.applications.activity import reading, records
from streamforest.applications.activity.records import Reading
from streamforest.errors import BadInput

DIRTY = Path(__file__).parents[1] / "data" / "activity_dirty.txt"
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "wisdm51"

Row = tuple[object, ...]
"""line, then the reading, or its absence with text and reason."""


def ok(line: int, user: int, activity: str, timestamp_ms: int, x: float, y: float, z: float) -> Row:
    return (line, Reading(user, activity, timestamp_ms, x, y, z), None, None)


def no(line: int, reason: str, text: str) -> Row:
    return (line, None, text, reason)


# The file holds every kind of dirt that the real ones are known for, one kind a line, in this order.
EXPECTED: list[Row] = [
    ok(1, 33, "Jogging", 1370367549273, -0.6946377, 12.680544, 0.50395286),  # behind a byte order mark
    ok(2, 33, "Jogging", 1370367549323, 5.012288, 11.264028, 0.95342433),  # ends in ",;"
    ok(3, 33, "Jogging", 1370367549373, 4.903325, 10.882658, -0.08172209),  # CRLF
    no(4, "blank", ""),
    no(5, "blank", " \t"),
    no(6, "blank", ";"),
    ok(7, 33, "Lying Down", 1370367549423, -0.61, 18.49, 3.02),  # spaces around fields
    ok(8, 33, "Jogging", 1370367549473, 1.5, 2.5, 3.5),  # two records on one line
    ok(8, 33, "Jogging", 1370367549523, -1.5, -2.5, -3.5),
    no(9, "truncated", "33,Jogging,1370367549573,1.5,2.5"),  # no z, the next user stuck to y
    ok(9, 33, "Jogging", 1370367549623, 6, 7, 8),
    no(10, "empty", "33,Jogging,1370367549673,1.5,2.5,;"),  # no z, but its comma and the end
    ok(10, 33, "Jogging", 1370367549723, 6.5, 7.5, 8.5),
    no(11, "truncated", "33,Jogging,1370367549773,1.5,2.5"),  # no z, but its comma
    ok(11, 33, "Jogging", 1370367549823, 6.25, 7.25, 8.25),
    no(12, "truncated", "33,Walking,1370367549873,1,2"),
    ok(12, 334, "Walking", 1370367549923, 1, 2, 3),
    no(13, "empty", "33,,,,,;"),
    no(14, "truncated", "33;"),
    ok(15, 33, "Walking", 1370367549973, 1, 2, 5.9e20),
    no(16, "number", "33,Walking,1370367550023,1.0,nan,2.0;"),
    no(17, "number", "33,Walking,1370367550073,inf,1.0,2.0;"),
    no(18, "number", "33,Walking,1370367550123,1.0,2.0,1e400;"),
    no(19, "zero", "33,Walking,0,0,0.0,-0;"),
    no(20, "timestamp", "33,Walking,0,0,0,0.1;"),
    no(21, "timestamp", "33,Walking,-5,1,2,3;"),
    no(22, "timestamp", "33,Walking,4102444800000,1,2,3;"),  # 2100
    ok(23, 33, "Walking", 4102444799999, 1, 2, 3),  # the last millisecond before 2100
    no(24, "timestamp", "33,Walking,1370367550173.5,1,2,3;"),
    no(25, "timestamp", "33,Walking,99999999999999999999,1,2,3;"),
    no(26, "user", "33.5,Walking,1370367550223,1,2,3;"),
    no(27, "user", "2147483648,Walking,1370367550223,1,2,3;"),
    no(28, "user", "-1,Walking,1370367550223,1,2,3;"),
    ok(29, 2147483647, "Walking", 1370367550223, 1, 2, 3),
    no(30, "number", "33,Walking,1370367550273,1,two,3;"),
    no(31, "number", "33,Walking,1370367550323,1_0,2,3;"),
    ok(32, 33, "Tai-Chi_2", 1370367550373, 1, 2, 3),
    no(33, "activity", "33,../etc,1370367550423,1,2,3;"),
    no(34, "encoding", "33,Walk\ufffding,1370367550473,1,2,3;"),
    no(35, "activity", "33,Walk\x00ing,1370367550523,1,2,3;"),
    no(36, "fields", "33,Walking,1370367549273,1,2,3,4,5;"),
    ok(37, 33, "Walking", 1370367549273, 1, 0.5, 20),  # no terminator; out of order
    ok(38, 33, "Walking", 1370367549273, 1, 0.5, 20),  # one too many; the same reading again
    ok(39, 33, "W", 1370367550573, 1, 2, 3),
    no(39, "truncated", "34,W,1370367550573,1,2"),
    ok(40, 33, "Walking", 1370367550623, 7, 8, 9),  # neither terminator nor line end
]


def rows_of_blocks(content: bytes, block_bytes: int = reading.BLOCK_BYTES) -> list[Row]:
    """What the vectorised way says."""
    batches = reading.parse(reading.whole_lines(io.BytesIO(content), None, block_bytes))
    return [row_of(record) for batch in batches for record in batch.to_pylist()]


def rows_of_file(path: Path, split_bytes: int = reading.SPLIT_BYTES) -> list[Row]:
    batches = [batch for part in reading.split(path, split_bytes) for batch in reading.rows(part)]
    return [row_of(record) for batch in batches for record in batch.to_pylist()]


def row_of(record: dict[str, object]) -> Row:
    values = [record[name] for name in ("userId", "action", "timestamp", "x", "y", "z")]
    if record["reason"] is None:
        assert None not in values
    else:
        assert values == [None] * 6
    found = None if record["reason"] else Reading(*values)  # type: ignore[arg-type]
    return (record["line"], found, record["text"], record["reason"])


def rows_by_grammar(content: bytes) -> list[Row]:
    """The same from the plain grammar: the second opinion."""
    lines = content.split(b"\n")
    numbered = enumerate(lines if lines[-1] else lines[:-1], start=1)
    return [(number, *record) for number, line in numbered for record in records.read_line(line)]


number = st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-20, 20, places=7).map(float)
activity = st.sampled_from(["Walking", "Jogging", "No Label", "LyingDown", "A", "x" * 64, "a-b_c 9"])
a_reading = st.builds(
    Reading,
    st.integers(0, records.MAX_USER),
    activity,
    st.integers(1, records.MAX_TIMESTAMP_MS) | st.integers(1370367549273, 1370367559273),
    number,
    number,
    number,
)
end = st.sampled_from([";", ",;", "", ";\r", " ; "])
damage = st.lists(
    st.tuples(
        st.sampled_from(["delete", "insert", "repeat", "cut", "join"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 40),
        st.binary(min_size=1, max_size=6) | st.sampled_from([b";", b",", b"\n", b"\x00", b"e5", b"33", b"\r\n", b" "]),
    ),
    max_size=8,
)


def line_of(reading_: Reading, end_: str) -> bytes:
    return (",".join(str(value) for value in reading_) + end_).encode()


def damaged(content: bytes, ops: list[tuple[str, float, int, bytes]]) -> bytes:
    """Bytes deleted, inserted or repeated, the rest of a line cut off, or a line joined with the next."""
    for kind, where, size, junk in ops:
        at = int(where * len(content))
        line_end = content.find(b"\n", at)
        line_end = len(content) if line_end < 0 else line_end
        content = {
            "delete": content[:at] + content[at + size :],
            "insert": content[:at] + junk + content[at:],
            "repeat": content[: at + size] + content[at:],
            "cut": content[:at] + content[line_end:],
            "join": content[:line_end] + content[line_end + 1 :],
        }[kind]
    return content


def test_each_kind_of_dirt_is_recovered_or_refused_by_name() -> None:
    rows = rows_of_file(DIRTY)

    assert rows == EXPECTED


def test_the_file_of_all_dirt_names_every_reason_but_long() -> None:
    reasons = {row[3] for row in EXPECTED} - {None}

    assert reasons | {"long"} == set(records.REASONS)


@given(st.lists(st.tuples(a_reading, end), max_size=12), damage, st.integers(1, 300))
def test_any_damage_leaves_all_lines_counted_and_whole_lines_read(
    written: list[tuple[Reading, str]], ops: list[tuple[str, float, int, bytes]], block_bytes: int
) -> None:
    readings = {line_of(*pair): pair[0] for pair in written}
    content = damaged(b"\n".join(readings), ops)

    rows = rows_of_blocks(content, block_bytes)

    lines = content.split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    accepted = [row for row in rows if row[1] is not None]
    refused = [row for row in rows if row[3] in records.REASONS]
    assert len(accepted) + len(refused) == len(rows)
    beyond_the_first = sum(rows[index][0] == rows[index - 1][0] for index in range(1, len(rows)))
    assert len(rows) - beyond_the_first == len(lines)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)  # type: ignore[type-var]
    for position, line in enumerate(lines, start=1):
        if line in readings:
            assert [row[1] for row in rows if row[0] == position] == [readings[line]]


@given(st.lists(st.tuples(a_reading, end), max_size=12), damage, st.integers(1, 300))
@example([(Reading(33, "Walking", 5, 1.0, 2.0, 3.0), ";")] * 2, [("insert", 0.4, 1, b"\n;\n\n")], 3)
def test_the_vectorised_way_agrees_with_the_grammar_for_any_block_size(
    written: list[tuple[Reading, str]], ops: list[tuple[str, float, int, bytes]], block_bytes: int
) -> None:
    content = damaged(b"\n".join(line_of(*pair) for pair in written), ops)

    expected = rows_by_grammar(content)

    assert rows_of_blocks(content) == expected
    assert rows_of_blocks(content, block_bytes) == expected


@given(st.text("0159.eE+-", min_size=1, max_size=12), st.text("09-+ .", min_size=1, max_size=14), st.text("Aa9 _-.\t"))
@example("1e99", "4102444799999", "Walking")
@example(".", "0000000000001", "A ")
@example("0" * 190, "3999999999999", "A")
def test_the_vectorised_way_agrees_on_the_edges_of_fields(value: str, integer: str, name: str) -> None:
    content = "\n".join(
        [f"33,A,5,{value},2,{value};", f"{integer},A,5,1,2,3;", f"33,A,{integer},1,2,3;", f"33,{name},5,1,2,3"]
    ).encode()

    assert rows_of_blocks(content) == rows_by_grammar(content)


@given(st.lists(st.text("7\r; ", max_size=60), max_size=6), st.integers(1, 30))
@example(["7" * 18 + "\r" * 9 + "7"], 4)
def test_a_line_beyond_the_limit_is_one_refused_record_however_it_is_cut(lines: list[str], block_bytes: int) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "MAX_LINE_BYTES", 20)
        rows = rows_of_blocks(content, block_bytes)
        expected = rows_by_grammar(content)

    # The text of a line that was cut is shorter where blocks are.
    assert [(row[0], row[3]) for row in rows] == [(row[0], row[3]) for row in expected]
    assert {row[0] for row in rows if row[3] == "long"} == {
        position for position, line in enumerate(lines, start=1) if len(line.removesuffix("\r")) > 20
    }


def test_a_line_without_end_is_refused_in_bounded_memory() -> None:
    class Endless(io.RawIOBase):
        left = 64 << 20

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"7" * size

    tracemalloc.start()
    rows = [
        record
        for batch in reading.parse(reading.whole_lines(Endless()))  # type: ignore[arg-type]
        for record in batch.to_pylist()
    ]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [row["reason"] for row in rows] == ["long"]
    assert len(rows[0]["text"]) == records.MAX_TEXT_CHARS
    assert peak_bytes < 5 * reading.BLOCK_BYTES


@pytest.mark.parametrize(
    ("line", "accepted", "reasons"),
    [
        (b"33,Jogging,5,1.5,2.25,3.7533,Jogging,6,1,2,3;", [(5, 3.75), (6, 3.0)], []),
        (b"33,Jogging,5,1.5,2.25,3.75,33,Jogging,6,1,2,3;", [(5, 3.75), (6, 3.0)], []),
        (b"33,Jogging,5,1.533,Jogging,6,1,2,3;", [(6, 3.0)], ["truncated"]),
        (b"33,Jogging,137036754927333,Jogging,6,1,2,3;", [(6, 3.0)], ["truncated"]),
        (b"33,Jogging,533,Jogging,6,1,2,3;", [], ["fields"]),
        (b"33,Jogg33,Jogging,6,1,2,3;", [(6, 3.0)], ["truncated"]),
        (b"33,Jogging,5,1.5,2.2534,Jogging,6,1,2,3;", [], ["fields"]),
        (b"33,Jogging,5,1.5,2.2533,Jogging,6,1.5,2.2533,Jogging,7,1,2,3;", [(7, 3.0)], ["truncated"] * 2),
        (b",33,Jogging,6,1,2,3;", [(6, 3.0)], ["truncated"]),
        (b"ab,Jogging,5,1.5,2.2ab,Jogging,6,1,2,3;", [], ["fields"]),
    ],
    ids=[
        "whole z",
        "whole z, comma",
        "no y",
        "no x",
        "533 or 33",
        "no timestamp",
        "another user",
        "three",
        "no user",
        "name for a user",
    ],
)
def test_a_record_that_runs_into_the_next_is_told_apart_where_that_is_certain(
    line: bytes, accepted: list[tuple[int, float]], reasons: list[str]
) -> None:
    found = records.read_line(line)

    assert [(record.reading.timestamp_ms, record.reading.z) for record in found if record.reading] == accepted
    assert [record.reason for record in found if record.reason] == reasons


@given(st.lists(st.tuples(a_reading, end), min_size=1, max_size=20), st.integers(1, 200), st.booleans())
def test_parts_of_a_plain_file_hold_the_rows_of_the_whole(
    written: list[tuple[Reading, str]], split_bytes: int, mark: bool
) -> None:
    content = b"\n\n".join(line_of(*pair) for pair in written)

    with tempfile.NamedTemporaryFile() as file:
        file.write((b"\xef\xbb\xbf" if mark else b"") + content)
        file.flush()
        rows = rows_of_file(Path(file.name), split_bytes)

    assert rows == rows_by_grammar(content)


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
class TestArchive:
    def test_is_read_like_the_plain_file(self, suffix: str, pack: type, tmp_path: Path) -> None:
        archive = tmp_path / f"raw.txt{suffix}"
        archive.write_bytes(pack(DIRTY.read_bytes()))

        assert rows_of_file(archive) == EXPECTED

    @pytest.mark.parametrize("kept", [0.4, 0.99])
    def test_cut_off_is_one_line_of_bad_input(self, suffix: str, pack: type, kept: float, tmp_path: Path) -> None:
        archive = tmp_path / f"raw.txt{suffix}"
        content = pack(DIRTY.read_bytes() * 20)
        archive.write_bytes(content[: int(kept * len(content))])

        with pytest.raises(BadInput, match=rf"raw\.txt\{suffix} is damaged or cut off.*; fetch it again$"):
            rows_of_file(archive)

    def test_damaged_inside_is_bad_input(self, suffix: str, pack: type, tmp_path: Path) -> None:
        archive = tmp_path / f"raw.txt{suffix}"
        content = bytearray(pack(DIRTY.read_bytes()))
        content[len(content) // 2] ^= 0xFF
        archive.write_bytes(content)

        with pytest.raises(BadInput, match="damaged"):
            rows_of_file(archive)

    def test_in_name_only_is_bad_input(self, suffix: str, pack: type, tmp_path: Path) -> None:
        del pack
        archive = tmp_path / f"raw.txt{suffix}"
        archive.write_bytes(DIRTY.read_bytes())

        with pytest.raises(BadInput, match="is not an archive"):
            reading.split(archive)


def test_an_xz_archive_that_broke_off_is_told_before_it_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "raw.txt.xz"
    archive.write_bytes(lzma.compress(DIRTY.read_bytes())[:-1])

    with pytest.raises(BadInput, match="damaged or cut off; fetch it again"):
        reading.split(archive)


def test_a_missing_file_is_bad_input_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no input file .*raw\.txt; put it there"):
        reading.split(tmp_path / "raw.txt")


def test_a_folder_in_the_files_place_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        reading.split(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_holds_no_record(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "raw.txt"
    path.write_bytes(content)

    assert rows_of_file(path) == []


def test_the_recordings_are_read_without_a_refusal() -> None:
    path = RECORDINGS / "WISDM51_20hz_raw.txt.xz"
    if not path.exists():
        pytest.skip(f"no recordings at {path}")

    batches = [batch for part in reading.split(path) for batch in reading.rows(part)]

    assert sum(len(batch) for batch in batches) == 482_342
    assert sum(batch["reason"].null_count for batch in batches) == 482_342
    assert all(math.isfinite(value) for batch in batches for value in batch["z"].slice(0, 100).to_pylist())
