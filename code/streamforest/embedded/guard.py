"""A process that must not outlive the one that started it, however that one ends."""

from __future__ import annotations

import subprocess

_SCRIPT = """
cat >/dev/null
kill -TERM "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; kill -0 "$1" 2>/dev/null || exit 0; done
kill -KILL "$1"
"""


class Guard:
    """A shell that reads a pipe whose other end only this process holds: when the pipe closes, it ends ``pid``."""

    def __init__(self, pid: int) -> None:
        # Its output goes nowhere, so that nobody who reads ours waits for the guard to end.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "guard", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """To be called when the process has ended."""
        self._shell.kill()
        if self._shell.stdin:
            self._shell.stdin.close()
        self._shell.wait()
