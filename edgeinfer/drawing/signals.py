"""How a window of samples looks: its waves, and the spectrogram that is in them; a row of a table as bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.drawing.colours import Colour, colour_of
from edgeinfer.model.tensor import Array

__all__ = ["draw_window"]

WIDE, HIGH, FOOT = 960, 620, 150  # pixels; the foot is left free for what the model says
_PAPER, _GROUND, _TEXT = (29, 24, 22), (44, 38, 35), (196, 188, 180)
_LEFT, _RIGHT, _TOP, _GAP = 76, 20, 20, 30
_RANGE_DB = 70.0
_FEW = 16  # samples: fewer are a table's row rather than a wave


def draw_window(samples: Array, rate: float, features: Array | None = None, history: Sequence[tuple[float, int]] = ()) -> Array:
    """BGR (HIGH, WIDE, 3) of float32 ``samples`` (length, channels) at ``rate`` (0: time is in samples).

    ``features`` (rows, columns): what the model hears in place of a spectrogram. ``history``: of the last results, the newest last,
    a height 0..1 and the number of a colour: a strip in the foot.
    """
    sheet = _Sheet()
    samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
    if len(samples) < _FEW:
        sheet.bars(samples.reshape(-1))
    else:
        seconds = len(samples) / (rate or 1.0)
        middle = _TOP + (HIGH - FOOT - _TOP) * 2 // 5
        sheet.waves(samples, _TOP, middle - _GAP // 2)
        heat, top = _spectrogram(samples.mean(axis=1)), _hertz(rate / 2)
        if features is not None and min(features.shape) > 1:
            heat, top = features.T, f"#{features.shape[1]}"
        sheet.heat(heat, middle + _GAP // 2, HIGH - FOOT - 28, top, seconds, "s" if rate else "")
    sheet.strip(history)
    return sheet.picture


class _Sheet:
    def __init__(self) -> None:
        import cv2

        self.cv2 = cv2
        self.picture = np.full((HIGH, WIDE, 3), _PAPER, np.uint8)

    def text(self, text: str, x: int, y: int, size: float = 0.45, right: bool = False) -> None:
        font = self.cv2.FONT_HERSHEY_SIMPLEX
        if right:
            x -= self.cv2.getTextSize(text, font, size, 1)[0][0]
        self.cv2.putText(self.picture, text, (x, y), font, size, _TEXT, 1, self.cv2.LINE_AA)

    def ground(self, top: int, bottom: int) -> None:
        self.cv2.rectangle(self.picture, (_LEFT, top), (WIDE - _RIGHT, bottom), _GROUND, -1)

    def waves(self, samples: Array, top: int, bottom: int) -> None:
        """One line a channel around its own mean, all in one scale."""
        self.ground(top, bottom)
        apart = samples - samples.mean(axis=0)
        most = float(abs(apart).max()) or 1.0
        middle, half = (top + bottom) / 2, (bottom - top) / 2 - 6
        x = np.linspace(_LEFT, WIDE - _RIGHT, len(samples))
        for channel in range(samples.shape[1]):
            points = np.stack([x, middle - apart[:, channel] / most * half], 1)
            self.cv2.polylines(self.picture, [np.rint(points * 16).astype(np.int32)], False, colour_of(channel), 1,
                               self.cv2.LINE_AA, 4)
        self.text(f"+{most:.3g}", _LEFT - 8, top + 14, right=True)
        self.text(f"-{most:.3g}", _LEFT - 8, bottom - 4, right=True)

    def heat(self, values: Array, top: int, bottom: int, highest: str, seconds: float, unit: str) -> None:
        """Rows from below, columns are time; dark is little."""
        low, high = np.percentile(values, 2), float(values.max())
        share = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
        wide, tall = WIDE - _RIGHT - _LEFT, bottom - top
        large = self.cv2.resize((share[::-1] * 255).astype(np.uint8), (wide, tall), interpolation=self.cv2.INTER_LINEAR)
        self.picture[top:bottom, _LEFT : _LEFT + wide] = self.cv2.applyColorMap(large, self.cv2.COLORMAP_MAGMA)
        self.text(highest, _LEFT - 8, top + 12, right=True)
        self.text("0", _LEFT - 8, bottom, right=True)
        for part in range(5):
            x = _LEFT + wide * part // 4
            self.cv2.line(self.picture, (x, bottom), (x, bottom + 5), _TEXT, 1)
            self.text(f"{seconds * part / 4:.3g} {unit}".strip(), x + (12 if part == 4 else 0), bottom + 20, 0.4, right=part == 4)

    def bars(self, values: Array) -> None:
        """A bar a value, from 0."""
        top, bottom = _TOP, HIGH - FOOT - 28
        self.ground(top, bottom)
        most = float(abs(values).max()) or 1.0
        middle, half = (top + bottom) // 2, (bottom - top) / 2 - 24
        step = (WIDE - _RIGHT - _LEFT) / len(values)
        for index, value in enumerate(values):
            left, right = round(_LEFT + (index + 0.15) * step), round(_LEFT + (index + 0.85) * step)
            end = round(middle - value / most * half)
            self.cv2.rectangle(self.picture, (left, min(middle, end)), (right, max(middle, end)), colour_of(index), -1)
            if step > 40:
                self.text(f"{value:.3g}", left, min(middle, end) - 6 if value >= 0 else max(middle, end) + 16, 0.4)
        self.cv2.line(self.picture, (_LEFT, middle), (WIDE - _RIGHT, middle), _TEXT, 1)

    def strip(self, history: Sequence[tuple[float, int]]) -> None:
        left, right, top, bottom = WIDE // 2, WIDE - _RIGHT, HIGH - FOOT + 26, HIGH - 14
        if not history:
            return
        self.cv2.rectangle(self.picture, (left, top), (right, bottom), _GROUND, -1)
        step = (right - left) / max(len(history), 60)
        for index, (share, number) in enumerate(reversed(history)):
            end = round(right - index * step)
            colour: Colour = colour_of(number)
            height = round(min(max(share, 0.02), 1.0) * (bottom - top - 4))
            self.cv2.rectangle(self.picture, (round(end - step + 1), bottom - height), (end - 1, bottom), colour, -1)
        self.text("now", right, top - 6, 0.4, right=True)


def _spectrogram(samples: Array) -> Array:
    """(frequencies, times) in dB below the loudest, of the samples without their mean."""
    size = int(2 ** np.clip(np.round(np.log2(max(len(samples), 2)) - 5), 5, 10))
    size = min(size, 1 << (len(samples).bit_length() - 1))
    step = max(1, min(size // 4, (len(samples) - size) // 40 or 1))
    windows = np.lib.stride_tricks.sliding_window_view(samples - samples.mean(), size)[::step]
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)).T ** 2
    levels: Array = np.maximum(10 * np.log10(power / (power.max() or 1.0) + 1e-12), -_RANGE_DB)
    return levels


def _hertz(value: float) -> str:
    return "" if value <= 0 else f"{value / 1000:g} kHz" if value >= 1000 else f"{value:g} Hz"
