"""Features of a window: each row its own window's, always finite, and what their names say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamforest.ml import features

Floats = npt.NDArray[np.float64]
KINDS = ("walk", "noise", "still", "zero", "saturated", "step")
LAYOUTS: dict[str, Callable[[Floats], Floats]] = {
    "time last": lambda windows: np.ascontiguousarray(windows.transpose(0, 2, 1)).transpose(0, 2, 1),
    "column major": np.asfortranarray,
    "every second": lambda windows: np.repeat(windows, 2, axis=0)[::2],
    "reversed": lambda windows: np.ascontiguousarray(windows[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "sliding": lambda windows: np.concatenate([windows, windows], axis=1)[:, :100],
}
Compute = Callable[[Floats], npt.NDArray[np.float32]]
both = pytest.mark.parametrize("compute", [features.statistics, features.lags], ids=["statistics", "lags"])


def window(kind: str, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    if kind == "zero":
        return np.zeros((100, 3))
    if kind == "saturated":
        return random.choice([-20.0, 20.0], (100, 3))
    gravity = random.normal(size=3)
    gravity *= 9.81 / np.sqrt((gravity**2).sum())
    motion = {
        "walk": 3 * np.sin(np.arange(100)[:, None] * random.uniform(0.2, 1, 3)) + random.normal(size=(100, 3)),
        "noise": random.normal(scale=0.05, size=(100, 3)),
        "still": np.zeros((100, 3)),
        "step": np.where(np.arange(100)[:, None] < random.integers(1, 99), 5.0, 0.0),
    }[kind]
    readings: Floats = np.clip(gravity + motion, -20, 20)
    return readings


def batch(size: int, seed: int) -> Floats:
    return np.stack([window(KINDS[(seed + place) % len(KINDS)], seed + place) for place in range(size)])


def column(windows: Floats, name: str) -> Floats:
    return features.statistics(windows)[:, features.STATISTICS.index(name)].astype(np.float64)


def bits(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(rows).view(np.uint32)


@both
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1100), st.integers(0, 10_000), st.sampled_from(sorted(LAYOUTS)), st.data())
def test_a_row_is_its_own_windows_bit_for_bit(
    compute: Compute, size: int, seed: int, layout: str, data: st.DataObject
) -> None:
    windows = batch(min(size, 60), seed)[np.random.default_rng(seed).integers(0, min(size, 60), size)]
    place = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(0, place))

    whole = compute(LAYOUTS[layout](windows))
    alone = compute(windows[place : place + 1].copy())
    rest = compute(windows[first:].copy())

    np.testing.assert_array_equal(bits(whole[place]), bits(alone[0]))
    np.testing.assert_array_equal(bits(whole[first:]), bits(rest))


READINGS = st.floats(-20, 20) | st.sampled_from([0.0, -0.0, 20.0, -20.0, 1e-7, 1e-160, 5e-324, 9.81])


@both
@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, (2, 100, 3), elements=READINGS, fill=READINGS))
def test_features_of_any_readings_are_finite(compute: Compute, windows: Floats) -> None:
    before = windows.copy()

    rows = compute(windows)

    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(windows, before)


@both
def test_one_column_a_name(compute: Compute) -> None:
    names = features.STATISTICS if compute is features.statistics else features.LAGS

    empty = compute(np.empty((0, 100, 3)))
    rows = compute(batch(7, seed=1))

    assert len(set(names)) == len(names)
    assert (empty.shape, rows.shape) == ((0, len(names)), (7, len(names)))
    assert rows.dtype == np.float32


def test_lags_are_rolling_means_from_newest_to_oldest() -> None:
    windows = batch(6, seed=3)

    rows = features.lags(windows).reshape(6, 3, 100)

    for found, readings in zip(rows, windows, strict=True):
        rolling = pd.DataFrame(readings).rolling(5, min_periods=1).mean().to_numpy()
        np.testing.assert_allclose(found, rolling[::-1].T, rtol=1e-6, atol=1e-5)
    assert features.LAGS[0] == "x_lag_0"
    assert features.LAGS[-1] == "z_lag_99"


@pytest.mark.parametrize("kind", ["zero", "still"])
def test_a_motionless_window_has_a_posture_and_nothing_else(kind: str) -> None:
    motionless = window(kind, seed=5)
    length = np.sqrt((motionless[0] ** 2).sum())
    posture = {f"{axis}_gravity_cosine": abs(motionless[0, i]) / (length or 1) for i, axis in enumerate("xyz")}
    fixed = {f"{signal}_period_readings": 6 for signal in ("x", "y", "z", "magnitude", "vertical")}
    fixed |= {f"{signal}_trough_readings": 2 for signal in ("x", "y", "z", "magnitude", "vertical")}
    expected = {**posture, "gravity": length, "magnitude_mean": length, **fixed}

    found = dict(zip(features.STATISTICS, features.statistics(motionless[None])[0].tolist(), strict=True))

    assert found == pytest.approx({name: expected.get(name, 0.0) for name in found}, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
def test_a_phone_put_in_the_other_way_round_gives_the_same(seed: int, signs: tuple[float, float, float]) -> None:
    # Where an axis' mean is exactly 0, as saturated readings make it, there is no gravity to tell its side.
    windows = np.stack([window(kind, seed) for kind in KINDS if kind != "saturated"])

    np.testing.assert_array_equal(features.statistics(windows * np.array(signs)), features.statistics(windows))


def test_turning_the_phone_leaves_magnitude_and_vertical_alone() -> None:
    windows = batch(4, seed=0)[:1]
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    chosen = [name for name in features.STATISTICS if name.startswith(("magnitude", "vertical", "gravity"))]
    places = [features.STATISTICS.index(name) for name in chosen]

    found = features.statistics(np.einsum("nti,ij->ntj", windows, turn))[:, places]

    np.testing.assert_allclose(found, features.statistics(windows)[:, places], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frequency_hz", [1.0, 2.0, 2.6])
def test_a_pure_rhythm_is_found(frequency_hz: float) -> None:
    seconds = np.arange(100) / 20
    steps = np.zeros((1, 100, 3))
    steps[0, :, 1] = 9.81 + 3 * np.sin(2 * np.pi * frequency_hz * seconds)

    found = dict(zip(features.STATISTICS, features.statistics(steps)[0].tolist(), strict=True))

    assert found["vertical_dominant_frequency_hz"] == pytest.approx(frequency_hz)
    # A rhythm of 2.6 Hz peaks between two readings; any multiple of the period may be the higher peak.
    cycles = found["vertical_period_readings"] / 20 * frequency_hz
    assert cycles == pytest.approx(round(cycles), abs=0.1)
    assert found["vertical_autocorrelation_peak"] > 0.9
    assert found["vertical_autocorrelation_trough"] < -0.9
    bands = {name: value for name, value in found.items() if name.startswith("vertical_band_power")}
    strongest = max(bands, key=lambda name: bands[name])
    low, high = (float(edge.replace("p", ".")) for edge in strongest.split("_")[3:5])
    assert low <= frequency_hz < high


def test_statistics_agree_with_a_plain_computation() -> None:
    readings = window("walk", seed=8)
    upright = readings * np.sign(readings.mean(axis=0))
    x, y = upright[:, 0], upright[:, 1]
    magnitude = np.linalg.norm(readings, axis=1)
    body = magnitude - magnitude.mean()
    correlation = {lag: np.mean(body[lag:] * body[: 100 - lag]) / body.var() for lag in range(6, 41)}
    shares = np.abs(np.fft.rfft(body * np.hanning(101)[:100])[1:]) ** 2
    shares /= shares.sum()
    expected = {
        "x_deviation": x.std(),
        "x_jerk": np.abs(np.diff(x)).mean(),
        "x_p95": np.percentile(x, 95, method="nearest") - x.mean(),
        "x_y_correlation": np.corrcoef(x, y)[0, 1],
        "magnitude_mean": magnitude.mean(),
        "gravity": np.linalg.norm(readings.mean(axis=0)),
        "magnitude_autocorrelation_peak": max(correlation.values()),
        "magnitude_period_readings": max(correlation, key=lambda lag: correlation[lag]),
        "magnitude_spectral_entropy": -(shares * np.log(shares)).sum(),
        "magnitude_dominant_share": shares.max(),
    }

    found = {name: column(readings[None], name)[0] for name in expected}

    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len(features.statistics(readings[None])[0]) == len(features.STATISTICS)
