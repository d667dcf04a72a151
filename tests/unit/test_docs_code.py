"""The pages say what the code does: options, reports, settings, numbers, fields."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql.types import StructType

from bench.__main__ import BENCHES
from streamforest import application as contract
from streamforest import cli, errors, settings
from streamforest.applications.activity import pipelines, records
from streamforest.ml import features
from streamforest.ml.forest import Forest
from streamforest.ml.window_stream import WindowStream
from streamforest.ml.windows import WindowSpec
from streamforest.platform import checks
from streamforest.streaming.state import Manifest
from tests.drills.protections import PROTECTIONS, Edit
from tests.guide import GUIDE, quoted, read, section, stages, table
from tests.homes import REPOSITORY
from tests.platform_facts import DRILLS as PLATFORM_DRILLS
from tests.readings import SumScorer, events

DRILLS = sorted((REPOSITORY / "tests" / "drills").glob("test_*.py"))
CODE = REPOSITORY / "code" / "streamforest"
ACTIVITY = contract.load("activity", ["streamforest.applications"])
SMOOTHING_WINDOWS = ACTIVITY.pipelines[ACTIVITY.default_pipeline].serving[ACTIVITY.smoothing]
KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "bigint": (int,), "double": (int, float), "string": (str,)}


@pytest.mark.parametrize("name", cli.JOBS)
def test_options_of_a_job_are_those_of_its_parser(name: str) -> None:
    jobs = next(each for each in cli.parser()._actions if isinstance(each, argparse._SubParsersAction))
    actions = [action for action in jobs.choices[name]._actions if action.option_strings and action.dest != "help"]
    common = table(section("jobs.md", "Options of every job"), "option")

    own = table(section("jobs.md", name), "option")
    documented = {quoted([row])[0]: row[1] for row in [*common, *own]}

    assert set(documented) == {" ".join(filter(None, (each.option_strings[0], each.metavar))) for each in actions}
    for action in actions:
        if isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
            assert documented[f"{action.option_strings[0]} {action.metavar}"] == f"{action.default:g}"


@pytest.mark.parametrize("name", cli.JOBS)
def test_report_keys_of_a_job_are_those_it_returns(name: str) -> None:
    tree = ast.parse(read(CODE / "jobs" / f"{name}.py"))

    assert set(quoted(table(section("jobs.md", name), "report key"))) == set(returned(tree))


def returned(tree: ast.Module) -> Iterator[str]:
    """Keys of the reports that a job's functions return; those made for both sides of a split are spelled out."""
    makers = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.returns]
    reports = [maker for maker in makers if ast.unparse(maker.returns or maker) == "Report"]
    for found in (each.value for maker in reports for each in ast.walk(maker) if isinstance(each, ast.Return)):
        if isinstance(found, ast.Dict):
            yield from (str(key.value) for key in found.keys if isinstance(key, ast.Constant))
            keys = [each.key for each in found.values if isinstance(each, ast.DictComp)]
            prefixes = [ast.unparse(key)[2:].partition("{")[0] for key in keys if isinstance(key, ast.JoinedStr)]
            yield from (f"{prefix}{side}" for prefix in prefixes for side in ("training", "testing"))


def test_exit_codes_are_those_of_the_errors() -> None:
    kinds: list[type[errors.StreamforestError]] = [errors.StreamforestError, *errors.StreamforestError.__subclasses__()]
    codes = {row[0] for row in table(section("jobs.md", "Exit codes"), "code")}

    assert codes == {"0", "130, 143"} | {str(kind.exit_code) for kind in kinds}


def test_reasons_of_refused_records_are_the_readers() -> None:
    assert quoted(table(section("data.md", "Refused records"), "reason")) == list(records.REASONS)


def test_reasons_of_refused_messages_are_the_decoders_and_late() -> None:
    sources = [CODE / "streaming" / "decoding.py", CODE / "applications" / "activity" / "events.py"]
    decoded = [reason for path in sources for reason in re.findall(r'when\(.*, "(\w+)"\)', read(path))]
    late = advance([2000, 1000])

    expected = [*decoded, *late.refused.column("reason").to_pylist()]
    assert quoted(table(section("stream.md", "Refused messages"), "reason")) == expected


def advance(times_ms: list[int]) -> contract.Advance:
    """What comes of readings of one user at these times."""
    given = events(np.full(len(times_ms), 1), np.array(times_ms), np.zeros((len(times_ms), 3)))
    return WindowStream(SumScorer()).advance(None, given, lateness_ms=0, final=False)  # type: ignore[arg-type]


def test_settings_are_those_that_are_read() -> None:
    by_jobs = table(section("settings.md", "Read by the jobs"), "variable")
    by_pages = table(section("settings.md", "Read by the web pages"), "variable")
    by_shell = table(section("settings.md", "Read by control_env.sh"), "variable")
    shell = read(REPOSITORY / "control_env.sh")
    described = re.findall(r"(?m)^ *\| ``(\w+)`` \| (.*?) \|$", settings.load.__doc__ or "")

    assert set(quoted(by_jobs)) | set(quoted(by_pages)) == set(
        re.findall(r'environ\.get\("(\w+)"', inspect.getsource(settings))
    )
    assert set(quoted(by_shell)) == set(re.findall(r"\$\{([A-Z][A-Z_]+):-", shell))
    assert [(row[0].strip("`"), row[1].replace("`", "")) for row in by_jobs[: len(described)]] == [
        (name, re.sub(r"`| \(.*\)", "", default)) for name, default in described
    ]


def test_settings_of_the_platform_are_those_of_its_files() -> None:
    files = [REPOSITORY / "docker-compose.yml", *(REPOSITORY / "docker").glob("*.yml")]
    shell = "".join(read(path) for path in (REPOSITORY / "docker").glob("*.sh"))
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", "".join(map(read, files))))
    asked = set(re.findall(r"setting ([A-Z_]+)\b", shell))
    secrets = set(re.findall(r"(?m)^(\w+) (?:hex|hex64|fernet|word|cluster) ", shell))

    rows = table(section("platform.md", "Settings"), "setting")

    documented = set(quoted(rows))
    assert set(defaults) <= documented
    assert asked - secrets - {"SPARK_WORKER_HOST"} <= documented
    for row in rows:
        (name, *_), default = quoted([row]), row[1].strip("`")
        assert defaults.get(name, default) in (default, ""), name


def test_services_checks_and_ports_of_the_platform_are_these() -> None:
    compose = yaml.safe_load(read(REPOSITORY / "docker-compose.yml"))["services"]
    page = read(GUIDE / "platform.md")
    published = [port for row in table(page, "port") for port in row[0].split(", ")]

    assert set(quoted(table(page, "service"))) == set(compose) - {"smoke"}
    assert quoted(table(page, "check")) == list(checks.FULL)
    opened = re.findall(r"ADDRESS\}:([\d-]+):", read(REPOSITORY / "docker" / "machines.yml"))
    assert set(opened) <= set(published)


def test_settings_of_airflow_are_those_that_are_read() -> None:
    source = read(REPOSITORY / "airflow" / "dags" / "streamforest_dags" / "settings.py")
    described = re.findall(r"(?m)^ *\| ``(\w+)`` \| ``(.*?)`` \|$", source)

    rows = table(section("airflow.md", "Cores"), "variable")

    assert {name for name, _ in described} == set(re.findall(r'environ\.get\(\s*"(\w+)"', source))
    assert [(row[0].strip("`"), row[1].strip("`")) for row in rows] == described


def test_windows_gate_and_features_have_these_numbers() -> None:
    spec = {row[0].strip("`"): int(row[1]) for row in table(section("model.md", "Windows"), "of a window")}
    gate = {row[0].strip("`"): row[1].strip("`") for row in table(section("model.md", "The gate"), "field")}

    assert spec == {field.name: field.default for field in fields(WindowSpec)}
    assert gate == {field.name: str(getattr(ACTIVITY.gate, field.name)) for field in fields(contract.Gate)}
    assert f"a window with {len(features.STATISTICS)} numbers" in section("model.md", "Features")
    assert f"up to {SMOOTHING_WINDOWS} in all" in section("model.md", "Smoothing")


@pytest.mark.parametrize("name", ACTIVITY.pipelines)
def test_stages_are_those_of_the_pipeline(name: str) -> None:
    tree = ast.parse(inspect.getsource(pipelines))
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}

    assert re.findall(r"(?m)^\d+\. `(\w+)`", section("model.md", name)) == list(stages(name, functions))


PARTS: list[type] = [contract.Application, contract.Inputs, contract.Schemas, contract.Topics, contract.Split]
PARTS += [contract.PipelineDefinition, contract.Prediction, contract.Answering, contract.Gate, contract.Signal]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_the_contract_is_described_field_by_field(part: type) -> None:
    page = section("adding-an-application.md", part.__name__)

    assert quoted(table(page, "field")) == [field.name for field in fields(part)]


def test_topics_and_messages_are_the_applications() -> None:
    topics = ACTIVITY.topics
    event, prediction = (json.loads(text) for text in re.findall(r"(?s)```json\n(.*?)```", read(GUIDE / "stream.md")))

    described = table(section("stream.md", "Topics"), "topic")

    assert [row[0].strip("`") for row in described] == [topics.events, topics.predictions, topics.invalid]
    assert f"with {topics.partitions} partitions each" in section("stream.md", "Topics")
    assert_fits(event, ACTIVITY.schemas.event)
    assert_fits(prediction, ACTIVITY.schemas.prediction)
    assert f"`{prediction['userId']}:{prediction['timestamp']}`" in described[1][2]


def assert_fits(message: dict[str, Any], schema: StructType) -> None:
    assert list(message) == schema.names
    for field in schema.fields:
        assert isinstance(message[field.name], KINDS[field.dataType.simpleString()])


def test_what_a_stream_remembers_has_these_columns() -> None:
    found = advance([0, 50, 100])
    page = section("stream.md", "How it is kept")

    with pa.ipc.open_file(pa.BufferReader(found.state)) as reader:
        assert quoted(table(page, "column")) == reader.schema.names
    assert quoted(table(page, "field")) == [field.name for field in fields(Manifest)]
    assert isinstance(ACTIVITY.predict, contract.Prediction)
    assert f"one of {ACTIVITY.predict.shards} shards" in page
    sent = re.findall(r'"key": "(\w+)"', read(CODE / "streaming" / "shard.py"))
    assert quoted(table(section("stream.md", "Messages"), "header")) == sent


def test_lines_to_look_up_are_lines_of_the_code() -> None:
    sources = [*CODE.rglob("*.py"), REPOSITORY / "control_env.sh"]
    code = "".join(read(path) for path in sources)

    lines = quoted(table(section("getting-started.md", "When something goes wrong"), "the line says"))

    assert [line for line in lines if line not in code] == []


def test_the_drills_are_these_and_all_of_them_held() -> None:
    page = read(REPOSITORY / "docs" / "drills.md")
    tests = [name for path in DRILLS for name in re.findall(r"(?m)^def (test_\w+)", read(path))]

    rows = table(page, "drill")

    assert rows
    assert {row[0].partition("[")[0] for row in rows} <= set(tests)
    assert {row[-1] for row in rows} == {"yes"}
    assert {row[4] for row in rows} == {row[5] for row in rows} == {row[6] for row in rows} == {"0"}


def test_the_drills_of_the_platform_are_those_of_the_verb() -> None:
    (verb,) = re.findall(r'(?m)^readonly DRILLS="(.*)"$', read(REPOSITORY / "docker" / "drill.sh"))
    tried = [name for names, _ in PLATFORM_DRILLS for name in names.split()]

    shown = quoted(table(read(REPOSITORY / "docs" / "operations.md"), "drill"))

    assert shown == verb.split()
    assert sorted(tried) == sorted(verb.split())


def test_every_drill_names_its_protection() -> None:
    undocumented = [
        each.name
        for path in DRILLS
        for each in ast.parse(read(path)).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
        if not (ast.get_docstring(each) or "").startswith("Protection: ")
    ]

    assert undocumented == []


def test_every_drill_was_seen_to_fail_without_its_protection() -> None:
    page = read(REPOSITORY / "docs" / "protections.md")
    drills = {name for path in DRILLS for name in re.findall(r"(?m)^def (test_\w+)", read(path))}

    rows = table(page, "drill")

    assert [row[:2] for row in rows] == [[f"`{each.name}`", each.without] for each in PROTECTIONS]
    assert all(row[2] for row in rows)
    assert drills <= {each.test for each in PROTECTIONS}


@pytest.mark.parametrize("edit", [edit for each in PROTECTIONS for edit in each.edits])
def test_a_protection_that_can_be_taken_away_is_there_once(edit: Edit) -> None:
    assert read(REPOSITORY / edit.path).count(edit.text) == 1


def test_the_benchmarks_are_these() -> None:
    assert quoted(table(section("development.md", "Benchmarks"), "name")) == list(BENCHES)


def test_a_model_predicts_without_spark_as_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"(?ms)^```python\n(.*?)^```", section("model.md", "A model in your own code"))
    (example,) = [block for block in examples if "WindowStream" in block]
    publish_tiny_model(tmp_path / "model" / "trained_pipeline")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}

    exec(compile(example, "model.md", "exec"), namespace)  # noqa: S102  # the page's own text

    assert namespace["predictions"].num_rows == 6
    assert set(namespace["predictions"].column("action").to_pylist()) <= {"Sitting", "Walking"}


def publish_tiny_model(folder: Path) -> None:
    """What the stream needs of a model: one tree that looks at the first feature."""
    leaf = {"featureIndex": -1, "leftCategoriesOrThreshold": [], "numCategories": -1}
    split = {"featureIndex": 0, "leftCategoriesOrThreshold": [0.5], "numCategories": -1}
    nodes = [(0, 1, 2, [5.0, 5.0], split), (1, -1, -1, [4.0, 1.0], leaf), (2, -1, -1, [1.0, 4.0], leaf)]
    tree = [
        {"id": number, "impurityStats": counts, "leftChild": left, "rightChild": right, "split": each}
        for number, left, right, counts, each in nodes
    ]
    (folder / "stage" / "data").mkdir(parents=True)
    pq.write_table(pa.table({"treeID": [0] * len(tree), "nodeData": tree}), folder / "stage" / "data" / "part.parquet")
    description = {
        "version": "1",
        "classes": ["Sitting", "Walking"],
        "limit": 20.0,
        "spec": {field.name: field.default for field in fields(WindowSpec)},
        "smoothing_windows": SMOOTHING_WINDOWS,
        "features": "statistics",
        "affine": [],
    }
    (folder / "serving").mkdir()
    (folder / "serving" / "model.json").write_text(json.dumps(description))
    forest = Forest.from_spark(folder / "stage", len(features.STATISTICS))
    (folder / "serving" / "forest.treelite").write_bytes(forest.to_bytes())
