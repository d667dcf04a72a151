"""From what a person typed to a request on the stream, or to a sentence for each field that is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

FIELDS = ("Carrier", "Origin", "Dest", "FlightDate", "FlightNum", "DepDelay")
"""What a form holds, under the names of the reference's clients."""
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2099, 12, 31)
LEAST_DELAY, MOST_DELAY = -180.0, 4320.0
"""Minutes that a departure is believed to be early or late: three hours, three days."""
_LONGEST = 200
_SHOWN = 12


Distance = Callable[[str, str], float | None]
"""Miles between two airports; None where a place is unknown."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What can be asked for."""

    carriers: Mapping[str, str]
    """Names by code."""
    airports: Mapping[str, str]
    """Names by code: those of the history first."""
    distance: Distance


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that can be sent, or why not."""

    event: Mapping[str, Any] | None
    """The event without UUID and Timestamp; None where something is wrong."""
    errors: Mapping[str, str]
    """A sentence by field; ``form`` for what concerns none."""


def understand(fields: Mapping[str, Any], catalogue: Catalogue) -> Asked:
    """Check everything at once, so that a person can correct it at once. Texts are stripped, codes in any case."""
    errors: dict[str, str] = {}
    unknown = [str(name)[:40] for name in fields if name not in FIELDS]
    if unknown:
        errors["form"] = f"There is no field {', '.join(sorted(unknown)[:_SHOWN])}. The fields are {', '.join(FIELDS)}."
    readers: Mapping[str, Callable[[str], Any]] = {
        "Carrier": lambda text: _listed(text, catalogue.carriers, "carrier"),
        "Origin": lambda text: _listed(text, catalogue.airports, "airport"),
        "Dest": lambda text: _listed(text, catalogue.airports, "airport"),
        "FlightDate": _day,
        "FlightNum": _flight,
        "DepDelay": _delay,
    }
    event: dict[str, Any] = {}
    for name, read in readers.items():
        try:
            event[name] = read(_text(fields.get(name)))
        except ValueError as error:
            errors[name] = str(error)
    if "Dest" in event and event["Dest"] == event.get("Origin"):
        errors["Dest"] = "Origin and destination are the same. Choose two airports."
    if errors:
        return Asked(event=None, errors=errors)
    day = date.fromisoformat(event["FlightDate"])
    return Asked(
        event={
            **event,
            "Distance": catalogue.distance(event["Origin"], event["Dest"]),
            "DayOfWeek": day.isoweekday(),
            "DayOfMonth": day.day,
            "DayOfYear": day.timetuple().tm_yday,
        },
        errors={},
    )


def stamped(event: Mapping[str, Any], identity: str, now_ms: float) -> dict[str, Any]:
    """The event as it goes to the stream."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    given = {name: value for name, value in event.items() if value is not None}
    return {"UUID": identity, **given, "Timestamp": now}


def _text(value: object) -> str:
    """A field as text; JSON may send numbers, and nothing else that is no text."""
    if value is None:
        raise ValueError("Fill this in.")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("Give a text or a number, not an object or a list.")
    if isinstance(value, int) and abs(value) > 1e15:
        raise ValueError("This number is too large.")
    text = str(value).strip()
    if not text:
        raise ValueError("Fill this in.")
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError("This text is too long or holds characters that cannot be printed.")
    return text


def _listed(text: str, known: Mapping[str, str], what: str) -> str:
    # What a list offers may be typed with its name behind: "AA: American Airlines".
    code = text.upper().split(":")[0].split(" ")[0]
    if code not in known:
        first = ", ".join(list(known)[:_SHOWN])
        more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
        raise ValueError(f"There is no such {what}. Choose one of the list: {first}{more}.")
    return code


def _day(text: str) -> str:
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("This is no date. Write it like 2013-07-04.") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"Choose a day from {FIRST_DAY} to {LAST_DAY}.")
    return text


def _flight(text: str) -> str:
    # A number of JSON may come as 1.0.
    plain = text.removesuffix(".0")
    if not re.fullmatch(r"\d{1,4}", plain, re.ASCII) or int(plain) == 0:
        raise ValueError("A flight number is a whole number from 1 to 9999.")
    return str(int(plain))


def _delay(text: str) -> float:
    try:
        delay = float(text) if re.fullmatch(r"[-+]?\d{1,9}(\.\d{1,9})?", text, re.ASCII) else math.nan
    except ValueError:
        delay = math.nan
    if math.isnan(delay):
        raise ValueError("Give minutes as a number: 15 for late, -5 for early.")
    if not LEAST_DELAY <= delay <= MOST_DELAY:
        raise ValueError(f"Give minutes from {LEAST_DELAY:g} (early) to {MOST_DELAY:g} (three days late).")
    return delay
