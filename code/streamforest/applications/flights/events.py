"""Requests on the stream: how a value is decoded, which requests are believed, and what follows from one."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamforest.applications.flights.schemas import EVENT, REQUIRED
from streamforest.streaming.decoding import decode_json

DELAY_LIMITS = (-180.0, 4_320.0)
"""Minutes before and after schedule that a departure is believed to be: three hours, three days."""
MAX_DISTANCE = 12_500.0
"""Miles; half the way round the earth."""

_YEARS = (1900, 2199)
_UUID = r"^[A-Za-z0-9._:-]{1,64}$"
_CARRIER = r"^[A-Z0-9]{2,3}$"
_AIRPORT = r"^[A-Z]{3}$"
_FLIGHT = r"^[0-9]{1,4}[A-Z]?$"
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def decode(value: Column) -> tuple[Column, Column]:
    """A request from JSON with the columns of EVENT, and the reason of its refusal; further fields are passed over."""
    optional = set(EVENT.names) - set(REQUIRED)
    return decode_json(value, EVENT, _broken, optional=optional)


def completed(events: DataFrame) -> DataFrame:
    """Requests with the columns of a flight that follow from its date and airports; what the client sent of them is
    replaced, since some clients count the days of the week from 0 and others from 1.

    ``FlightDate`` becomes a date.
    """
    day = date_of(F.col("FlightDate"))
    return events.withColumns({"FlightDate": day, **calendar(day), "Route": route(F.col("Origin"), F.col("Dest"))})


def calendar(day: Column) -> dict[str, Column]:
    """Columns that follow from a date."""
    return {
        "DayOfWeek": F.weekday(day) + 1,
        "DayOfMonth": F.dayofmonth(day),
        "DayOfYear": F.dayofyear(day),
    }


def route(origin: Column, dest: Column) -> Column:
    """``JFK-LAX``; null where one is null."""
    return F.concat(origin, F.lit("-"), dest)


def date_of(text: Column) -> Column:
    """The date of ISO text; with a time and a zone the date at that moment in UTC; null where it is none."""
    # Spark's own cast would take 2013 and 2013-7 too.
    with_time = F.when(text.rlike(r"^\d{4}-\d{2}-\d{2}T"), text.try_cast("timestamp").cast("date"))
    return F.coalesce(with_time, F.when(text.rlike(r"^\d{4}-\d{2}-\d{2}$"), text.try_cast("date")))


def fits_carrier(text: Column) -> Column:
    """Whether a text has the form of a carrier's code, such as ``UA`` or ``9E``."""
    return text.rlike(_CARRIER)


def fits_flight(text: Column) -> Column:
    """Whether a text has the form of a flight number without its carrier."""
    return text.rlike(_FLIGHT)


def fits_airport(text: Column) -> Column:
    """Whether a text has the form of an IATA code."""
    return text.rlike(_AIRPORT)


def fits_time(text: Column) -> Column:
    """Whether a text is HH:MM, from 00:00 to 23:59."""
    return text.rlike(_TIME)


def _broken(event: Column) -> Column:
    """Reason why a complete request is not believed, else null. An airport that nobody knows is believed."""
    least, most = DELAY_LIMITS
    date = date_of(event["FlightDate"])
    times = [event[name] for name in ("CRSDepTime", "CRSArrTime")]
    return (
        F.when(~event["UUID"].rlike(_UUID), "uuid")
        .when(~fits_carrier(event["Carrier"]), "carrier")
        .when(~fits_flight(event["FlightNum"]), "flight")
        .when(~fits_airport(event["Origin"]) | ~fits_airport(event["Dest"]), "airport")
        .when(event["Origin"] == event["Dest"], "route")
        .when(date.isNull() | ~F.year(date).between(*_YEARS), "date")
        .when(~event["DepDelay"].between(least, most), "delay")
        .when((event["Distance"] <= 0) | (event["Distance"] > MAX_DISTANCE), "distance")
        .when(~fits_time(times[0]) | ~fits_time(times[1]), "time")
    )
