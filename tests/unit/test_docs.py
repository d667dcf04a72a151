"""The pages hold together: links, names, commands and examples, decisions."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import parser as bench_parser
from streamforest import application as contract
from streamforest import cli
from streamforest.embedded import backup, data, demo, evidence, model, replay
from tests.demo_reports import demo_report
from tests.guide import DECISIONS, GUIDE, named, read, table
from tests.homes import REPOSITORY

ACTIVITY = contract.load("activity", ["streamforest.applications"])
FOLDERS = ("bench", "data", "model", "predictions")
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted(REPOSITORY / folder / "README.md" for folder in FOLDERS if (REPOSITORY / folder / "README.md").exists()),
]


def blocks(language: str) -> list[Any]:
    """Fenced blocks of all pages, with the page and the line as their ids."""
    found = []
    for page in PAGES:
        text = read(page)
        for block in re.finditer(rf"(?ms)^```{language}\n(.*?)^```", text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(pytest.param(block.group(1), id=f"{named(page)}:{line}"))
    return found


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", read(page))
    broken = []

    for link in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        anchors = re.findall(r"(?m)^#+ (.*)$", read(target)) if target.suffix == ".md" else []
        if not target.exists() or (anchor and anchor not in map(slug, anchors)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_a_page_names_exists(page: Path) -> None:
    text = read(page)
    scripts = [REPOSITORY / "control_env.sh", *sorted((REPOSITORY / "docker").glob("*.sh"))]
    shell = "".join(map(read, scripts))
    verbs = [verb.replace("_", "-") for verb in re.findall(r"(?m)^cmd_([a-z_]+)\(\)", shell)]

    paths = re.findall(r"`((?:code|tests|docs|requirements)/[\w./-]+)`", text)
    objects = re.findall(r"`(streamforest(?:\.\w+)+)`", text)

    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    assert [name for name in objects if not resolves(name)] == []
    assert [verb for verb in re.findall(r"\./control_env\.sh ([a-z-]+)", text) if verb not in verbs] == []


def resolves(name: str) -> bool:
    """True for a module, or something in one."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        return module != "" and hasattr(importlib.import_module(module), attribute)
    return True


def test_the_readme_lists_the_verbs() -> None:
    helped = subprocess.run(["./control_env.sh", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    expected = re.findall(r"(?m)^  (\S.*?)  +(\S.*)$", helped.stdout)

    found = table(read(REPOSITORY / "README.md"), "verb")

    assert [(verb.strip("`"), meaning) for verb, meaning in found] == expected


def test_the_readme_shows_the_table_of_evidence(tmp_path: Path) -> None:
    (shown,) = re.findall(r"(?ms)^```text\n(streamforest demo.*?)^```", read(REPOSITORY / "README.md"))
    rows = evidence.rows(demo_report(tmp_path, synthetic=False))
    groups = {row.group: [each.name for each in rows if each.group == row.group] for row in rows}
    expected = [name for group, names in groups.items() for name in (group, *names)]

    found = [line.strip().split("  ")[0] for line in shown.splitlines()[1:] if line]

    assert found == expected
    steps = demo._OTHER_STEPS + 2 * len(ACTIVITY.pipelines)
    assert f"`[1/{steps}]` to `[{steps}/{steps}]`" in read(GUIDE / "getting-started.md")


@pytest.mark.parametrize("block", blocks("bash"))
def test_commands_can_be_typed(block: str) -> None:
    parsers = {"job": cli.parser(), "bench": bench_parser(), "demo": demo._parser(), "data": data._parser()}
    parsers |= {"model": model._parser(), "replay": replay._parser(), "restore": backup._restore_parser()}
    parsers |= {"backup": backup._parser("backup", "")}
    targets = re.findall(r"(?m)^([a-z-]+):", read(REPOSITORY / "Makefile"))

    for line in block.replace("\\\n", "").splitlines():
        words = shlex.split(line.split(" | ")[0], comments=True)
        is_synopsis = any(word.startswith("[") for word in words)
        if words[:1] == ["./control_env.sh"] and words[1] in parsers and not is_synopsis:
            parsers[words[1]].parse_args(words[2:])
        elif words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= set(targets)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles_and_finds_its_imports(block: str) -> None:
    tree = ast.parse(block)

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(resolves(name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert all(resolves(f"{node.module}.{name.name}") for name in node.names)


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_has_its_five_parts_on_one_screen(page: Path) -> None:
    text = read(page)

    headings = re.findall(r"(?m)^## (.*)$", text)

    assert headings == ["Status", "Context", "Decision", "Consequences", "What would change our mind"]
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert text.count("\n") < 60


def test_every_page_is_listed() -> None:
    index = read(REPOSITORY / "docs" / "README.md")
    decisions = re.findall(r"\| (\d+) \| \[(.*)\]\((.*)\) \|", read(DECISIONS[0].parent / "README.md"))

    titles = [read(page).partition("\n")[0] for page in DECISIONS]

    assert [f"# {number}. {title}" for number, title, _ in decisions] == titles
    assert [name for _, _, name in decisions] == [page.name for page in DECISIONS]
    assert [int(number) for number, _, _ in decisions] == list(range(1, len(DECISIONS) + 1))
    assert {page.name for page in GUIDE.glob("*.md")} == set(re.findall(r"\(guide/([\w-]+\.md)\)", index))
