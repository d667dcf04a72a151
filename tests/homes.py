"""Homes for tests: folders with raw files, and the command line run over them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RECORDINGS = REPOSITORY.parent / "shared" / "data" / "wisdm51"
"""Real recordings, where a machine has them."""

HISTORY, LIVE = "WISDM_at_v2.0_raw.txt", "WISDM_at_v2.0_unlabeled_raw.txt"


def environment(**changes: str) -> dict[str, str]:
    """The environment of a job run from a test: this interpreter, small JVM, tests' applications found too."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "code"), str(REPOSITORY)]),
        "STREAMFOREST_SPARK_MASTER": "local[2]",
        "STREAMFOREST_APPLICATIONS": "streamforest.applications,tests.applications",
        **changes,
    }


def job(*arguments: str, home: Path, limit_s: float = 300, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a job as a user does."""
    command = [sys.executable, str(REPOSITORY / "code" / "main.py"), *arguments, "--home", str(home)]
    return subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=limit_s, check=False
    )


def report(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The report of a job that went well."""
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def copy_checkout(target: Path) -> None:
    """Copy what git knows of this checkout, and what it would take on, as it is now."""
    listed = ["git", "-C", str(REPOSITORY), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True, timeout=120).stdout.split("\0")
    for name in filter(None, names):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


def snapshot(home: Path) -> dict[str, bytes]:
    """All files below a home with their contents, locks left out."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }
