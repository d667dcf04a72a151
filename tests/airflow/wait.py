"""Runs in Airflow's own environment: a sensor of a DAG defers; say so, wait with its trigger, print what it fires.

Arguments: folder of DAG files, DAG, task.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger, TriggerEvent


def main(folder: str, dag_id: str, task_id: str) -> None:
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.sdk.exceptions import TaskDeferred

    task = BundleDagBag(folder, bundle_path=Path(folder), bundle_name="dags-folder").dags[dag_id].get_task(task_id)
    task.poke_interval = 0.1
    try:
        task.execute({})
    except TaskDeferred as deferred:
        say("deferred")
        event = asyncio.run(fired(deferred.trigger))
        getattr(task, deferred.method_name)({}, event.payload)
        say("fired")
    else:
        say("ready")


async def fired(trigger: BaseTrigger) -> TriggerEvent:
    """The first event."""
    async for event in trigger.run():
        return event
    raise RuntimeError("the trigger ended without an event")


def say(word: str) -> None:
    print(f"\n{word}", flush=True)  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main(*sys.argv[1:])
