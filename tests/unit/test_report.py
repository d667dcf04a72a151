"""What a demo shows: its page, its table, the minute it draws, and the comparison of stream and batch."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforest.embedded import chart, comparison, evidence, excerpt
from streamforest.embedded.comparison import Comparison
from streamforest.embedded.evidence import DemoReport, Trained
from streamforest.embedded.report import write
from tests.demo_reports import ACTIVITY, demo_report, minute, scored

IDENTITY = ["userId", "timestamp"]
PREDICTION = pa.schema(
    [
        ("userId", pa.int32()),
        ("timestamp", pa.int64()),
        ("action", pa.string()),
        ("probability", pa.float64()),
        ("modelVersion", pa.string()),
    ]
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page is made of: text, elements with their attributes, and elements that are not closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(report: DemoReport, folder: Path) -> Page:
    write(report, folder / "report.html")
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def predictions(*rows: tuple[int, int, str, float]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return pa.table([*columns, ["1"] * len(rows)], schema=PREDICTION)


def test_page_shows_every_row_of_the_table_and_every_metric(tmp_path: Path) -> None:
    report = demo_report(tmp_path)

    shown = page(report, tmp_path)

    for row in evidence.rows(report):
        assert row.value in shown.text
    for trained in report.pipelines.values():
        for metrics in (trained.test["metrics"], trained.test["metrics"]["smoothed"]):
            assert f"{metrics['accuracy']:.3f}" in shown.text
            for values in metrics["classes"].values():
                assert all(f"{values[name]:.3f}" in shown.text for name in ("precision", "recall", "f1"))
        for found in trained.test["confusion"].values():
            assert all(f"{count:,}" in shown.text for row in found["counts"] for count in row)


def test_page_is_whole_and_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    shown = page(demo_report(tmp_path), tmp_path)

    assert not shown.open
    assert not shown.named("script")
    links = [value for _, found in shown.elements for name, value in found.items() if name in ("src", "href")]
    assert all(value and value.startswith("data:") for value in links)
    markup = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", markup)
    policies = [found["content"] for found in shown.named("meta") if "http-equiv" in found]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_page_has_title_language_and_a_caption_and_scopes_in_every_table(tmp_path: Path) -> None:
    shown = page(demo_report(tmp_path), tmp_path)

    assert shown.named("html") == [{"lang": "en"}]
    assert len(shown.named("title")) == 1 + len(shown.named("svg")) - len(
        [found for found in shown.named("svg") if found.get("aria-hidden")]
    )
    assert len(shown.named("caption")) == len(shown.named("table")) > 0
    assert all("scope" in found for found in shown.named("th"))


def test_page_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    evil = "<script>alert('&\"')</script>"
    classes = (evil, "Walking")
    changes: dict[str, Any] = {
        "excerpt": minute([evil, "Walking"], key=evil),
        "revision": evil,
        "pipelines": {"statistics": Trained(**_trained(scored(3, passed=True, classes=classes)))},
        "history": [tmp_path / evil.replace("/", "")],
    }
    report = demo_report(tmp_path)
    report = replace(report, **changes, sample={**report.sample, "rows_refused": {evil: 1}})

    shown = page(report, tmp_path)

    assert not shown.named("script")
    assert shown.text.count(evil) > 5


def _trained(test: dict[str, Any]) -> dict[str, Any]:
    return {"train": {"windows": 1, "version": "1", "run_id": "r", "synthetic": True}, "test": test}


def test_synthetic_data_is_named_wherever_a_figure_of_it_stands(tmp_path: Path) -> None:
    report = demo_report(tmp_path)

    shown = page(report, tmp_path)

    markup = (tmp_path / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<(?:caption|figcaption)>(.*?)</", markup, re.DOTALL)
    assert all("synthetic" in caption for caption in captions)
    assert "synthetic" in report.title
    assert shown.text.count(report.title) >= 2
    for row in evidence.rows(report):
        if "accuracy" in row.value or "run " in row.value or row.name in ("history", "to stream"):
            assert "synthetic" in row.value


def test_real_data_is_never_called_synthetic(tmp_path: Path) -> None:
    report = demo_report(tmp_path, synthetic=False)

    shown = page(report, tmp_path)

    assert "synthetic" not in shown.text
    assert "synthetic" not in "\n".join(evidence.text(report))


def test_one_synthetic_file_marks_the_whole(tmp_path: Path) -> None:
    sample = {"rows_refused": {}, "rows": 1, "keys": 1, "synthetic": True}

    assert replace(demo_report(tmp_path, synthetic=False), sample=sample).synthetic


def test_page_says_where_stream_and_batch_differ(tmp_path: Path) -> None:
    differs = Comparison(equal=733, missing=1, added=0, different=0, repeated=0)

    shown = page(replace(demo_report(tmp_path), comparison=differs), tmp_path)

    assert "NO: 733 equal, 1 missing" in shown.text
    assert ("dd", {"class": "bad"}) in shown.elements


def test_page_without_a_minute_has_no_chart(tmp_path: Path) -> None:
    shown = page(replace(demo_report(tmp_path), excerpt=None), tmp_path)

    assert not shown.named("svg")


@pytest.mark.parametrize("width", [350, 760])
def test_chart_stays_in_its_frame_and_breaks_the_line_at_a_gap(width: int) -> None:
    whole = minute()
    before = [second for second in whole.seconds if second < 20 or second > 30]
    kept = [index for index, second in enumerate(whole.seconds) if second in set(before)]
    series = {name: [column[index] * 1e9 for index in kept] for name, column in whole.series.items()}
    broken = excerpt.Excerpt(key="k", signal=whole.signal, seconds=before, series=series, predictions=whole.predictions)

    drawn = chart.draw(broken, dict.fromkeys({found.name for found in whole.predictions}, 0), width)

    assert drawn.clipped
    for line in drawn.series:
        points = [tuple(map(float, point.split())) for point in re.split("[ML]", line.path)[1:]]
        assert line.path.count("M") == 2
        assert all(drawn.left <= x <= drawn.right and drawn.top <= y <= drawn.bottom for x, y in points)
    assert [run.name for run in drawn.runs] == ["Walking", "Stairs", "Standing", "Sitting"]


def test_chart_cells_do_not_reach_into_one_another_or_across_a_silence() -> None:
    found = [excerpt.Predicted(second, "Walking", None) for second in (5.0, 6.0, 7.0, 30.0, 31.0)]
    silent = excerpt.Excerpt(key="k", signal=minute().signal, seconds=[], series={}, predictions=found)

    drawn = chart.draw(silent, {"Walking": 0}, 760)

    second = (drawn.right - drawn.left) / 60
    assert all(cell.width == pytest.approx(second, abs=0.2) for cell in drawn.cells)
    assert [(run.first_s, run.last_s) for run in drawn.runs] == [(4.0, 7.0), (29.0, 31.0)]
    assert not drawn.probability


PREDICTED = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 200), st.sampled_from("abcd")),
    max_size=60,
    unique_by=lambda row: row[:2],
)


@given(PREDICTED, st.randoms(use_true_random=False))
def test_chosen_minute_has_the_most_classes_and_ignores_order(rows: list[Any], random: Random) -> None:
    table = predictions(*[(key, second * 1000, name, 0.5) for key, second, name in rows])
    shuffled = rows.copy()
    random.shuffle(shuffled)

    chosen = excerpt.choose(table, ACTIVITY)

    assert chosen == excerpt.choose(
        predictions(*[(key, second * 1000, name, 0.5) for key, second, name in shuffled]), ACTIVITY
    )
    within = {
        (key, start): {name for other, second, name in rows if other == key and start <= second <= start + 60}
        for key, start, _ in rows
    }
    if not rows:
        assert chosen is None
    else:
        assert chosen is not None
        assert len(within[chosen[0], chosen[1] // 1000]) == max(map(len, within.values()))


def test_minute_begins_with_the_events_of_its_first_prediction(tmp_path: Path) -> None:
    times = [index * 50 for index in range(400)]
    events = pa.table({"userId": [7] * 400, "timestamp": times, "x": times, "y": times, "z": times})
    other = events.set_column(0, "userId", pa.array([8] * 400))
    pq.write_table(pa.concat_tables([other, events]), tmp_path / "part.parquet")

    found = excerpt.take(predictions((7, 6_000, "Walking", 0.9), (7, 7_000, "Sitting", 0.8)), tmp_path, ACTIVITY)

    assert found is not None
    assert found.key == "userId 7"
    assert (found.seconds[0], found.series["x"][0]) == (0.0, 1_000)
    assert found.predictions == [(5.0, "Walking", 0.9), (6.0, "Sitting", 0.8)]


def test_comparison_counts_each_kind_of_difference() -> None:
    batch = predictions((1, 1, "a", 0.5), (1, 2, "a", 0.5), (1, 3, "a", 0.5), (1, 4, "a", 0.5))
    stream = predictions(
        (1, 1, "a", 0.5 + 1e-10), (1, 2, "b", 0.5), (1, 3, "a", 0.5 + 1e-8), (1, 5, "a", 0.5), (1, 5, "a", 0.5)
    )

    found = comparison.compare(stream, batch, IDENTITY)

    assert found == Comparison(equal=1, missing=1, added=1, different=2, repeated=1)
    assert not found.holds


def test_comparison_holds_for_equal_sets_in_another_order_and_not_for_empty_ones() -> None:
    rows = [(1, 1, "a", 0.5), (2, 1, "b", 0.25)]

    assert comparison.compare(predictions(*rows), predictions(*reversed(rows)), IDENTITY).holds
    assert not comparison.compare(predictions(), predictions(), IDENTITY).holds


def test_read_takes_the_files_of_several_folders(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"pred_batch_{number}").mkdir()
        table = predictions((1, number, "a", 0.5))
        pq.write_table(table, tmp_path / f"pred_batch_{number}" / "shard-0.parquet")

    found = comparison.read(tmp_path.glob("pred_batch_*/*.parquet"), PREDICTION)

    assert found.column("timestamp").to_pylist() == [0, 1]
    assert comparison.read([], PREDICTION).num_rows == 0
