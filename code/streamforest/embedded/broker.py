"""A real Kafka on this machine: one KRaft node from its jars, on free loopback ports, its data in one folder.

The broker never outlives the process that started it; see :class:`streamforest.embedded.guard.Guard`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streamforest import jars, java, settings
from streamforest.embedded.guard import Guard
from streamforest.errors import BadInput, StreamforestError, Unreachable
from streamforest.files import remove, write_text
from streamforest.kafka import Kafka
from streamforest.settings import Settings
from streamforest.streaming import topics

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_ONE_CHECK_S = 2.0
_PAUSE_S = 0.05
# Replayed readings carry their own old times, so nothing may be deleted, rolled or refused because of a time.
_FOR_EVER = 9_223_372_036_854_775_807


class BusyFolder(BadInput):
    """Another broker works in the folder."""


class Broker:
    """Kafka with its data in ``log_dir``, from entering the context to leaving it.

    A new folder is formatted; an old one keeps its cluster and its records, while the port may differ at each start
    unless ``port`` names one.
    """

    def __init__(
        self, log_dir: Path, given: Settings | None = None, *, heap_mb: int = 256, port: int | None = None
    ) -> None:
        self._folder = log_dir.expanduser().resolve()
        self._settings = given or settings.load()
        self._heap_mb, self._fixed_port = heap_mb, port
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._lock: IO[str] | None = None
        self._port = 0

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT of the running broker."""
        return f"127.0.0.1:{self._port}"

    @property
    def log_file(self) -> Path:
        """What the broker itself writes; the run before is beside it as ``broker.log.1``."""
        return self._folder / "broker.log"

    @property
    def pid(self) -> int | None:
        """The broker's process, None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the broker answers a metadata request.

        Raises:
            BadInput: the folder cannot be written or holds something else than Kafka's data.
            BusyFolder: another broker works in it; the line names its process and its HOST:PORT.
            Unreachable: the broker ended or gave no answer; the line has its last error and the path of its log.
        """
        files = jars.ensure(jars.BROKER, self._settings.jars, java_home=self._settings.java_home)
        self._lock = _acquire(self._folder)
        # A killed owner leaves its state behind.
        remove(_state_file(self._folder))
        try:
            self._launch(os.pathsep.join(map(str, files)), self._lock)
            self._await_answer()
            state = {"pid": self.pid, "owner": os.getpid(), "bootstrap_servers": self.bootstrap_servers}
            write_text(_state_file(self._folder), json.dumps(state))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker: asked first, killed after a limit. Nothing happens when it does not run."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            remove(_state_file(self._folder))
        if self._guard:
            self._guard.dismiss()
        if self._lock:
            self._lock.close()
        self._process = self._guard = self._lock = None

    def kill(self) -> None:
        """End the broker as a crash would (SIGKILL); its data stay as they are. For drills."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self.stop()

    def _launch(self, class_path: str, lock: IO[str]) -> None:
        runtime = str(java.require(self._settings.java_home).path)
        command = [runtime, f"-Xmx{self._heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", "-cp", class_path]
        command += ["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        command += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX"]
        # One list of 300 settings a start would hide what matters in the log.
        command += ["-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn"]
        free_port, controller_port = _free_ports()
        self._port = self._fixed_port or free_port
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name("broker.log.1"))
        data = self._folder / "data"
        if not (data / "meta.properties").is_file():
            self._format(command, data, controller_port)
        properties = self._folder / "server.properties"
        write_text(properties, _properties(data, self._port, controller_port))
        with self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C on the terminal must not take the broker away from a job that winds up.
            self._process = subprocess.Popen(
                [*command, "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        self._guard = Guard(self._process.pid)

    def _format(self, command: list[str], data: Path, controller_port: int) -> None:
        """Make the storage of a new cluster aside, so that an interrupted start leaves no half of one."""
        if data.exists() and any(data.iterdir()):
            raise BadInput(f"{data} holds files but no meta.properties", "move the folder away")
        aside = self._folder / "data.new"
        remove(aside)
        properties = self._folder / "format.properties"
        write_text(properties, _properties(aside, self._port, controller_port))
        # may begin with a hyphen, hence the equals sign below
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [*command, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)]
        with self.log_file.open("ab") as log:
            failed = subprocess.run(tool, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
        if failed:
            raise Unreachable(f"Kafka's storage could not be made ({self._cause()})", f"see {self.log_file}")
        remove(data)
        aside.rename(data)
        remove(properties)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if self.pid is None:
                raise Unreachable(f"Kafka ended at its start ({self._cause()})", f"see {self.log_file}")
            with contextlib.suppress(Unreachable):
                topics.reachable(Kafka(self.bootstrap_servers), _ONE_CHECK_S)
                return
        raise Unreachable(f"Kafka gave no answer in {_START_LIMIT_S:.0f} s ({self._cause()})", f"see {self.log_file}")

    def _cause(self) -> str:
        """The last line of the log that reads like an error, else its last line."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        lines = text.splitlines()
        errors = [line for line in lines if re.search(r"\b(?:ERROR|FATAL|[A-Za-z.]*(?:Exception|Error)):? ", line)]
        return (errors or lines or ["its log is empty"])[-1].strip()[:300]


@contextlib.contextmanager
def attach_or_start(log_dir: Path, given: Settings | None = None) -> Iterator[str]:
    """HOST:PORT of the broker that works in ``log_dir``: the one of another process if there is one, else a new one.

    So two verbs in two terminals meet on one Kafka, which ends with the process that started it.

    Raises:
        BadInput, Unreachable: see :meth:`Broker.start`.
    """
    broker = Broker(log_dir, given)
    try:
        broker.start()
    except BusyFolder:
        found = running(log_dir)
        if found is None:
            raise
        yield found
        return
    with broker:
        yield broker.bootstrap_servers


@contextlib.contextmanager
def held(log_dir: Path) -> Iterator[None]:
    """Keep a broker from starting in ``log_dir`` while the block runs; nothing happens where there is no folder.

    Raises:
        BusyFolder: one works there.
    """
    if not log_dir.is_dir():
        yield
        return
    lock = _acquire(log_dir.expanduser().resolve())
    try:
        yield
    finally:
        lock.close()


def running(log_dir: Path) -> str | None:
    """HOST:PORT of the live broker that another process started in ``log_dir``, None where there is none."""
    state = _state(log_dir.expanduser().resolve())
    if not _owned(state):
        return None
    servers = str(state["bootstrap_servers"])
    try:
        topics.reachable(Kafka(servers), _ONE_CHECK_S)
    except StreamforestError:
        return None
    return servers


def _acquire(folder: Path) -> IO[str]:
    """The folder's lock, held. The broker inherits it, so one that is still ending after its owner holds it too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "broker.lock").open("a", encoding="utf-8")
    except OSError as error:
        cure = "free it or give another --home"
        raise BadInput(f"cannot write to {folder} ({error.strerror})", cure) from None
    deadline = time.monotonic() + _STOP_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = _state(folder)
            if not _owned(state) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            lock.close()
            raise BusyFolder(
                f"another broker works in {folder} (process {state.get('pid', 'just started')})",
                f"stop it or use it: --bootstrap-servers {state.get('bootstrap_servers', 'HOST:PORT')}",
            ) from None
        return lock


def _state_file(folder: Path) -> Path:
    return folder / "broker.json"


def _state(folder: Path) -> dict[str, int | str]:
    try:
        state: dict[str, int | str] = json.loads(_state_file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def _owned(state: Mapping[str, int | str]) -> bool:
    """True where the process that started the broker of ``state`` still runs."""
    if not state:
        return False
    try:
        os.kill(int(state["owner"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _free_ports() -> tuple[int, int]:
    """Two loopback ports that nobody listens on at this moment."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _properties(data: Path, port: int, controller_port: int) -> str:
    """Kafka's settings for one node that serves one person: small, patient with old times, quick to rebalance."""
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": 12 * 1024 * 1024,
        "replica.fetch.max.bytes": 12 * 1024 * 1024,
        "log.retention.ms": -1,
        "log.retention.bytes": -1,
        # A segment rolls when two record times lie too far apart: users of different years would roll at each batch.
        "log.roll.ms": _FOR_EVER,
        "log.message.timestamp.before.max.ms": _FOR_EVER,
        "log.message.timestamp.after.max.ms": _FOR_EVER,
        # The default of 128 MB is half of the heap and taken at the start.
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        # A new start waits until the session of a killed one has run out.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in values.items())


def _escaped(value: object) -> str:
    """A value as Java's properties files write it."""
    return str(value).replace("\\", "\\\\")
