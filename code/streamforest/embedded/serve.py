"""The verb ``web``: Kafka, the stream that answers, and the pages, all of this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from streamforest import application as contract
from streamforest import cli, files, settings
from streamforest.application import Application, Places, places
from streamforest.embedded.broker import attach_or_start
from streamforest.embedded.guard import Guard
from streamforest.errors import BadInput, WrongUsage
from streamforest.model.publication import ModelFolder
from streamforest.progress import say
from streamforest.settings import REPOSITORY, Settings

PROG = "./control_env.sh web"
_AGAIN_S = 3.0
_END_S = 15.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Serve until a signal ends it; the exit code is 130 after Ctrl-C."""

    def command() -> None:
        options = _parser().parse_args(argv)
        _serve(settings.load(home=options.home), options.port)

    return cli.outcome(command, argv)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROG, description="Opens the pages, with the stream behind them.", allow_abbrev=False)
    parser.add_argument("--home", metavar="DIR", help="where data/, model/ and predictions/ lie")
    parser.add_argument("--port", metavar="N", type=int, help="of the pages (default: 8000; 0: a free one)")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


def _serve(given: Settings, port: int | None) -> None:
    from streamforest.web.__main__ import ANSWERING, office, serve

    application = contract.load(ANSWERING, given.applications)
    here = places(application, given)
    if ModelFolder(here.model).champion() is None:
        elsewhere = "" if given.home == settings.load().home else f" --home {given.home}"
        raise BadInput(
            f"there is no published model of {application.name} in {here.model}",
            f"make one: ./control_env.sh demo {application.name}{elsewhere}",
        )
    with _kafka(given) as servers, _stream(application, given, here, servers):
        serve(office(replace(given, bootstrap_servers=servers), settings.web()), settings.web(), port=port)


@contextlib.contextmanager
def _kafka(given: Settings) -> Iterator[str]:
    """The Kafka of the settings; without one, that of the home."""
    if given.bootstrap_servers is not None:
        yield given.bootstrap_servers
        return
    with attach_or_start(given.data / "kafka", given) as servers:
        say(f"Kafka at {servers}")
        yield servers


@contextlib.contextmanager
def _stream(application: Application, given: Settings, here: Places, servers: str) -> Iterator[None]:
    """The job consume in a process of its own, started again when it ends before its time."""
    files.require_writable(here.predictions)
    log = here.predictions / "stream.log"
    command = [sys.executable, "-P", str(REPOSITORY / "code" / "main.py"), "consume", application.name]
    command += ["--home", str(given.home), "--bootstrap-servers", servers]
    over = threading.Event()
    keeping = threading.Thread(target=_keep, args=(command, log, over), name="stream", daemon=True)
    say(f"the stream starts; what it says goes to {log}")
    keeping.start()
    try:
        yield
    finally:
        over.set()
        keeping.join(timeout=2 * _END_S)


def _keep(command: Sequence[str], log: Path, over: threading.Event) -> None:
    while not over.is_set():
        status = _run(command, log, over)
        if over.is_set():
            return
        last = (log.read_text(encoding="utf-8", errors="replace").splitlines() or [""])[-1]
        if status < 0:
            last = f"killed by signal {-status}"
        final = status in (WrongUsage.exit_code, BadInput.exit_code)
        say(f"the stream ended ({last}){'' if final else '; it is started again'}")
        if final or over.wait(_AGAIN_S):
            return


def _run(command: Sequence[str], log: Path, over: threading.Event) -> int:
    """Run the job to its end, or until ``over``; returns its exit code."""
    with log.open("wb") as file:
        # A session of its own: Ctrl-C on the terminal is for the pages, which then end the stream.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        guard = Guard(process.pid)
        try:
            while process.poll() is None and not over.wait(0.2):
                pass
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            return process.wait()
        finally:
            guard.dismiss()
