"""``python -m bench NAME [--home DIR] [options]``: a table on stdout, whose last line is one JSON object."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from bench import batch, flights, load, quality, scale, stream, web, workspace
from streamforest import cli
from streamforest.errors import WrongUsage
from streamforest.failures import explain

BENCHES = {bench.__name__.rpartition(".")[2]: bench for bench in (batch, stream, load, scale, quality, flights, web)}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The parser of all benchmarks and their options."""
    top = _Parser(prog="./control_env.sh bench", description="Measures the project.", allow_abbrev=False)
    names = top.add_subparsers(dest="bench", metavar="NAME", required=True, parser_class=_Parser)
    for name, bench in BENCHES.items():
        summary = (bench.__doc__ or "").splitlines()[0]
        one = names.add_parser(name, help=summary, description=bench.__doc__, allow_abbrev=False)
        one.add_argument("--home", metavar="DIR", help="whose data/ is measured; nothing else in it is touched")
        one.add_argument("--debug", action="store_true", help="show a traceback with an error")
        bench.arguments(one)
    return top


def main(argv: Sequence[str]) -> int:
    """Run a benchmark and return the exit code of the jobs' contract."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        options = parser().parse_args(argv)
        bench = BENCHES[options.bench]
        bench.check(options)
        started = time.monotonic()
        application = getattr(bench, "APPLICATION", workspace.APPLICATION)
        with workspace.opened(options.home, application) as place:
            result = bench.run(place, options)
            facts = place.facts()
    except Exception as error:
        return cli.failed(explain(error), argv)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    elapsed_s = round(time.monotonic() - started, 1)
    print(json.dumps({"bench": options.bench, **facts, "elapsed_s": elapsed_s, **result}), flush=True)
    return 0


def _terminated(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
