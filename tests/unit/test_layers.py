"""Imports point down only; one module builds sessions, one reads the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import REPOSITORY

CODE = REPOSITORY / "code" / "streamforest"
LAYERS = {
    "errors": 0,
    "progress": 0,
    "failures": 0,
    "kafka": 0,
    "settings": 0,
    "files": 0,
    "java": 1,
    "jars": 1,
    "session": 1,
    "synthetic": 1,
    "application": 1,
    "ml": 2,
    "streaming": 3,
    "model": 2,
    "store": 2,
    "applications": 4,
    "jobs": 5,
    "cli": 6,
    "web": 7,
    "embedded": 8,
    "platform": 8,
}
"""A module may import from its own layer and those below. Jobs take applications as arguments and import none."""


def modules() -> list[Path]:
    return sorted(path for path in CODE.rglob("*.py") if path.parent != CODE or path.name != "__init__.py")


def imported(path: Path) -> Iterator[str]:
    """First names below ``streamforest`` that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "streamforest":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamforest."):
            yield (node.module or "").split(".")[1]


def part(path: Path) -> str:
    return path.relative_to(CODE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CODE)))
def test_imports_point_down(path: Path) -> None:
    own = part(path)

    upwards = [name for name in imported(path) if LAYERS.get(name, 0) > LAYERS[own]]

    assert upwards == []


def test_jobs_import_no_application() -> None:
    found = [path.name for path in modules() if part(path) == "jobs" and "applications" in imported(path)]

    assert found == []


@pytest.mark.parametrize(
    ("words", "owner"),
    [("SparkSession.builder", "session.py"), ("os.environ", "settings.py")],
    ids=["Spark", "environ"],
)
def test_one_module_does_it(words: str, owner: str) -> None:
    users = {path.name for path in modules() if words in path.read_text(encoding="utf-8")}

    assert users <= {owner, "session.py"}
    assert owner in users
