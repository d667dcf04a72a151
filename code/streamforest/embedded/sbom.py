"""A bill of materials in CycloneDX' format, from the lock files: ``python -m streamforest.embedded.sbom``.

What is locked is what is installed, so the locks are read and not the environment of the moment.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from streamforest import cli
from streamforest.errors import BadInput
from streamforest.progress import say
from streamforest.settings import REPOSITORY

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main(argv: Sequence[str]) -> int:
    """Print the bill of the lock files that are named (default: base.lock and jars.lock); returns the exit code."""

    def command() -> None:
        locks = [Path(name) for name in argv] or [REPOSITORY / "requirements" / "base.lock", REPOSITORY / "jars.lock"]
        say(json.dumps(bill(locks), indent=1), sys.stdout)

    return cli.outcome(command, argv)


def bill(locks: Sequence[Path]) -> dict[str, Any]:
    """The bill of all that the locks hold, each name and version once, sorted.

    Raises:
        BadInput: a lock cannot be read or pins nothing.
    """
    found: dict[str, dict[str, Any]] = {}
    for lock in locks:
        try:
            text = lock.read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{lock} cannot be read ({error.strerror})", "give a lock file") from None
        components = list(_jars(text) if lock.name == "jars.lock" else _packages(text))
        if not components:
            raise BadInput(f"{lock} pins nothing", "give a lock file")
        found |= {component["purl"]: component for component in components}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "streamforest"}},
        "components": [found[purl] for purl in sorted(found)],
    }


def _packages(text: str) -> Iterator[dict[str, Any]]:
    for entry in re.split(r"\n(?=\S)", text):
        if pin := _PIN.match(entry):
            name, version = re.sub(r"[-_.]+", "-", pin.group(1)).lower(), pin.group(2)
            yield _component(name, version, f"pkg:pypi/{name}@{version}", _HASH.findall(entry))


def _jars(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, *_ = line.split()
            group, artifact, version = coordinates.split(":")[:3]
            yield _component(artifact, version, f"pkg:maven/{group}/{artifact}@{version}", [sha256]) | {"group": group}


def _component(name: str, version: str, purl: str, hashes: Sequence[str]) -> dict[str, Any]:
    sums = [{"alg": "SHA-256", "content": content} for content in hashes]
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": sums}


if __name__ == "__main__":
    # Whoever reads may have enough, as `head` has: then this ends without a word, like any filter.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
