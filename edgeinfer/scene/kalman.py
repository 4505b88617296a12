"""Where boxes are and how fast they move: a Kalman filter of constant velocity for many boxes at once.

A box is (centre x, centre y, width, height). The four do not influence each other, so each is a filter of two states
(position, velocity) with a covariance of three numbers. Noise is in proportion to the box, as in SORT (Bewley et al., 2016)
and ByteTrack (Zhang et al., 2022); the process is white noise of acceleration, so that the frame rate does not matter.
"""

from __future__ import annotations

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Kalman"]

_MEASURED = np.array([0.05, 0.05, 0.05, 0.05])  # standard deviation of a detection, in sizes of the box
_PUSHED = np.array([1.0, 1.0, 0.3, 0.3])  # how much the velocity wanders in a second, in sizes a second
_UNKNOWN = np.array([2.0, 2.0, 0.3, 0.3])  # standard deviation of the first velocity, in sizes a second


class Kalman:
    """``most`` boxes; a free slot is all zero. Arrays (most, 4) of float64 are allocated here and written in place."""

    def __init__(self, most: int) -> None:
        self.at = np.zeros((most, 4))
        self.speed = np.zeros((most, 4))  # fractions a second
        self._pp, self._pv, self._vv = np.zeros((most, 4)), np.zeros((most, 4)), np.zeros((most, 4))
        self._corners = np.zeros((most, 4))
        self.nbytes = 6 * self.at.nbytes

    def begin(self, slot: int, box: Array) -> None:
        """A new box, of unknown velocity."""
        size = box[[2, 3, 2, 3]]
        self.at[slot] = box
        self.speed[slot] = 0
        self._pp[slot] = (_MEASURED * size) ** 2
        self._pv[slot] = 0
        self._vv[slot] = (_UNKNOWN * size) ** 2

    def free(self, slot: int) -> None:
        for array in (self.at, self.speed, self._pp, self._pv, self._vv):
            array[slot] = 0

    def lose(self, slot: int, box: Array | None = None, speed: Array | None = None) -> None:
        """Out of sight: it moves on, and neither grows nor shrinks. ``box`` and ``speed`` (x, y) where they are known better
        than from what was seen last."""
        if box is not None and speed is not None:
            self.begin(slot, box)
            self.speed[slot, :2] = speed
            self._vv[slot] = (_PUSHED * box[[2, 3, 2, 3]]) ** 2
        self.speed[slot, 2:] = 0

    def find(self, slot: int, box: Array) -> None:
        """It is in sight again, perhaps a part of it only: where it is comes from there, how fast it moves does not."""
        speed = self.speed[slot, :2].copy()
        self.begin(slot, box)
        self.speed[slot, :2] = speed
        self._vv[slot] = (_PUSHED * box[[2, 3, 2, 3]]) ** 2

    def predict(self, seconds: float) -> None:
        """All boxes, so much later."""
        noise = (_PUSHED * self.at[:, [2, 3, 2, 3]]) ** 2
        self.at += self.speed * seconds
        self._pp += seconds * (2 * self._pv + seconds * self._vv) + noise * (seconds**3 / 3)
        self._pv += seconds * self._vv + noise * (seconds**2 / 2)
        self._vv += noise * seconds
        np.maximum(self.at[:, 2:], 0, out=self.at[:, 2:])

    def correct(self, slot: int, box: Array) -> None:
        """What was measured of one box."""
        away = box - self.at[slot]
        innovation = self._pp[slot] + (_MEASURED * box[[2, 3, 2, 3]]) ** 2 + 1e-12
        gain, push = self._pp[slot] / innovation, self._pv[slot] / innovation
        self.at[slot] += gain * away
        self.speed[slot] += push * away
        self._vv[slot] -= push * self._pv[slot]
        self._pp[slot] *= 1 - gain
        self._pv[slot] *= 1 - gain

    def corners(self) -> Array:
        """(most, 4): left, top, right, bottom; the same array each time."""
        half = self.at[:, 2:] / 2
        np.subtract(self.at[:, :2], half, out=self._corners[:, :2])
        np.add(self.at[:, :2], half, out=self._corners[:, 2:])
        return self._corners
