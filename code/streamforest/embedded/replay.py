"""The verb ``replay``: what a stream refused, and what of it can be put back."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pyspark.sql import SparkSession

from streamforest import application as contract
from streamforest import cli, files, session, settings
from streamforest.application import Application, places
from streamforest.embedded.job import HomeKafka
from streamforest.errors import BadInput, WrongUsage
from streamforest.kafka import Kafka, Role
from streamforest.progress import say
from streamforest.streaming import refused, topics
from streamforest.streaming.refused import Judged, Refused

_SHOWN = 20
_SHOWN_BYTES = 80


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """List refused messages or put them back, print a report as the last line, and return the exit code."""

    def command() -> None:
        report = run(_parser().parse_args(argv))
        say(json.dumps(report), sys.stdout)

    return cli.outcome(command, argv)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="./control_env.sh replay",
        description="Lists what a stream refused, and puts back what is repaired or decoded by now.",
        allow_abbrev=False,
    )
    parser.add_argument("application", metavar="APPLICATION")
    parser.add_argument("--home", metavar="DIR", help="where predictions/ lies")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="Kafka")
    parser.add_argument("--reason", metavar="REASON", help="only messages refused for this reason")
    parser.add_argument("--show", type=int, default=_SHOWN, metavar="N", help=f"how many to list (default: {_SHOWN})")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write them as lines of JSON, to be repaired")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--repaired", type=Path, metavar="FILE", help="put back the messages of this file")
    what.add_argument("--decodable", action="store_true", help="put back those that the decoder takes by now")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


def run(options: argparse.Namespace, spark: SparkSession | None = None) -> Mapping[str, Any]:
    """What :func:`main` does, with a session that is there already, if any; returns the report."""
    given = settings.load(home=options.home, bootstrap_servers=options.bootstrap_servers)
    application = contract.load(options.application, given.applications)
    found = places(application, given)
    lock = files.exclusive(found.locks / "replay.lock", f"the replay of {application.name}")
    with lock, HomeKafka() as own:
        kafka = given.kafka(Role.ADMIN) if given.bootstrap_servers else Kafka(own.servers(given))
        topics.reachable(kafka)
        messages = _chosen(refused.read(kafka, application.topics.invalid), options.reason)
        ledger = refused.Ledger(found.checkpoints / "replay", topics.cluster_id(kafka))
        sent = ledger.sent(kafka, application.topics.events)
        for one in messages[: options.show]:
            say(_line(one, sent), sys.stdout)
        if options.export:
            _export(options.export, messages)
        wanted = _wanted(options, messages)
        judged = refused.judge(spark or _session(given), application, wanted) if wanted else []
        good = [one for one in judged if one.reason is None]
        _warn([one for one in judged if one.reason is not None])
        put_back = ledger.put_back(kafka, application.topics.events, good)
    return _report(application, messages, judged, put_back)


def _chosen(messages: Sequence[Refused], reason: str | None) -> list[Refused]:
    return [one for one in messages if reason in (None, one.reason)]


def _wanted(options: argparse.Namespace, messages: Sequence[Refused]) -> list[Refused]:
    """What is to be put back if the decoder takes it."""
    if options.repaired:
        return refused.repairs(options.repaired, messages)
    return [one for one in messages if one.reason != refused.LATE] if options.decodable else []


def _session(given: settings.Settings) -> SparkSession:
    return session.build(given, "replay")


def _export(path: Path, messages: Sequence[Refused]) -> None:
    try:
        files.write_text(path, "".join(json.dumps(one.as_json()) + "\n" for one in messages))
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror})", "give another --export") from None


def _warn(still_refused: Sequence[Judged]) -> None:
    for one in still_refused[:_SHOWN]:
        say(f"{one.id} would be refused again ({one.reason}) and stays where it is")


def _line(message: Refused, sent: set[str]) -> str:
    value = message.value or b""
    more = f" and {len(value) - _SHOWN_BYTES:,} bytes more" if len(value) > _SHOWN_BYTES else ""
    mark = "  (put back)" if message.id in sent else ""
    shown = repr(value[:_SHOWN_BYTES]) if message.value is not None else "no value"
    return f"{message.id:<16} {message.reason:<10} key {message.key!r}: {shown}{more}{mark}"


def _report(
    application: Application, messages: Sequence[Refused], judged: Sequence[Judged], put_back: int
) -> dict[str, Any]:
    good = sum(one.reason is None for one in judged)
    return {
        "application": application.name,
        "refused": dict(Counter(one.reason for one in messages).most_common()),
        "put_back": put_back,
        "put_back_before": good - put_back,
        "still_refused": dict(Counter(one.reason for one in judged if one.reason is not None)),
    }
