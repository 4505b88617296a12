"""A motor with a bearing, felt by a 3-axis accelerometer. Run by hand: python simulate.py (needs numpy)

Writes vibration.csv (x, y, z in m/s2 at 800 samples a second, 18 s) and truth.json (when the outer race of the bearing is
broken, in seconds). ``train.py`` draws its recordings from the same motor, with other seeds.

The motor: four poles on 50 Hz mains, 24.6 turns a second less what the load takes. Imbalance shakes it once a turn,
misalignment twice, looseness three times; the stator's pull comes at 100 Hz, and the bearing hisses. All grow with the load,
which wanders, so that the level of the vibration alone tells little.
The fault: each ball that passes the crack strikes it, 3.585 times a turn (a 6205 bearing: 9 balls of 7.94 mm on a circle of
39.04 mm, 9 / 2 * (1 - 7.94 / 39.04)), and the housing rings at 310 Hz, damped within milliseconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RATE = 800.0  # samples a second
SECONDS = 18.0
FAULT = (7.0, 12.0)  # seconds, in vibration.csv
SEED = 2024
GRAVITY = (0.21, -0.34, 9.80)  # the sensor sits almost level
ORDERS = ((1, (2.6, 0.5, 2.2)), (2, (0.7, 1.1, 0.6)), (3, (0.35, 0.2, 0.4)))  # per turn, amplitude on x, y, z in m/s2
HUM = (0.5, 0.25, 0.6)  # m/s2 at 100 Hz
HISS = (0.30, 0.22, 0.32)  # m/s2, standard deviation
BALL_PASS = 9 / 2 * (1 - 7.94 / 39.04)  # strikes a turn
RING_HZ, RING_SECONDS = 310.0, 0.004
STRIKE = (3.2, 1.3, 2.8)  # m/s2


def wander(count: int, step: float, rng: np.random.Generator) -> np.ndarray:
    """A slow random walk around 0, standard deviation about 1, a new direction every ``step`` seconds."""
    knots = rng.normal(0, 1, int(count / RATE / step) + 3)
    return np.interp(np.arange(count) / RATE / step, np.arange(len(knots)), knots)


def ringing(turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) of strikes at each passing ball, amplitude about 1; balls slip a little, so no two intervals are alike."""
    passed = turns * BALL_PASS
    marks = np.arange(np.ceil(passed[0]), passed[-1])
    at = np.interp(marks + rng.normal(0, 0.02, len(marks)), passed, np.arange(len(turns)))
    time = np.arange(int(6 * RING_SECONDS * RATE)) / RATE
    sound = np.zeros(len(turns) + len(time) + 1)
    for start in at:
        delay = (np.ceil(start) - start) / RATE
        ring = np.exp(-(time + delay) / RING_SECONDS) * np.sin(2 * np.pi * RING_HZ * (time + delay))
        sound[int(np.ceil(start)):][:len(time)] += rng.uniform(0.8, 1.2) * ring
    return sound[:len(turns)]


def record(seconds: float, seed: int, fault: tuple[float, float] | None = None) -> np.ndarray:
    """float32 (n, 3), m/s2; broken between the two times of ``fault``, worse towards the end."""
    rng, count = np.random.default_rng(seed), int(seconds * RATE)
    load = np.clip(1 + 0.25 * wander(count, 3.0, rng) + rng.normal(0, 0.1), 0.5, 1.6)
    speed = 24.6 - 0.5 * load + 0.05 * wander(count, 0.5, rng)
    turns = rng.uniform() + np.cumsum(speed) / RATE
    felt = np.array(GRAVITY) + rng.normal(0, HISS, (count, 3)) * np.sqrt(load)[:, None]
    for order, amplitude in ORDERS:
        phase = rng.uniform(0, 0.1, 3) + np.array([0, 0.3, 0.25])  # turns: the axes feel it one after the other
        felt += load[:, None] * amplitude * np.sin(2 * np.pi * (order * turns[:, None] + phase))
    time = np.arange(count)[:, None] / RATE
    felt += np.array(HUM) * np.sin(2 * np.pi * (100 * time + rng.uniform()))
    if fault is not None:
        grown = np.interp(time[:, 0], fault, (0.7, 1.1), left=0, right=0)
        felt += (grown * ringing(turns, rng))[:, None] * STRIKE
    return felt.astype(np.float32)


def main() -> None:
    felt = record(SECONDS, SEED, FAULT)
    np.savetxt(HERE / "vibration.csv", felt, fmt="%.2f", delimiter=",", header="x,y,z", comments="")
    (HERE / "truth.json").write_text(json.dumps({"rate": RATE, "fault": FAULT}) + "\n")


if __name__ == "__main__":
    main()
