import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from streamforest import jars
from streamforest.errors import BadInput, Unreachable
from streamforest.jars import Jar

CONTENT = b"a jar"
# Stands in for Java running Ivy: copies what lies in REPOSITORY to where -retrieve points, and counts its runs.
FAKE_JAVA = """#!/bin/sh
if [ "$1" = -version ]; then echo 'openjdk version "17.0.1"' >&2; exit; fi
echo run >> "{runs}"
for argument; do target=$argument; done
target=${{target%%/\\[*}}
[ -d "{repository}" ] || {{ echo "module not found: g#a;1"; exit 1; }}
sleep 0.2
mkdir -p "$target" && cp -R "{repository}/." "$target"
"""


class Machine:
    """A cache, a lock of one jar, and a Java that fetches from a folder."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.lock = folder / "cache", folder / "jars.lock"
        self.repository, self.runs = folder / "repository", folder / "runs"
        self.java_home = folder / "java"
        self.jar = Jar("g", "a", "1", hashlib.sha256(CONTENT).hexdigest(), "broker")
        folder.mkdir()
        self.lock.write_text(f"# comment\n\n{self.jar.line}\n")
        java = self.java_home / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(FAKE_JAVA.format(runs=self.runs, repository=self.repository))
        java.chmod(0o755)
        self.publish(CONTENT)

    def publish(self, content: bytes) -> None:
        path = self.repository / "g" / "a" / "1" / "a.jar"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def ensure(self) -> list[Path]:
        return jars.ensure("broker", self.cache, lock=self.lock, java_home=str(self.java_home))

    @property
    def fetches(self) -> int:
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "with space")


def test_a_missing_jar_is_fetched_once(machine: Machine) -> None:
    first = machine.ensure()
    second = machine.ensure()

    assert [path.read_bytes() for path in first] == [CONTENT]
    assert second == first
    assert machine.fetches == 1


def test_a_damaged_jar_is_fetched_anew(machine: Machine) -> None:
    (path,) = machine.ensure()
    path.write_bytes(CONTENT[:-1])

    machine.ensure()

    assert path.read_bytes() == CONTENT
    assert machine.fetches == 2


def test_a_jar_with_another_digest_is_refused_and_not_kept(machine: Machine) -> None:
    machine.publish(b"something else")

    with pytest.raises(BadInput, match=r"g_a-1\.jar arrived with sha256"):
        machine.ensure()

    assert not list(machine.cache.glob("*.jar"))


def test_a_repository_that_does_not_answer_is_named(machine: Machine) -> None:
    machine.repository.rename(machine.repository.with_name("away"))

    with pytest.raises(Unreachable, match="module not found: g#a;1"):
        machine.ensure()


def test_what_is_whole_needs_neither_network_nor_java(machine: Machine) -> None:
    machine.ensure()
    (machine.java_home / "bin" / "java").unlink()

    found = machine.ensure()

    assert [path.read_bytes() for path in found] == [CONTENT]


def test_two_processes_at_once_fetch_once(machine: Machine) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=machine.ensure) for _ in range(2)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert machine.fetches == 1
    assert [path.name for path in machine.cache.iterdir() if not path.name.startswith(".lock")] == ["g_a-1.jar"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_named(machine: Machine) -> None:
    machine.cache.mkdir()
    machine.cache.chmod(0o500)

    with pytest.raises(BadInput, match="cannot write to"):
        machine.ensure()


@pytest.mark.parametrize("line", ["g:a:1 abc broker", "g:a " + "0" * 64 + " broker", "g:a:1 " + "0" * 64 + " other"])
def test_a_line_of_another_shape_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# head\n{line}\n")

    with pytest.raises(BadInput, match=r"jars\.lock:2 is not"):
        jars.read_lock(lock)


def test_an_unknown_set_is_named(machine: Machine) -> None:
    with pytest.raises(BadInput, match="no set 'connector'"):
        jars.ensure("connector", machine.cache, lock=machine.lock)
