"""Rhythm of a window's signals: power by frequency, and how much a signal repeats itself after each lag."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from streamforest.ml.statistics import Array, Signals, named, ratio

READINGS = 100
RESOLUTION_HZ = 0.2
# Edges in Hz. Below 0.3 is sway, 0.7 to 1.2 the stride and 1.2 to 2.3 the step of a walk, 2.3 to 3 that of a run;
# above are harmonics of heel strikes, then tremor and the sensor's noise. The last band holds the highest frequency.
BAND_EDGES_HZ = (0.3, 0.7, 1.2, 1.7, 2.3, 3.0, 4.0, 5.5, 7.5, 10.1)
# Lags, in readings, among which a period is looked for: 0.3 to 2 s hold the step and the stride of any gait.
PERIOD_LAGS = (6, 40)
# The counterpart, 0.1 to 1.5 s: half a period, where a rhythm is least like itself.
TROUGH_LAGS = (2, 30)
# At 3 s a lag still compares 40 pairs of readings.
MAX_LAG = 60

_BAND_BINS = tuple(int(np.ceil(edge / RESOLUTION_HZ - 1e-9)) for edge in BAND_EDGES_HZ)
# Hann: without it a strong step leaks into every band.
_TAPER = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(READINGS) / READINGS)
_PAIRS = READINGS - np.arange(MAX_LAG + 1)


def of_signals(signals: Signals) -> dict[str, Array]:
    """Each rhythm's values (n,) by name; a constant signal has power 0, rhythm 0 and the shortest period."""
    return named({**_power(signals.body), **_rhythm(signals.body)})


def _power(body: Array) -> dict[str, Array]:
    transform = np.fft.rfft(body * _TAPER, axis=-1)
    power = transform.real**2 + transform.imag**2
    power[:, :, 0] = 0.0
    share = ratio(power, power.sum(axis=-1)[:, :, None])
    return {
        **_bands(power),
        "spectral_entropy": -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=-1),
        "dominant_frequency_hz": power.argmax(axis=-1) * RESOLUTION_HZ,
        "dominant_share": share.max(axis=-1),
    }


def _bands(power: Array) -> dict[str, Array]:
    return {
        f"band_power_{low:g}_{high:g}_hz".replace(".", "p"): power[:, :, first:last].sum(axis=-1)
        for (low, high), (first, last) in zip(
            itertools.pairwise(BAND_EDGES_HZ), itertools.pairwise(_BAND_BINS), strict=True
        )
    }


def _rhythm(body: Array) -> dict[str, Array]:
    correlation = _autocorrelation(body)
    period = PERIOD_LAGS[0] + _between(correlation, PERIOD_LAGS).argmax(axis=-1)
    trough = TROUGH_LAGS[0] + _between(correlation, TROUGH_LAGS).argmin(axis=-1)
    return {
        "period_readings": period.astype(np.float64),
        "autocorrelation_peak": _at(correlation, period),
        "autocorrelation_half_period": _at(correlation, period // 2),
        "autocorrelation_two_periods": _at(correlation, np.minimum(2 * period, MAX_LAG)),
        "trough_readings": trough.astype(np.float64),
        "autocorrelation_trough": _at(correlation, trough),
    }


def _autocorrelation(body: Array) -> Array:
    # Unbiased: each lag's mean product over the pairs it has. The padding, as long as the longest lag, keeps the end of
    # a window from being compared with its beginning.
    transform = np.fft.rfft(body, READINGS + MAX_LAG, axis=-1)
    products = np.fft.irfft(transform.real**2 + transform.imag**2, READINGS + MAX_LAG, axis=-1)[:, :, : MAX_LAG + 1]
    return ratio(products * (READINGS / _PAIRS), products[:, :, :1])


def _between(correlation: Array, lags: tuple[int, int]) -> Array:
    first, last = lags
    return correlation[:, :, first : last + 1]


def _at(correlation: Array, lag: npt.NDArray[np.intp]) -> Array:
    return np.take_along_axis(correlation, lag[:, :, None], axis=-1)[:, :, 0]
