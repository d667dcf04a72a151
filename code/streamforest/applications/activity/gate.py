"""When an activity model may replace the published one."""

from __future__ import annotations

from streamforest.application import Gate

GATE = Gate(
    # What users see is the smoothed class; every class counts the same, however few people did it.
    metric="smoothed.macro_f1",
    floor=0.4,
    tolerance=0.01,
    # Of windows alone. A user or two who carry the phone another way cost a rare class that much.
    recall_drop=0.25,
    # Windows of one person are alike: only another draw of people says what another draw would give.
    resample_by="userId",
)
