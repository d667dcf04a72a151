"""The verb ``data``: which raw files there are; where there are none, real ones are fetched or synthetic ones made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

from streamforest import application as contract
from streamforest import cli, files, settings, synthetic
from streamforest.application import Application, places
from streamforest.errors import BadInput, StreamforestError, Unreachable, WrongUsage
from streamforest.jobs.context import Context
from streamforest.progress import say
from streamforest.settings import Settings

Origin = Literal["present", "unpacked", "downloaded", "generated"]
Way = Literal["download", "generate"]

_COUNTED_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 24


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message, f"see {self.prog} --help")


def ensure(
    application: Application, given: Settings, *, way: Way | None = None, seed: int = 0, force: bool = False
) -> Origin:
    """Make sure that the application's raw files are under ``data/``, and say where they came from.

    Without a ``way`` the real files are taken from an installed package that brings them; else they are fetched, and if
    that fails, synthetic ones are made. Only what is missing is
    put in place, so that a file of the user's stays as it is; ``force`` replaces it.

    Raises:
        Unreachable: ``way`` is ``download`` and the archive cannot be fetched.
        BadInput: the same, with an archive that cannot be used; or the data folder cannot be written.
        WrongUsage: ``way`` is ``download`` and the application has no archive.
    """
    here = places(application, given)
    if not force and None not in raw_files(application, given).values():
        return "present"
    files.require_writable(here.data)
    with files.exclusive(here.locks / "data.lock", f"data {application.name}"):
        incoming = here.data / ".incoming"
        files.remove(incoming)
        incoming.mkdir()
        try:
            origin = _bring(application, incoming, way, seed)
            for path in sorted(incoming.iterdir()):
                if force or find(application, given, path.name) is None:
                    files.swap(path, here.data / path.name)
                else:
                    say(f"{path.name} was there already and is kept; --force replaces it")
        finally:
            files.remove(incoming)
    return origin


def raw_files(application: Application, given: Settings) -> dict[str, Path | None]:
    """The raw files that the jobs would take, by what they are called there; None for one that is missing."""
    inputs = application.inputs
    own = [path for pattern in inputs.layouts for path in sorted(places(application, given).data.glob(pattern))]
    if own:
        context = Context(application=application, settings=given, name="data")
        found: dict[str, Path | None] = {path.name: path for path in context.history()}
    else:
        found = {inputs.history: find(application, given, inputs.history)}
    return found | ({inputs.live: find(application, given, inputs.live)} if inputs.live else {})


def find(application: Application, given: Settings, name: str) -> Path | None:
    """The raw file that the jobs would take for ``name``, compressed or not; None where it is missing or empty."""
    try:
        return Context(application=application, settings=given, name="data").input(name)
    except BadInput:
        return None


def describe(application: Application, given: Settings) -> list[str]:
    """A line for each raw file: size, lines where a plain file tells them soon, and real or synthetic."""
    found = raw_files(application, given)
    width = max(map(len, found)) + len(".xz")
    lines = []
    for name, path in found.items():
        if path is None:
            lines.append(f"{application.name:<10} {name:<{width}} missing")
            continue
        kind = "synthetic" if synthetic.is_synthetic(path) else "real"
        size = f"{path.stat().st_size / 1e6:,.1f} MB"
        lines.append(f"{application.name:<10} {path.name:<{width}} {size:>12} {_counted(path):>18}  {kind}")
    return lines


def main(argv: Sequence[str]) -> int:
    """Run the verb and return its exit code."""
    try:
        options = _parser().parse_args(argv)
        given = settings.load(home=options.home)
        chosen = [options.application] if options.application else contract.names(given.applications)
        for application in [contract.load(name, given.applications) for name in chosen]:
            origin = ensure(application, given, way=options.way, seed=options.seed, force=options.force)
            say(f"{application.name}: raw files {origin}, in {places(application, given).data}", sys.stdout)
            for line in describe(application, given):
                say(line, sys.stdout)
    except StreamforestError as error:
        return cli.failed(error, argv)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="./control_env.sh data",
        description="Says which raw files there are; where there are none, fetches the real ones or else makes some.",
        allow_abbrev=False,
    )
    parser.add_argument("application", metavar="APPLICATION", nargs="?", help="such as activity (default: all)")
    parser.add_argument("--home", metavar="DIR", help="where data/ lies")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--download", dest="way", action="store_const", const="download", help="fetch or fail")
    ways.add_argument("--generate", dest="way", action="store_const", const="generate", help="make synthetic data")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of synthetic data (default: 0)")
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return parser


def _bring(application: Application, folder: Path, way: Way | None, seed: int) -> Origin:
    download, unpack = application.inputs.download, application.inputs.unpack
    if unpack is not None and way != "download":
        unpack(folder)
        return "unpacked"
    if way == "download" and download is None:
        raise WrongUsage(f"application {application.name} has no archive to fetch", "use --generate")
    if download is not None and way != "generate":
        try:
            download(folder)
        except (Unreachable, BadInput) as error:
            if way == "download":
                raise
            say(f"{error}")
        else:
            return "downloaded"
    say(f"making synthetic data for {application.name}, seed {seed}")
    application.inputs.generate(folder, seed)
    return "generated"


def _counted(path: Path) -> str:
    if path.suffix in (".xz", ".gz") or path.stat().st_size > _COUNTED_BYTES:
        return ""
    lines = 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            lines += block.count(b"\n")
    return f"{lines:,} lines"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
