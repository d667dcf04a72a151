"""What ``activity`` is, with topics and folders of its own: a stream that may be broken on purpose."""

from __future__ import annotations

from dataclasses import replace

from streamforest.application import Topics
from streamforest.applications import activity

APPLICATION = replace(
    activity.APPLICATION,
    name="drill",
    prefix="drill",
    topics=Topics(events="drill", predictions="drill.predictions", invalid="drill.invalid"),
)
