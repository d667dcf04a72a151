"""The pages of the guide, taken apart: sections, tables, what stands in backticks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.homes import REPOSITORY

GUIDE = REPOSITORY / "docs" / "guide"
DECISIONS = sorted((REPOSITORY / "docs" / "adr").glob("0*.md"))


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    text = read(GUIDE / page)
    found = re.search(rf"(?ms)^#+ {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", text)
    assert found, f"{page} has no section {heading}"
    return found.group(1)


def table(text: str, head: str) -> list[list[str]]:
    """Cells of the rows of the table whose first column is headed so."""
    blocks = re.findall(r"(?m)(?:^\|.*\|$\n?)+", text)
    (found,) = [block for block in blocks if block.startswith(f"| {head} |")]
    lines = found.strip().splitlines()[2:]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def written_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown of a table that :func:`table` reads."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def quoted(cells: list[list[str]]) -> list[str]:
    """What stands in backticks in the first column, in order."""
    return [name for row in cells for name in re.findall(r"`([^`]+)`", row[0])]


def stages(name: str, functions: dict[str, ast.FunctionDef]) -> Iterator[str]:
    """Names of the stages in the list that a function returns, those of functions that it calls in their place."""
    lists = [each for each in ast.walk(functions[name]) if isinstance(each, ast.List)]
    for call in max(lists, key=lambda each: len(ast.unparse(each))).elts:
        called = ast.unparse(call).removeprefix("*").partition("(")[0]
        if called in functions:
            yield from stages(called, functions)
        else:
            yield called
