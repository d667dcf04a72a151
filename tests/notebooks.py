"""The notebook, executed as a user does: every cell, in the project's own environment.

``python -m tests.notebooks`` runs it on the home of the settings and keeps its figures in the file.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from streamforest import settings
from tests.homes import REPOSITORY, environment

NOTEBOOK = REPOSITORY / "notebook" / "eda.ipynb"
CELL_LIMIT_S = 300


def execute(home: Path, **changes: str) -> nbformat.NotebookNode:
    """The notebook with what its cells gave for a home.

    Raises:
        CellExecutionError: a cell failed, or took longer than the limit.
    """
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=CELL_LIMIT_S, kernel_name="python3")
    client.execute(env=environment(STREAMFOREST_HOME=str(home), **changes), cwd=str(NOTEBOOK.parent))
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    """Everything that cells printed or showed as text."""
    texts = []
    for output in outputs(notebook):
        texts.append(output.get("text", ""))
        texts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


def figures(notebook: nbformat.NotebookNode) -> list[str]:
    """PNG figures in base64, in order."""
    found = [output.get("data", {}).get("image/png") for output in outputs(notebook)]
    return [figure for figure in found if figure]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def keep(notebook: nbformat.NotebookNode) -> None:
    """Write the executed notebook in its place, without what Java says on stderr and without times of execution."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    given = settings.load()
    keep(execute(given.home, STREAMFOREST_SPARK_MASTER=given.spark_master))
