"""What is said on stderr: lines, plain or as JSON, and the progress of long steps, a bar on a terminal."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

_BAR_WIDTH = 28
_LINE_INTERVAL_S = 5.0
_BAR_INTERVAL_S = 0.1


_context: dict[str, Any] = dict.fromkeys(("job", "application", "batch", "model_version"))
_json = False


def configure(log_format: str, **context: object) -> None:
    """Choose ``plain`` lines or ``json``, and say what all lines to come are about."""
    global _json  # noqa: PLW0603  # stderr is one, too
    _json = log_format == "json"
    _context.update(dict.fromkeys(_context), **context)


def note(**context: object) -> None:
    """Say what lines to come are about, such as the micro-batch; only JSON shows it."""
    _context.update(context)


def say(text: str, stream: TextIO | None = None, level: str = "info") -> None:
    """Print one line: to ``stream`` as it is, to stderr as the log's format asks."""
    print(_entry(text, level) if stream is None and _json else text, file=stream or sys.stderr, flush=True)


def _entry(text: str, level: str) -> str:
    time_ms = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time_ms, "level": level, **_context, "message": text})


class Progress:
    """Counts units of one step and shows how far it is.

    ``total`` may be None where nobody knows it; then the rate is shown instead of the time left.
    """

    def __init__(self, label: str, total: int | None, unit: str = "rows", stream: TextIO | None = None) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty() and not _json
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
            say(self.text(), None if self._stream is sys.stderr else self._stream)
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
