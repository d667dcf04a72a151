"""What this machine has of what the jobs need, each missing thing with the command that brings it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from streamforest import jars, java, settings
from streamforest.errors import StreamforestError
from streamforest.files import require_writable
from streamforest.kafka import Kafka, Role
from streamforest.settings import Settings
from streamforest.streaming import topics

BASE_LOCK = settings.REPOSITORY / "requirements" / "base.lock"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FIT_PYTHONS = ((3, 11), (3, 12), (3, 13))
# Spark's driver takes 2 GB by default, the broker 256 MB, Python's workers and MLflow the rest.
_NEEDED_MEMORY_MB = 4000
_ANSWER_LIMIT_S = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``cure`` is empty where all is well; ``needed`` is False for an extra."""

    what: str
    found: str
    cure: str = ""
    needed: bool = True

    @property
    def verdict(self) -> str:
        """``ok``, ``MISSING``, or ``absent`` for an extra that is not there."""
        if not self.cure:
            return "ok"
        return "MISSING" if self.needed else "absent"

    @property
    def row(self) -> str:
        """The line of the table, in the columns that ./control_env.sh doctor prints."""
        return f"{self.verdict:<8}{self.what:<12}{'; '.join(text for text in (self.found, self.cure) if text)}"


def examine(given: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which a run would meet them; nothing is changed and nothing downloaded."""
    yield python(sys.version_info[:2])
    yield packages(BASE_LOCK)
    yield java_runtime(given.java_home)
    yield memory()
    yield jar_files(given.jars)
    yield writable(given.home)
    if given.bootstrap_servers:
        yield kafka(given.kafka(next(iter(given.kafka_passwords), Role.ADMIN)))
    yield browser()


def python(version: tuple[int, ...]) -> Finding:
    """Whether this Python is one that the lock files are made for."""
    fit = version in _FIT_PYTHONS
    return Finding("python", f"{platform.python_version()}", "" if fit else "set up again with Python 3.11 to 3.13")


def packages(lock: Path) -> Finding:
    """Whether each package of a lock file is installed here in the locked version."""
    pins = [pin for pin in read_pins(lock) if pin.marker is None or pin.marker.evaluate()]
    wrong = sorted(pin.name for pin in pins if not _installed(pin))
    cure = f"set up again: rm -rf .venv && ./control_env.sh setup (wrong: {', '.join(wrong[:5])})" if wrong else ""
    return Finding("packages", f"{len(pins) - len(wrong)} of {len(pins)} as locked", cure)


def read_pins(lock: Path) -> list[Requirement]:
    """The ``name==version ; marker`` entries of a lock file, without their hashes."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [Requirement(line.rstrip("\\ ")) for line in lines if line and line[0].isalnum()]


def java_runtime(java_home: str | None) -> Finding:
    """Whether Java is there in a version that Spark and Kafka support."""
    try:
        found = java.require(java_home)
    except StreamforestError as error:
        problem, _, cure = str(error).partition("; ")
        return Finding("java", problem, cure)
    return Finding("java", f"{found.path} ({found.major})")


def memory() -> Finding:
    """Whether the machine has the memory that Spark, Kafka and Python take together."""
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    cure = "" if total_mb >= _NEEDED_MEMORY_MB else f"give the machine {_NEEDED_MEMORY_MB} MB"
    return Finding("memory", f"{total_mb} MB", cure)


def jar_files(cache: Path) -> Finding:
    """Whether every locked jar lies in ``cache`` with its sha256."""
    try:
        locked = jars.read_lock()
    except StreamforestError as error:
        return Finding("jars", str(error), "restore jars.lock from the repository")
    intact = sum(jar.intact(cache) for jar in locked)
    cure = "" if intact == len(locked) else "they are fetched at the next use"
    return Finding("jars", f"{intact} of {len(locked)} with their sha256 in {cache}", cure, needed=False)


def writable(home: Path) -> Finding:
    """Whether the jobs can write below ``home``."""
    try:
        for name in ("data", "model", "predictions"):
            require_writable(home / name)
    except StreamforestError as error:
        problem, _, cure = str(error).partition("; ")
        return Finding("home", problem, cure)
    return Finding("home", f"{home} is writable")


def kafka(found: Kafka) -> Finding:
    """Whether the Kafka that the settings name answers."""
    try:
        topics.reachable(found, _ANSWER_LIMIT_S)
    except StreamforestError as error:
        problem, _, cure = str(error).partition("; ")
        return Finding("kafka", problem, cure)
    return Finding("kafka", f"{found} answers")


def browser() -> Finding:
    """Whether Chromium is there, in which a test looks at the report."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return Finding("chromium", found)
    return Finding("chromium", "not in PATH", "only the test of the report needs it: apt-get install chromium", False)


def main() -> int:
    """Print the table; 0 where nothing that is needed is missing, else 69."""
    try:
        findings = list(examine(settings.load()))
    except StreamforestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for finding in findings:
        print(finding.row)
    return 69 if any(finding.verdict == "MISSING" for finding in findings) else 0


def _installed(pin: Requirement) -> bool:
    try:
        return pin.specifier.contains(metadata.version(pin.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
