"""The embedded verbs: ``python -m streamforest.embedded VERB [options]``, as ``./control_env.sh`` calls them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from streamforest import cli
from streamforest.embedded import backup, data, demo, job, model, replay, serve
from streamforest.errors import WrongUsage

VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo.main,
    "job": job.main,
    "data": data.main,
    "web": serve.main,
    "model": model.main,
    "replay": replay.main,
    "backup": backup.main,
    "restore": backup.restore_main,
}


def main(argv: Sequence[str]) -> int:
    """Run a verb and return its exit code."""
    verb, options = (argv[0], argv[1:]) if argv else ("", [])
    if verb not in VERBS:
        return cli.failed(WrongUsage(f"unknown verb {verb!r}", f"choose from: {', '.join(VERBS)}"), options)
    return VERBS[verb](options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
