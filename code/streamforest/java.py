"""The Java that Spark and the broker run on: where it is and which major version it has."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from streamforest.errors import BadInput

FIT_MAJORS = (17, 21)
_ANSWER_LIMIT_S = 20
_CURE = "install Java 17 or 21 and put it on PATH, or point JAVA_HOME at it"


@dataclass(frozen=True)
class Java:
    """One ``java`` command and the major version that it reports."""

    path: Path
    major: int


def find(java_home: str | None) -> Java:
    """The Java below ``java_home``, else the first one on PATH, whatever its version.

    Raises:
        BadInput: there is none, or it does not say its version.
    """
    command = shutil.which("java", path=f"{java_home}/bin") if java_home else shutil.which("java")
    if command is None:
        raise BadInput(f"no java in {f'JAVA_HOME={java_home}' if java_home else 'PATH'}", _CURE)
    try:
        answer = subprocess.run(
            [command, "-version"], capture_output=True, text=True, timeout=_ANSWER_LIMIT_S, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"{command} does not run ({error})", _CURE) from None
    return Java(Path(command), _major(command, answer))


def require(java_home: str | None) -> Java:
    """Like :func:`find`, and of a version that Spark and Kafka both support.

    Raises:
        BadInput: there is none, or its version is another one.
    """
    java = find(java_home)
    if java.major not in FIT_MAJORS:
        raise BadInput(f"{java.path} is Java {java.major}, which is unfit", _CURE)
    return java


def _major(command: str, answer: str) -> int:
    # Java 8 and older call themselves 1.8; every later one begins with its major version.
    matched = re.search(r'version "(?:1\.)?(\d+)', answer)
    if matched is None:
        raise BadInput(f"{command} does not say its version", _CURE)
    return int(matched.group(1))
