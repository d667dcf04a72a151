"""When a model of flight delays may replace the published one."""

from __future__ import annotations

from streamforest.application import Gate

GATE = Gate(
    # Few flights are very early or very late, and those are the ones that people ask about.
    metric="macro_f1",
    floor=0.4,
    tolerance=0.01,
    recall_drop=0.25,
    # Flights of one day share its weather: only another draw of days says what another draw would give.
    resample_by="FlightDate",
)
