"""Jars by name, version and sha256: what ``jars.lock`` lists, fetched once into a cache and checked at every use.

They come through Ivy, the resolver that PySpark ships, from the repository that Ivy knows by default.
Fetching asks for the locked files alone and reads no dependency metadata; ``lock`` follows the dependencies.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from streamforest import java, settings
from streamforest.errors import BadInput, StreamforestError, Unreachable
from streamforest.files import file_sha256, write_text
from streamforest.progress import Progress, say

LOCK_FILE = settings.REPOSITORY / "jars.lock"
CONNECTOR, BROKER = "connector", "broker"
SETS = (CONNECTOR, BROKER)
_PATTERN = "[organisation]/[module]/[revision]/[artifact].[ext]"

# What somebody chose. The connector's other dependencies lie in PySpark's own folder of jars; Spark 4.2.0 asks for a
# token provider of its own version, which was never published, so the newest that was stands in for it.
_CHOSEN = {
    CONNECTOR: (
        "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
        "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0",
        "org.apache.kafka:kafka-clients:3.9.2",
        "org.apache.commons:commons-pool2:2.13.1",
    ),
    # The broker logs through slf4j 1.7 and brings nothing that writes the lines down.
    BROKER: ("org.apache.kafka:kafka_2.13:4.2.1", "org.slf4j:slf4j-simple:1.7.36"),
}


@dataclass(frozen=True, order=True)
class Jar:
    """One line of the lock: Maven coordinates, the digest of the file, and the class path it belongs to."""

    group: str
    artifact: str
    version: str
    sha256: str
    set_name: str

    @property
    def file_name(self) -> str:
        return f"{self.group}_{self.artifact}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def line(self) -> str:
        return f"{self.coordinates} {self.sha256} {self.set_name}"

    def intact(self, folder: Path) -> bool:
        """True where the file is in ``folder`` with the locked digest."""
        path = folder / self.file_name
        return path.is_file() and file_sha256(path) == self.sha256


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """The jars of a lock file, in its order; blank lines and lines that begin with ``#`` are skipped.

    Raises:
        BadInput: the file is missing, or a line has another shape.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror})", "restore it from the repository") from None
    return [
        _parse(line, f"{path.name}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
    ]


def ensure(set_name: str, cache: Path, *, lock: Path = LOCK_FILE, java_home: str | None = None) -> list[Path]:
    """The files of one set in ``cache``, each with its locked sha256, fetched where missing or damaged.

    Raises:
        BadInput: no Java to fetch with, or a fetched file has another sha256 than the lock.
        Unreachable: a missing file could not be fetched.
    """
    jars = [jar for jar in read_lock(lock) if jar.set_name == set_name]
    if not jars:
        raise BadInput(f"{lock.name} has no set {set_name!r}", f"the sets are {', '.join(SETS)}")
    fetch(jars, cache, java_home)
    return [cache / jar.file_name for jar in jars]


def fetch(jars: Sequence[Jar], cache: Path, java_home: str | None = None) -> int:
    """Bring the missing and the damaged files of ``jars`` into ``cache``; returns how many there were.

    A second process that wants the same waits for the first. A file appears under its name only when it is whole.

    Raises:
        BadInput, Unreachable: see :func:`ensure`.
    """
    if all(jar.intact(cache) for jar in jars):
        return 0
    with _alone(cache), tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as folder:
        missing = [jar for jar in jars if not jar.intact(cache)]
        # One set at a time: Ivy keeps one version of an artifact, and the two sets hold two of kafka-clients.
        for set_name in dict.fromkeys(jar.set_name for jar in missing):
            wanted = [jar for jar in missing if jar.set_name == set_name]
            fetched = _resolve([jar.coordinates for jar in wanted], Path(folder) / set_name, java_home)
            for jar in wanted:
                _accept(jar, fetched, cache)
        return len(missing)


def lock_lines(cache: Path, java_home: str | None = None) -> list[str]:
    """The lines of a new lock: the chosen jars and what the broker needs of others, with the digests of today.

    Raises:
        Unreachable: the repository does not answer.
    """
    jars: list[Jar] = []
    for set_name, chosen in _CHOSEN.items():
        with _alone(cache), tempfile.TemporaryDirectory(dir=cache, prefix=".locking-") as folder:
            found = _resolve(chosen, Path(folder), java_home, transitive=set_name == BROKER)
            jars += [Jar(*key, file_sha256(path), set_name) for key, path in found.items()]
    return [jar.line for jar in sorted(jars, key=lambda jar: (SETS.index(jar.set_name), jar))]


def main(argv: Sequence[str] | None = None) -> int:
    """``fetch``: fill the cache, with one set or all, and check it. ``lock``: write ``jars.lock`` anew."""
    parser = argparse.ArgumentParser(prog="python -m streamforest.jars", description=main.__doc__)
    parser.add_argument("verb", choices=("fetch", "lock"))
    parser.add_argument("set_name", nargs="?", choices=SETS, metavar="SET")
    options = parser.parse_args(argv)
    try:
        given = settings.load()
        if options.verb == "lock":
            lines = lock_lines(given.jars, given.java_home)
            head = "# group:artifact:version sha256 set. Written by `make jars-lock`.\n"
            write_text(LOCK_FILE, head + "\n".join(lines) + "\n")
            say(f"{LOCK_FILE}: {len(lines)} jars")
        else:
            locked = [jar for jar in read_lock() if options.set_name in (None, jar.set_name)]
            count = fetch(locked, given.jars, given.java_home)
            say(f"jars: {len(locked)} checked, {count} of them fetched")
    except StreamforestError as error:
        say(f"error: {error}")
        return error.exit_code
    return 0


def _parse(line: str, where: str) -> Jar:
    match line.split():
        case [coordinates, sha256, set_name] if coordinates.count(":") == 2 and len(sha256) == 64 and set_name in SETS:
            group, artifact, version = coordinates.split(":")
            return Jar(group, artifact, version, sha256, set_name)
    raise BadInput(f"{where} is not 'group:artifact:version sha256 set'", "restore the file from the repository")


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold the cache's lock; the kernel lets go of it when the process ends, however it ends."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("a", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write to {cache} ({error.strerror})", "free it or set STREAMFOREST_CACHE") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _accept(jar: Jar, fetched: dict[tuple[str, str, str], Path], cache: Path) -> None:
    path = fetched.get((jar.group, jar.artifact, jar.version))
    if path is None:
        raise Unreachable(f"{jar.file_name} did not arrive", "run the command again")
    found = file_sha256(path)
    if found != jar.sha256:
        raise BadInput(
            f"{jar.file_name} arrived with sha256 {found}, {LOCK_FILE.name} says {jar.sha256}",
            "it was damaged or replaced on its way: fetch it again from a trusted network",
        )
    path.replace(cache / jar.file_name)


def _resolve(
    coordinates: Iterable[str], folder: Path, java_home: str | None, *, transitive: bool = False
) -> dict[tuple[str, str, str], Path]:
    """The files that Ivy puts below ``folder``, by (group, artifact, version)."""
    folder.mkdir(exist_ok=True)
    wanted = [tuple(each.split(":")) for each in coordinates]
    ivy, resolver = folder / "ivy.xml", folder / "settings.xml"
    ivy.write_text(_ivy_file(wanted, transitive), encoding="utf-8")
    resolver.write_text(
        '<ivysettings><settings defaultResolver="central"/><resolvers><ibiblio name="central" m2compatible="true" '
        f'usepoms="{str(transitive).lower()}"/></resolvers></ivysettings>',
        encoding="utf-8",
    )
    target = folder / "jars"
    command = [str(java.require(java_home).path), "-jar", str(_ivy_jar()), "-settings", str(resolver), "-ivy", str(ivy)]
    command += ["-cache", str(folder / "cache"), "-retrieve", f"{target}/{_PATTERN}"]
    _run_ivy(command, None if transitive else len(wanted))
    found = {}
    for path in target.rglob("*.jar"):
        group, artifact, version = path.relative_to(target).parts[:3]
        found[(group, artifact, version)] = path
    return found


def _ivy_file(wanted: Iterable[tuple[str, ...]], transitive: bool) -> str:
    configuration = "default-&gt;runtime,master" if transitive else "default-&gt;*"
    dependencies = "".join(
        f"<dependency org={quoteattr(group)} name={quoteattr(artifact)} rev={quoteattr(version)} "
        f'transitive="{str(transitive).lower()}" conf="{configuration}"/>'
        for group, artifact, version in wanted
    )
    return (
        '<ivy-module version="2.0"><info organisation="streamforest" module="jars"/><configurations>'
        f'<conf name="default"/></configurations><dependencies>{dependencies}</dependencies></ivy-module>'
    )


def _ivy_jar() -> Path:
    import pyspark

    found = sorted(Path(pyspark.__file__).parent.glob("jars/ivy-*.jar"))
    if not found:
        raise BadInput(f"no Ivy in {Path(pyspark.__file__).parent / 'jars'}", "install pyspark again")
    return found[-1]


def _run_ivy(command: list[str], total: int | None) -> None:
    tail: deque[str] = deque(maxlen=40)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy,
        Progress("jars", total, "jars") as progress,
    ):
        for line in ivy.stdout or ():
            tail.append(line.strip())
            progress.advance("[SUCCESSFUL ]" in line)
    if ivy.returncode:
        causes = [line for line in tail if "not found" in line.lower() or "error" in line.lower()]
        cause = causes[0] if causes else f"Ivy ended with status {ivy.returncode}"
        raise Unreachable(f"the jars could not be fetched ({cause})", "check the network and run the command again")


if __name__ == "__main__":
    sys.exit(main())
