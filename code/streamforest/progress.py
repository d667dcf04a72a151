"""Progress of long steps on stderr: a bar with rows and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_BAR_WIDTH = 28
_LINE_INTERVAL_S = 5.0
_BAR_INTERVAL_S = 0.1


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one plain line to stderr."""
    print(text, file=stream or sys.stderr, flush=True)


class Progress:
    """Counts units of one step and shows how far it is.

    ``total`` may be None where nobody knows it; then the rate is shown instead of the time left.
    """

    def __init__(self, label: str, total: int | None, unit: str = "rows", stream: TextIO | None = None) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._shown = self._started
        self.done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._show(last=True)

    def advance(self, count: int = 1) -> None:
        """Add ``count`` units and redraw when it is time."""
        self.to(self.done + count)

    def to(self, done: int) -> None:
        """Set the count of units and redraw when it is time."""
        self.done = done
        interval_s = _BAR_INTERVAL_S if self._terminal else _LINE_INTERVAL_S
        if time.monotonic() - self._shown >= interval_s:
            self._show()

    def _show(self, last: bool = False) -> None:
        self._shown = time.monotonic()
        if not self._terminal:
            print(self.text(), file=self._stream, flush=True)
            return
        print(f"\r\x1b[2K{self.text()}", end="\n" if last else "", file=self._stream, flush=True)

    def text(self) -> str:
        """The line as it stands now, without control characters."""
        elapsed_s = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / elapsed_s
        counted = f"{self._label}: {self.done:,}"
        if not self._total:
            return f"{counted} {self._unit}, {rate:,.0f} {self._unit}/s"
        share = min(self.done / self._total, 1.0)
        filled = round(share * _BAR_WIDTH)
        bar = f" [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}]" if self._terminal else ""
        left = (
            f"{(self._total - self.done) / rate:,.0f} s left" if 0 < self.done < self._total else f"{elapsed_s:.1f} s"
        )
        return f"{counted} of {self._total:,} {self._unit} ({share:.0%}){bar} {left}"
