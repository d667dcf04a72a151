"""Plain tables for people, on stdout."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | int | float | None


def render(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Lines of equal columns: the first column to the left, the others to the right.

    Integers get thousands separators, floats three digits after the point, None a dash.

    Raises:
        ValueError: a row has another number of cells than ``headers``.
    """
    texts = [list(headers), *([_text(cell) for cell in row] for row in rows)]
    if any(len(row) != len(headers) for row in texts):
        raise ValueError(f"a row has not {len(headers)} cells")
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    lines = [_line(row, widths) for row in texts]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a titled table."""
    print(f"\n{title}\n{render(headers, rows)}", flush=True)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        text.ljust(width) if column == 0 else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.3f}" if isinstance(cell, float) else cell
