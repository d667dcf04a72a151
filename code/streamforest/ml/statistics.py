"""Posture, moments, percentiles, jerk and correlations of a window's signals."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

AXES = ("x", "y", "z")
SIGNALS = (*AXES, "magnitude", "vertical")
# Rank among the 100 sorted readings of each percentile.
PERCENTILE_RANKS = {"p05": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 94}
# Below this (m/s²) a deviation or a gravity counts as none: a ratio to it would be rounding noise.
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Signals:
    """A batch of windows taken apart into a steady part, gravity, and what moves around it. In m/s²."""

    gravity: Array
    """Mean of each axis, without sign, (n, 3): 5 s hold several steps, whose accelerations cancel."""
    mean: Array
    """Mean of each of ``SIGNALS``, (n, 5)."""
    body: Array
    """``SIGNALS`` without their mean, (n, 5, 100); exactly 0 where a signal is constant."""
    deviation: Array
    """Standard deviation of each of ``SIGNALS``, (n, 5)."""

    @classmethod
    def of(cls, axes: Array) -> Signals:
        """The signals of ``axes`` (n, 3, 100).

        Each axis is mirrored so that gravity is positive on it. A phone that went into the pocket upside down or with
        its screen to the other side then gives the same signals, and people carry it both ways.
        """
        mean = axes.mean(axis=-1)
        upright = axes * np.where(mean < 0, -1.0, 1.0)[:, :, None]
        signals = _with_magnitude_and_vertical(upright, np.abs(mean))
        signal_mean = signals.mean(axis=-1)
        body = signals - signal_mean[:, :, None]
        deviation = _root_mean_square(body)
        body[deviation <= NEGLIGIBLE] = 0.0
        return cls(np.abs(mean), signal_mean, body, np.where(deviation <= NEGLIGIBLE, 0.0, deviation))


def of_signals(signals: Signals) -> dict[str, Array]:
    """Each statistic's values (n,) by name."""
    ordered = np.sort(signals.body, axis=-1)
    by_signal = {
        "deviation": signals.deviation,
        "jerk": np.abs(np.diff(signals.body, axis=-1)).mean(axis=-1),
        **{name: ordered[:, :, rank] for name, rank in PERCENTILE_RANKS.items()},
    }
    return {**_posture(signals), **named(by_signal), **_correlations(signals)}


def named(by_signal: dict[str, Array]) -> dict[str, Array]:
    """The columns of each statistic (n, 5) as ``<signal>_<statistic>`` (n,)."""
    return {
        f"{signal}_{statistic}": values[:, place]
        for statistic, values in by_signal.items()
        for place, signal in enumerate(SIGNALS)
    }


def ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    return numerator / np.where(denominator == 0, np.inf, denominator)


def _with_magnitude_and_vertical(upright: Array, gravity: Array) -> Array:
    # Both are the same whichever way the phone lies: the vertical is the part along gravity.
    x, y, z = upright[:, 0], upright[:, 1], upright[:, 2]
    along = _direction(gravity)
    vertical = x * along[:, 0, None] + y * along[:, 1, None] + z * along[:, 2, None]
    return np.stack([x, y, z, _length(x, y, z), vertical], axis=1)


def _direction(gravity: Array) -> Array:
    length = _length(gravity[:, 0], gravity[:, 1], gravity[:, 2])
    return ratio(gravity, np.where(length <= NEGLIGIBLE, 0.0, length)[:, None])


def _posture(signals: Signals) -> dict[str, Array]:
    gravity = signals.gravity
    cosines = _direction(gravity)
    return {
        **{f"{axis}_gravity_cosine": cosines[:, place] for place, axis in enumerate(AXES)},
        # Shorter than 9.8 m/s² when the phone turned within the window.
        "gravity": _length(gravity[:, 0], gravity[:, 1], gravity[:, 2]),
        "magnitude_mean": signals.mean[:, SIGNALS.index("magnitude")],
    }


def _correlations(signals: Signals) -> dict[str, Array]:
    correlations = {}
    for first, second in itertools.combinations(range(len(AXES)), 2):
        covariance = (signals.body[:, first] * signals.body[:, second]).mean(axis=-1)
        deviations = signals.deviation[:, first] * signals.deviation[:, second]
        correlations[f"{AXES[first]}_{AXES[second]}_correlation"] = ratio(covariance, deviations)
    return correlations


def _length(x: Array, y: Array, z: Array) -> Array:
    return np.sqrt(x * x + y * y + z * z)


def _root_mean_square(values: Array) -> Array:
    power: Array = (values * values).mean(axis=-1)
    return np.sqrt(power)
