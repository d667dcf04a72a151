"""``python -m streamforest.web``: the pages at the address of the settings, until a signal ends them."""

from __future__ import annotations

import argparse
import contextlib
import logging
import resource
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

import uvicorn

from streamforest import application as contract
from streamforest import cli, settings, store
from streamforest.errors import Unreachable, WrongUsage
from streamforest.kafka import Role
from streamforest.progress import say
from streamforest.settings import Settings, WebSettings
from streamforest.web import catalogue
from streamforest.web.app import Office, create_app

ANSWERING, WATCHED = "flights", "activity"
"""The applications that the pages are about."""
_FILES = 65_536
_SILENT_S = 5
_END_S = 3


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Serve, and return the exit code."""

    def command() -> None:
        options = _parser().parse_args(argv)
        given = settings.load(home=options.home, bootstrap_servers=options.bootstrap_servers)
        web = settings.web()
        serve(office(given, web), web, port=options.port)

    return cli.outcome(command, argv)


def office(given: Settings, web: WebSettings) -> Office:
    """What the pages work with, by the settings.

    Raises:
        WrongUsage: no Kafka is named, its password is not set, or the store's address has no meaning.
        BadInput: the lists of airlines and airports cannot be read.
    """
    kafka = given.kafka(Role.WEB)
    # The packages of applications import Spark's types: once, here, and not at the first request.
    from streamforest.applications.flights.classes import CLASSES

    answering = contract.load(ANSWERING, given.applications)
    watched = contract.load(WATCHED, given.applications)
    known, distances = catalogue.load(contract.places(answering, given).training.parent)
    return Office(
        settings=web,
        kafka=kafka,
        asked=answering.topics,
        watched=watched.topics,
        store=store.connect(given.store),
        catalogue=known,
        classes=[(each.name, each.meaning) for each in CLASSES],
        distances=distances,
    )


def serve(served: Office, web: WebSettings, *, port: int | None = None) -> None:
    """Serve until a signal ends it.

    Raises:
        Unreachable: the address cannot be listened at.
    """
    _allow_files()
    listening = _listen(web.host, web.port if port is None else port)
    config = uvicorn.Config(
        create_app(served),
        limit_concurrency=web.connections,
        timeout_keep_alive=_SILENT_S,
        timeout_graceful_shutdown=_END_S,
        ssl_certfile=web.certificate,
        proxy_headers=bool(web.proxies),
        forwarded_allow_ips=web.proxies or None,
        server_header=False,
        access_log=False,
        log_level=logging.WARNING,
    )
    host, bound = listening.getsockname()[:2]
    scheme = "https" if web.certificate else "http"
    say(f"pages at {scheme}://{f'[{host}]' if ':' in host else host}:{bound}")
    with contextlib.closing(listening):
        server = _Server(config, served)
        server.run(sockets=[listening])
    if not server.started:
        raise Unreachable("the pages could not be served", "see the lines above")


class _Server(uvicorn.Server):
    """Ends what pages follow before it waits for requests to end: they would go on for minutes."""

    def __init__(self, config: uvicorn.Config, served: Office) -> None:
        super().__init__(config)
        self._office = served

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        self._office.close()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise Unreachable(f"cannot listen at {host}:{port} ({error})", "give another --port") from None


def _allow_files() -> None:
    """As many open files as the system lets us have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m streamforest.web", description="Serves the pages.", allow_abbrev=False)
    parser.add_argument("--home", metavar="DIR", help="where data/ lies")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="Kafka")
    parser.add_argument("--port", metavar="N", type=int, help="to listen at; 0: a free one")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
