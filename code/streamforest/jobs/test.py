"""test: a candidate scored on rows of people it never saw, beside the champion, and promoted if the gate holds."""

from __future__ import annotations

import argparse
from typing import Any

from pyspark.sql import DataFrame

from streamforest import files
from streamforest.errors import BadInput, StreamforestError
from streamforest.failures import explain
from streamforest.jobs.context import Context, Job, Report
from streamforest.ml.evaluation import Evaluation, add, evaluate_slices, report
from streamforest.model import lifecycle
from streamforest.model.gate import judge, refuse
from streamforest.model.publication import Version
from streamforest.progress import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options: whose candidate."""
    parser.add_argument("--pipeline", metavar="NAME", help="whose candidate (default: the application's)")


def run(context: Context, options: argparse.Namespace) -> Report:
    """Score, record in the candidate's run, and publish the candidate if it may replace the champion."""
    application, models = context.application, context.models
    name, _ = application.pipeline(options.pipeline)
    candidate = models.candidate(name)
    models.verify(candidate)
    files.require_writable(context.places.model)
    rows = context.partitioned(context.places.testing)
    with context.tracker.run(run_id=candidate.run_id) as run_id:
        lifecycle.verify(models, context.tracker, candidate)
        say(f"scoring version {candidate.version} (pipeline {name})")
        slices = _candidate(context, candidate, rows)
        evaluations = add(slices.values())
        metrics = report(evaluations, slices if application.slice else {})
        champion, theirs = _champion(context, candidate, rows)
        verdict = judge(application.gate, evaluations, theirs, lacking=_lacking(candidate, champion))
        context.tracker.log_evaluation(evaluations, metrics)
        context.tracker.judged(candidate.version, verdict)
        tested = models.judged(candidate, verdict)
    if verdict["passed"]:
        lifecycle.promote(models, context.tracker, tested)
    say(f"version {candidate.version} is {'published' if verdict['passed'] else 'refused: ' + _because(verdict)}")
    return {
        "pipeline": name,
        "version": candidate.version,
        "run_id": run_id,
        "rows": rows.count(),
        "windows": evaluations["predicted"].rows,
        "metrics": metrics,
        "confusion": {
            column: {"classes": list(found.classes), "counts": found.confusion.tolist()}
            for column, found in evaluations.items()
        },
        "unseen_classes": _unseen(candidate, evaluations["predicted"]),
        "gate": verdict,
        "synthetic": candidate.synthetic,
    }


def _candidate(context: Context, candidate: Version, rows: DataFrame) -> dict[str, dict[str, Evaluation]]:
    """Evaluations of the candidate.

    Raises:
        BadInput: it cannot be loaded or run, and is refused for that.
    """
    try:
        return _score(context, candidate, rows)
    except Exception as error:
        found = explain(error)
        # A full disk or a service that is gone says nothing about the model.
        if not isinstance(error, BadInput) and type(found) is not StreamforestError:
            raise
        verdict = refuse(context.application.gate, f"it cannot be scored: {found}")
        context.tracker.judged(candidate.version, verdict)
        context.models.judged(candidate, verdict)
        raise BadInput(f"model version {candidate.version} cannot be scored ({found})", "train again") from error


def _score(context: Context, version: Version, rows: DataFrame) -> dict[str, dict[str, Evaluation]]:
    """Evaluations by the slice's value; under one empty name where the application has no slices."""
    application = context.application
    scored = application.score(context.models.load(version), rows)
    columns = [*application.variants, *application.baselines]
    return evaluate_slices(scored, columns, application.slice, application.resample_by)


def _champion(
    context: Context, candidate: Version, rows: DataFrame
) -> tuple[Version, dict[str, Evaluation]] | tuple[None, None]:
    """The present champion and its evaluations; None where there is none, or it is the candidate itself.

    A champion whose files are damaged is left out: it must not keep the next one from taking its place.
    """
    champion = context.models.champion()
    if champion is None or champion.version == candidate.version:
        return None, None
    say(f"scoring the champion, version {champion.version} (pipeline {champion.pipeline})")
    try:
        return champion, add(_score(context, champion, rows).values())
    except BadInput as error:
        say(f"the champion is left out of the comparison: {error}")
        return None, None


def _lacking(candidate: Version, champion: Version | None) -> list[str]:
    """Classes that the champion was taught and the candidate was not."""
    return sorted(set(champion.classes) - set(candidate.classes)) if champion else []


def _unseen(candidate: Version, evaluation: Evaluation) -> list[str]:
    """Classes of the tested rows that training had not: they are counted, and can only be wrong."""
    by_class = evaluation.by_class()
    return [name for name, values in by_class.items() if values["support"] and name not in candidate.classes]


def _because(verdict: dict[str, Any]) -> str:
    return "; ".join(verdict["reasons"])


JOB = Job(name="test", summary="score the candidate and promote it if the gate holds", run=run, arguments=arguments)
