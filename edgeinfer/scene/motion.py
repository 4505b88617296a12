"""Whether anything moves, asked before the model: a still scene costs next to nothing.

    frame ─▶ grey, about 160 pixels wide, smooth ─▶ difference from a running background ─▶ enough pixels changed?

The background is kept in 1/256 of a grey level and moves a part of the way to what is seen a few times a second, all in whole
numbers. Who moves keeps the model awake for some seconds after the last movement.
"""

from __future__ import annotations

import msgspec
import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.tensor import Array
from edgeinfer.scene.polygon import Points, check

__all__ = ["Motion", "MotionOptions"]

_WIDTH = 160
_LEARN_NS = 200_000_000  # between two steps of the background
_SHIFT = 4  # a step goes 1/16 of the way: what stays is a part of the background after about 10 s


class MotionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``mask``: polygons in which movement does not matter (a tree, a clock), in fractions of the frame."""

    sensitivity: float = 0.5  # 0 to 1: how little of a difference is one: 60 grey levels, 13 in the middle, 3
    min_area: float = 0.001  # share of the frame that must have changed
    awake_s: float = 5.0  # so long after the last movement the model looks at every frame
    look_s: float = 60.0  # and at one in so many seconds of stillness; 0: never
    mask: tuple[Points, ...] = ()

    def __post_init__(self) -> None:
        for name, least, most in (("sensitivity", 0, 1), ("min_area", 0, 1), ("awake_s", 0, 86400), ("look_s", 0, 86400)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"expected {name} between {least:g} and {most:g}, got {getattr(self, name):g}")
        for points in self.mask:
            check(points, "mask")


class Motion:
    """One source of pictures. All memory but that of the views is allocated here; the inference thread.

    The first frame, and the first of another size, moves: nothing is known of it.
    """

    def __init__(self, options: MotionOptions, format: FrameFormat) -> None:
        import cv2  # here, so that a device without a camera needs no OpenCV

        self.share = 0.0  #: of the frame, that had changed at the last look
        self.moved = 0  #: frames with movement
        self.options = options
        self._cv2 = cv2
        self._least = round(60 ** (1 - options.sensitivity) * 3**options.sensitivity)
        self._awake_ns, self._look_ns = round(options.awake_s * 1e9), round(options.look_s * 1e9)
        self._until_ns = self._looked_ns = self._learnt_ns = -(1 << 62)
        self._format: object = None
        self._area = 1
        height, width = _size(format)
        self._small = np.empty((height, width, 3), np.uint8)
        self._grey, self._wanted = (np.empty((height, width), np.uint8) for _ in range(2))
        self._smooth = np.empty((height, width), np.uint8)
        self.changed = np.zeros((height, width), np.uint8)  #: 1 where it had changed at the last look
        self._background = np.zeros((height, width), np.int32)
        self._step = np.empty((height, width), np.int32)
        self.nbytes = sum(part.nbytes for part in (self._small, self._grey, self._smooth, self.changed, self._wanted,
                                                   self._background, self._step))
        self._draw_mask(height, width)

    def admit(self, frame: Frame) -> bool:
        """Whether the model shall look at this frame: something moves or did so lately, or it is time to look anyway."""
        now_ns = frame.monotonic_ns
        if self._moves(frame, now_ns):
            self.moved += 1
            self._until_ns = now_ns + self._awake_ns
        elif now_ns >= self._until_ns and not (self._look_ns and now_ns - self._looked_ns >= self._look_ns):
            return False
        self._looked_ns = now_ns
        return True

    def _moves(self, frame: Frame, now_ns: int) -> bool:
        grey = self._look(frame)
        if frame.format != self._format:
            self._format, self._learnt_ns = frame.format, now_ns
            np.multiply(grey, 256, out=self._background, dtype=np.int32)
            np.copyto(self.changed, self._wanted)
            self.share = 1.0
            return True
        np.right_shift(self._background, 8, out=self._step)
        np.subtract(grey, self._step, out=self._step)  # the difference, in grey levels
        np.abs(self._step, out=self._step)
        np.greater(self._step, self._least, out=self.changed.view(np.bool_))
        self.changed &= self._wanted
        self.share = self._cv2.countNonZero(self.changed) / self._area
        if now_ns - self._learnt_ns >= _LEARN_NS:
            self._learn(grey, now_ns)
        return self.share > 0 and self.share >= self.options.min_area

    def _learn(self, grey: Array, now_ns: int) -> None:
        self._learnt_ns = now_ns
        np.multiply(grey, 256, out=self._step, dtype=np.int32)
        self._step -= self._background
        self._step >>= _SHIFT
        self._background += self._step

    def _look(self, frame: Frame) -> Array:
        """The frame in grey, small. Rows that are not needed are left out before the rest is averaged."""
        view, height = frame.view, frame.view.shape[0]
        kind = frame.format.pixel_format if isinstance(frame.format, FrameFormat) else "GREY"
        if kind in ("NV12", "I420"):
            height = height * 2 // 3
            view = view[:height]
        rows, columns = self._grey.shape
        every = max(height // (2 * rows), 1)
        channels = 1 if view.ndim == 2 else view.shape[2]
        into = self._grey if channels == 1 else self._small.reshape(-1)[: self._grey.size * channels].reshape(rows, columns, -1)
        self._cv2.resize(view[::every], (columns, rows), into, 0, 0, self._cv2.INTER_AREA)
        if channels == 2:
            self._cv2.extractChannel(into, 0, self._grey)
        elif channels == 3:
            code = self._cv2.COLOR_RGB2GRAY if kind == "RGB" else self._cv2.COLOR_BGR2GRAY
            self._cv2.cvtColor(into, code, self._grey)
        return self._cv2.blur(self._grey, (3, 3), self._smooth)  # little was averaged of a small frame, and its noise is all there

    def _draw_mask(self, height: int, width: int) -> None:
        self._wanted.fill(1)
        for points in self.options.mask:
            corners = np.array([(round(x * width), round(y * height)) for x, y in points], np.int32)
            self._cv2.fillPoly(self._wanted, [corners], (0,))
        self._area = max(int(self._wanted.sum()), 1)


def _size(format: FrameFormat) -> tuple[int, int]:
    """(height, width) to look at."""
    width = min(_WIDTH, format.width)
    return max(1, min(format.height, round(format.height * width / format.width))), width
