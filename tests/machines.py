"""Machines that lack something: a PATH with chosen commands, and a copy of the door with the files that it reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["awk", "bash", "cat", "cmp", "cp", "cut", "df", "dirname", "env", "mv", "readlink", "rm", "sed", "sha256sum"]
PLATFORM_TOOLS = ["base64", "chmod", "chown", "find", "grep", "head", "id"]
PLATFORM_TOOLS += ["mkdir", "od", "sleep", "sort", "stat", "tail", "tr"]
# A Python of a given version: enough of one for the script to judge it.
FAKE_PYTHON = """#!/bin/sh
case "$2" in
  *ensurepip*) {fit} ;;
  *python_version*) echo {version} ;;
  *fcntl*) ;;
  *) echo "$@" >> "{calls}"; exit 1 ;;
esac
"""


class Machine:
    """A checkout in a folder with a space in its name, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.calls = folder / "the checkout", folder / "bin", folder / "calls"
        self.bin.mkdir()
        for name in [*TOOLS, *PLATFORM_TOOLS]:
            if found := shutil.which(name):
                (self.bin / name).symlink_to(found)
        self.root.mkdir()
        shutil.copy(ROOT / "control_env.sh", self.root)
        shutil.copy(ROOT / "jars.lock", self.root)
        for name in ("requirements", "docker"):
            shutil.copytree(ROOT / name, self.root / name)

    def add(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def add_java(self, version: str) -> None:
        self.add("java", f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")

    def add_python(self, name: str, version: str, *, fit: bool) -> None:
        answer = f'echo "{self.bin / name}"' if fit else "exit 1"
        self.add(name, FAKE_PYTHON.format(fit=answer, version=version, calls=self.calls))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.root), **variables}
        script = str(self.root / "control_env.sh")
        return subprocess.run(
            [str(self.bin / "bash"), script, *arguments],
            env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def set_up_files(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.name in {".venv", ".uv"})
