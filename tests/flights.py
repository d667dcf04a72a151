"""A home with a published model of flights, learnt from a part of the real ones: soon made."""

from __future__ import annotations

from pathlib import Path

from streamforest.applications.flights.package import HISTORY, unpack
from tests.homes import job, report

_EVERY = 20
_LIMIT_S = 900


def add_flights(data: Path) -> None:
    """Every twentieth flight of the package, into a new folder."""
    data.mkdir(parents=True)
    unpack(data)
    lines = (data / HISTORY).read_text(encoding="utf-8").splitlines()
    (data / HISTORY).write_text("\n".join([lines[0], *lines[1::_EVERY]]) + "\n", encoding="utf-8")


def published_home(home: Path) -> Path:
    """The home, after partition, train and test of every twentieth flight, pipeline reference."""
    add_flights(home / "data" / "flights")
    report(job("partition", "flights", home=home, limit_s=_LIMIT_S))
    report(job("train", "flights", "--pipeline", "reference", home=home, limit_s=_LIMIT_S))
    assert report(job("test", "flights", "--pipeline", "reference", home=home, limit_s=_LIMIT_S))["gate"]["passed"]
    return home
