"""The verb ``model``: which versions there are, which one is published, and another one published."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from streamforest import application as contract
from streamforest import cli, settings
from streamforest.application import Application, places
from streamforest.errors import BadInput, WrongUsage
from streamforest.model import lifecycle
from streamforest.model.publication import ModelFolder, Version
from streamforest.model.tracking import Tracker
from streamforest.progress import say
from streamforest.settings import Settings

Action = Callable[[Application, ModelFolder, Tracker, argparse.Namespace], Mapping[str, Any]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Do what is asked, print a report as the last line of stdout, and return the exit code."""

    def command() -> None:
        options = _parser().parse_args(argv)
        given: Settings = settings.load(home=options.home, tracking_uri=options.tracking_uri)
        application = contract.load(options.application, given.applications)
        models = ModelFolder(places(application, given).model)
        found = _ACTIONS[options.action][1](application, models, Tracker(given, application.name), options)
        say(json.dumps({"application": application.name, **found}), sys.stdout)

    return cli.outcome(command, argv)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="./control_env.sh model",
        description="Tells which model versions there are, and publishes another one.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    for name, (summary, _) in _ACTIONS.items():
        one = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        one.add_argument("application", metavar="APPLICATION")
        if name in ("promote", "rollback"):
            one.add_argument("version", metavar="VERSION", nargs="?")
        if name == "promote":
            one.add_argument("--force", action="store_true", help="also a version that the gate refused or never saw")
        one.add_argument("--home", metavar="DIR", help="where model/ lies")
        one.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: SQLite under model/)")
        one.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


def _list(application: Application, models: ModelFolder, tracker: Tracker, _: argparse.Namespace) -> Mapping[str, Any]:
    versions = models.versions()
    if not versions:
        raise BadInput(f"application {application.name} has no model yet", "run the jobs train and test")
    found = lifecycle.standing(models, tracker)
    for line in table(versions, found.pointer):
        say(line, sys.stdout)
    if not found.reachable:
        say("MLflow does not answer: its alias was not compared")
    elif not found.agrees:
        say(
            f"model/.created says {found.pointer}, model/trained_pipeline {found.link}, MLflow's alias {found.alias}; "
            f"bring them together: ./control_env.sh model repair {application.name}"
        )
    champion = models.champion()
    return {
        "champion": found.pointer,
        "history": list(champion.history) if champion else [],
        "agrees": found.agrees,
        "versions": [
            {name: getattr(one, name) for name in ("version", "pipeline", "run_id", "created", "verdict")}
            for one in versions
        ],
    }


def table(versions: Sequence[Version], champion: str | None) -> Iterator[str]:
    """Lines that show the versions: the published one marked, each with its metric, verdict and reasons."""
    yield f"{'':2}{'version':<9}{'pipeline':<14}{'trained':<26}{'verdict':<10}metric"
    for one in versions:
        verdict = "untested" if one.verdict is None else "passed" if one.verdict["passed"] else "refused"
        metric = ", ".join(f"{name} {value:.4f}" for name, value in (one.metric or {}).items())
        mark = "*" if one.version == champion else ""
        yield f"{mark:2}{one.version:<9}{one.pipeline:<14}{one.created:<26}{verdict:<10}{metric}{_beside(one)}"
        for reason in (one.verdict or {}).get("reasons", []):
            yield f"{'':11}{reason}"


def _beside(version: Version) -> str:
    """Its difference to the champion of its day, with the interval."""
    verdict = version.verdict or {}
    if verdict.get("interval") is None:
        return ""
    low, high = verdict["interval"]
    return f", {verdict['difference']:+.4f} [{low:+.4f}, {high:+.4f}] beside the champion of that time"


def _promote(_: Application, models: ModelFolder, tracker: Tracker, options: argparse.Namespace) -> Mapping[str, Any]:
    version = lifecycle.require(models, options.version) if options.version else _newest_passed(models)
    if not options.force and not (version.verdict and version.verdict["passed"]):
        said = "; ".join(version.verdict["reasons"]) if version.verdict else "the job test has not seen it"
        raise BadInput(f"version {version.version} did not pass the gate ({said})", "test it, or give --force")
    before = models.champion()
    after = lifecycle.promote(models, tracker, version)
    say(f"version {after.version} is published")
    return {"champion": after.version, "before": before.version if before else None}


def _newest_passed(models: ModelFolder) -> Version:
    passed = [one for one in models.versions() if one.verdict and one.verdict["passed"]]
    if not passed:
        raise BadInput("no version has passed the gate", "run the jobs train and test, or name one and give --force")
    return passed[-1]


def _rollback(_: Application, models: ModelFolder, tracker: Tracker, options: argparse.Namespace) -> Mapping[str, Any]:
    before = models.require_champion()
    after = lifecycle.rollback(models, tracker, options.version)
    say(f"version {after.version} is published again, {before.version} is not")
    return {"champion": after.version, "before": before.version}


def _repair(_: Application, models: ModelFolder, tracker: Tracker, __: argparse.Namespace) -> Mapping[str, Any]:
    before = lifecycle.repair(models, tracker)
    say(f"version {before.pointer} is published; the link said {before.link}, MLflow's alias {before.alias}")
    return {"champion": before.pointer, "link_before": before.link, "alias_before": before.alias}


_ACTIONS: dict[str, tuple[str, Action]] = {
    "list": ("show the versions with the gate's verdicts, and the published one", _list),
    "promote": ("publish a version (default: the newest that passed the gate)", _promote),
    "rollback": ("publish again what was published before (or VERSION of those)", _rollback),
    "repair": ("let MLflow's alias and the link follow model/.created", _repair),
}
