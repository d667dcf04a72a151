"""Made-up accelerometer signals: what a phone in the pocket of a walking, resting or lying person would measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]

SAMPLE_MS = 50
GRAVITY = 9.80665
_MOVING = {
    # activity: (step frequency in Hz, vertical amplitude in m/s², unsteadiness of steps), middle of the population
    "Walking": (1.85, 3.0, 0.10),
    "Jogging": (2.6, 7.5, 0.12),
    "Stairs": (1.5, 2.5, 0.32),
}
_RESTING_NOISE = {"Sitting": 0.09, "Standing": 0.16, "LyingDown": 0.06}
ACTIVITIES = (*_MOVING, *_RESTING_NOISE)


@dataclass(frozen=True, kw_only=True)
class Person:
    """What stays the same of one user in all recordings; angles in radians."""

    tempo: float
    """Factor on the step frequency."""
    vigour: float
    """Factor on amplitudes."""
    harmonics: Signal
    """(axis, harmonic) weights of a step's shape: vertical, forward, sideways."""
    phases: Signal
    """(axis, harmonic)."""
    pocket: Signal
    """(3, 3) rotation from the body's to the phone's axes."""
    seat_tilt: float
    """How far the thigh leans back from upright when sitting."""
    noise: float
    """Standard deviation of the sensor's noise, m/s²."""


def make_person(rng: np.random.Generator) -> Person:
    """One member of the population."""
    facing = rotation(1, rng.choice([0.0, np.pi], p=[0.8, 0.2])) @ rotation(2, rng.choice([0.0, np.pi], p=[0.85, 0.15]))
    return Person(
        tempo=rng.normal(1, 0.06),
        vigour=float(np.exp(rng.normal(0, 0.2))),
        harmonics=np.array([[1, 0.45, 0.2], [0.5, 0.3, 0.12], [0.35, 0.2, 0.08]]) * rng.uniform(0.5, 1.5, (3, 3)),
        phases=rng.uniform(0, 2 * np.pi, (3, 3)),
        pocket=facing @ _wobble(rng, 0.2),
        seat_tilt=rng.normal(1.1, 0.15),
        noise=rng.uniform(0.03, 0.12),
    )


def record(person: Person, activity: str, count: int, rng: np.random.Generator) -> Signal:
    """(count, 3) x, y, z in m/s² of one recording at 20 Hz.

    Each recording places the phone a little differently, and the pocket gives way slowly.
    """
    seconds = np.arange(count) * SAMPLE_MS / 1000
    body = _steps(person, activity, seconds, rng) if activity in _MOVING else _fidgets(activity, seconds, rng)
    body[:, 1] += GRAVITY
    turned = body @ (person.pocket @ _wobble(rng, 0.15) @ _posture(person, activity, rng)).T
    drift = 0.4 * np.sin(2 * np.pi * seconds / rng.uniform(60, 300) + rng.uniform(0, 6))[:, None] * rng.normal(0, 1, 3)
    return turned + drift + rng.normal(0, person.noise, (count, 3))


def rotation(axis: int, angle: float) -> Signal:
    """(3, 3) rotation about one axis."""
    turn = np.eye(3)
    first, second = [index for index in range(3) if index != axis]
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
    return turn


def _wobble(rng: np.random.Generator, spread: float) -> Signal:
    x, y, z = rng.normal(0, spread, 3)
    return rotation(0, x) @ rotation(1, y) @ rotation(2, z)


def _posture(person: Person, activity: str, rng: np.random.Generator) -> Signal:
    """How the thigh, and the phone on it, is turned from upright."""
    if activity == "Sitting":
        return rotation(0, person.seat_tilt + rng.normal(0, 0.2))
    if activity == "LyingDown":
        # On the back, on either side, on the belly.
        return rotation(
            1, rng.choice([0, np.pi / 2, -np.pi / 2, np.pi], p=[0.2, 0.35, 0.35, 0.1]) + rng.normal(0, 0.2)
        ) @ rotation(0, rng.normal(np.pi / 2, 0.15))
    return rotation(0, rng.normal(0.1, 0.12))


def _steps(person: Person, activity: str, seconds: Signal, rng: np.random.Generator) -> Signal:
    """(count, 3) sideways, vertical and forward acceleration: harmonics of the step, sideways of the stride."""
    frequency_hz, amplitude, unsteady = _MOVING[activity]
    frequency_hz *= person.tempo * rng.normal(1, 0.03)
    amplitude *= person.vigour * rng.uniform(0.75, 1.25)
    steps = np.arange(int(seconds[-1] * frequency_hz * 2) + 2)
    pace = 1 + unsteady / 4 * rng.standard_normal(len(steps))
    strength = np.clip(1 + unsteady * rng.standard_normal(len(steps)), 0.2, 2)
    phase = (
        2 * np.pi * np.interp(seconds * frequency_hz, np.concatenate([[0], np.cumsum(pace)]), np.arange(len(steps) + 1))
    )
    envelope = amplitude * np.interp(phase / (2 * np.pi), steps, strength)
    orders = np.arange(1, 4)
    body = np.empty((len(seconds), 3))
    for column, axis, base in ((1, 0, 1.0), (2, 1, 1.0), (0, 2, 0.5)):
        waves = np.cos(base * phase[:, None] * orders + person.phases[axis]) @ person.harmonics[axis]
        body[:, column] = envelope * waves
    return body


def _fidgets(activity: str, seconds: Signal, rng: np.random.Generator) -> Signal:
    """(count, 3): unrest of a resting body, with a burst of movement now and then."""
    count = len(seconds)
    level = _RESTING_NOISE[activity] * np.exp(rng.normal(0, 0.5))
    unrest = np.cumsum(rng.normal(0, level, (count, 3)), axis=0)
    unrest -= np.linspace(0, 1, count)[:, None] * unrest[-1]
    body = 0.05 * unrest + rng.normal(0, level, (count, 3))
    for start_s in np.flatnonzero(rng.random(int(seconds[-1]) + 1) < 0.02):
        body += np.exp(-(((seconds - start_s) / 0.8) ** 2))[:, None] * rng.normal(0, 1.5, (count, 3))
    return body
