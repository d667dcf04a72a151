"""Another machine: a network namespace with an address of its own and a Docker engine in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE, THERE = "10.203.7.1", "10.203.7.2"
"""Addresses of this machine and of the other one, on the wire between them."""
_NAMESPACE, _WIRE = "streamforest-far", ("sf-near", "sf-far")


def possible() -> bool:
    """True where such a machine can be made: by root, beside a running engine."""
    return os.geteuid() == 0 and all(map(shutil.which, ("ip", "nsenter"))) and _dockerd() is not None


@contextlib.contextmanager
def another() -> Iterator[str]:
    """The address of the other machine's engine, as ``DOCKER_HOST`` takes it; it is gone after the block."""
    dockerd = _dockerd()
    if dockerd is None:
        raise AssertionError("no dockerd runs here")
    _remove()
    try:
        _wire()
        # The name of a socket may have some hundred characters: too few for a folder of pytest's.
        with tempfile.TemporaryDirectory(prefix="streamforest-") as folder, _engine(dockerd, Path(folder)) as address:
            yield address
    finally:
        _remove()


def _wire() -> None:
    near, far = _WIRE
    inside = f"-n {_NAMESPACE}"
    for arguments in (
        f"netns add {_NAMESPACE}",
        f"link add {near} type veth peer name {far} netns {_NAMESPACE}",
        f"addr add {HERE}/24 dev {near}",
        f"link set {near} up",
        f"{inside} link set lo up",
        f"{inside} addr add {THERE}/24 dev {far}",
        f"{inside} link set {far} up",
        f"{inside} route add default via {HERE}",
    ):
        subprocess.run(["ip", *arguments.split()], check=True, capture_output=True, text=True)


def _remove() -> None:
    subprocess.run(["ip", "netns", "del", _NAMESPACE], check=False, capture_output=True)
    subprocess.run(["ip", "link", "del", _WIRE[0]], check=False, capture_output=True)


@contextlib.contextmanager
def _engine(dockerd: Path, folder: Path) -> Iterator[str]:
    address = f"unix://{folder}/docker.sock"
    places = [f"--{name}={folder}/{name}" for name in ("data-root", "exec-root")]
    options = ["--bridge=none", "--iptables=false", "--storage-driver=overlay2", f"--host={address}"]
    # `ip netns exec` would also bring a /sys of its own, without the control groups that the engine needs.
    inside = ["nsenter", f"--net=/run/netns/{_NAMESPACE}"]
    command = [*inside, str(dockerd), *options, *places, f"--pidfile={folder}/docker.pid"]
    environ = {**os.environ, "PATH": f"{dockerd.parent}:{os.environ['PATH']}"}
    log = folder / "log"
    with (
        log.open("w") as written,
        subprocess.Popen(command, env=environ, stdout=written, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _await(process, address, log)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)
            # What an engine leaves mounted: its own name for the namespace, and where it failed its data as well.
            for left in ("exec-root/netns/default", "data-root"):
                subprocess.run(["umount", f"{folder}/{left}"], check=False, capture_output=True)


def _await(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    asked = ["docker", "--host", address, "info"]
    for _ in range(60):
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise AssertionError(f"the other machine's engine did not start: {log.read_text()[-2000:]}")


def _dockerd() -> Path | None:
    """The program of the engine that runs here."""
    for link in Path("/proc").glob("[0-9]*/exe"):
        with contextlib.suppress(OSError):
            if (program := link.readlink()).name == "dockerd":
                return program
    return None
