"""What OpenCV must do to pixels, written anew in whole numbers and fractions; and the pieces that the tests are made of."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.fingerprint import synthetic_frame
from edgeinfer.model.preprocess.layout import place
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec
from edgeinfer.model.tensor import Array, Quantization, TensorSpec

FORMATS = ("RGB", "BGR", "GREY", "YUYV", "NV12", "I420")


def tensor(shape: tuple[int, ...], dtype: Any = "uint8", scale: float = 1.0, zero_point: int = 0) -> TensorSpec:
    quantization = None if dtype == "float32" else Quantization(scale=(scale,), zero_point=(zero_point,))
    return TensorSpec(name="x", shape=shape, dtype=dtype, quantization=quantization)


def image_tensor(spec: ImageSpec, dtype: Any = "uint8", scale: float = 1.0, zero_point: int = 0) -> TensorSpec:
    side, channels = (spec.height, spec.width), (spec.channels,)
    return tensor((1, *channels, *side) if spec.layout == "NCHW" else (1, *side, *channels), dtype, scale, zero_point)


def frame_of(pixels: Array, format: FrameFormat | WindowFormat) -> Frame:
    frame = Frame(format)
    frame.view[...] = pixels
    return frame


def frame_from(seed: int, format: FrameFormat | WindowFormat) -> Frame:
    return frame_of(synthetic_frame(seed, format), format)


def run(spec: PreprocessSpec, into: TensorSpec, frame: Frame) -> Array:
    out = np.empty(into.shape, into.dtype)
    build(spec, into, frame.format).run(frame, out)
    return out


def picture(view: Array, format: FrameFormat, spec: ImageSpec) -> Array:
    """The uint8 picture (height, width, channels) that the model sees."""
    placement = place(format.height, format.width, spec)
    pixels = colour_of(view, format)[placement.source.rows, placement.source.columns]
    pixels = area(pixels, placement.factor_y, placement.factor_x)
    pixels = linear(pixels, placement.target.height, placement.target.width)
    canvas = np.full((spec.height, spec.width, spec.channels), spec.pad, np.uint8)
    canvas[placement.target.rows, placement.target.columns] = recoloured(pixels, spec.colour)
    return canvas


def colour_of(view: Array, format: FrameFormat) -> Array:
    """(height, width, 3) in RGB, or (height, width, 1)."""
    match format.pixel_format:
        case "RGB":
            return view
        case "BGR":
            return view[..., ::-1]
        case "GREY":
            return view[..., None]
        case "YUYV":
            return rgb_of_yuv(view[..., 0], np.repeat(view[:, ::2, 1], 2, 1), np.repeat(view[:, 1::2, 1], 2, 1))
        case "NV12":
            chroma = view[format.height:].reshape(format.height // 2, format.width // 2, 2).repeat(2, 0).repeat(2, 1)
            return rgb_of_yuv(view[: format.height], chroma[..., 0], chroma[..., 1])
        case "I420":
            planes = view[format.height:].reshape(2, format.height // 2, format.width // 2).repeat(2, 1).repeat(2, 2)
            return rgb_of_yuv(view[: format.height], planes[0], planes[1])


def rgb_of_yuv(y: Array, u: Array, v: Array) -> Array:
    """ITU-R BT.601, limited range, in 20 bits: 1.164 (Y - 16), 1.596 V, -0.813 V - 0.391 U, 2.018 U."""
    luma = np.maximum(y.astype(np.int64) - 16, 0) * 1220542 + (1 << 19)
    u, v = u.astype(np.int64) - 128, v.astype(np.int64) - 128
    channels = luma + 1673527 * v, luma - 852492 * v - 409993 * u, luma + 2116026 * u
    return np.clip(np.stack(channels, -1) >> 20, 0, 255).astype(np.uint8)


def recoloured(pixels: Array, colour: str) -> Array:
    if pixels.shape[2] == 1:
        return pixels if colour == "GREY" else pixels.repeat(3, 2)
    if colour == "GREY":  # 0.299 R + 0.587 G + 0.114 B in 15 bits
        return ((pixels.astype(np.int64) @ (9798, 19235, 3735) + (1 << 14)) >> 15).astype(np.uint8)[..., None]
    return pixels if colour == "RGB" else pixels[..., ::-1]


def area(pixels: Array, factor_y: int, factor_x: int) -> Array:
    """The mean of each block: half up for 2 x 2, else the sum times a float32 of 1 / area, half to even."""
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // factor_y, factor_y, width // factor_x, factor_x, channels)
    total = blocks.sum((1, 3), dtype=np.int64)
    if factor_y == factor_x == 2:
        return ((total + 2) >> 2).astype(np.uint8)
    return np.rint(total.astype(np.float32) * np.float32(1 / (factor_x * factor_y))).astype(np.uint8)


def linear(pixels: Array, height: int, width: int) -> Array:
    """Bilinear between pixel centres, with weights in 256ths."""
    index, weight = _taps(pixels.shape[1], width)
    after = np.minimum(index + 1, pixels.shape[1] - 1)
    rows = pixels[:, index].astype(np.int64) * (256 - weight)[:, None] + pixels[:, after].astype(np.int64) * weight[:, None]
    index, weight = _taps(pixels.shape[0], height)
    after = np.minimum(index + 1, pixels.shape[0] - 1)
    total = rows[index] * (256 - weight)[:, None, None] + rows[after] * weight[:, None, None]
    return ((total + (1 << 15)) >> 16).astype(np.uint8)


def _taps(source: int, target: int) -> tuple[Array, Array]:
    at = [min(max(Fraction(2 * i + 1, 2) * Fraction(source, target) - Fraction(1, 2), Fraction(0)), Fraction(source - 1))
          for i in range(target)]
    return np.array([int(place) for place in at]), np.array([round((place - int(place)) * 256) for place in at])


@st.composite
def image_specs(draw: st.DrawFn, **fixed: Any) -> ImageSpec:
    colour = fixed.pop("colour", None) or draw(st.sampled_from(("RGB", "BGR", "GREY")))
    entries = draw(st.sampled_from((1, 1 if colour == "GREY" else 3)))
    values = {"height": draw(st.integers(1, 40)), "width": draw(st.integers(1, 40)), "colour": colour,
              "layout": draw(st.sampled_from(("NHWC", "NCHW"))), "pad": draw(st.integers(0, 255)),
              "resize": draw(st.sampled_from(("stretch", "letterbox", "crop"))),
              "mean": tuple(draw(st.lists(st.sampled_from((0.0, 127.5, 123.675)) | st.floats(-300, 300, width=32),
                                          min_size=entries, max_size=entries))),
              "std": tuple(draw(st.lists(st.sampled_from((1.0, 127.5, 58.395)) | st.floats(0.125, 300, width=32),
                                         min_size=entries, max_size=entries)))}
    return ImageSpec(**{**values, **fixed})


@st.composite
def frame_formats(draw: st.DrawFn) -> FrameFormat:
    pixel_format = draw(st.sampled_from(FORMATS))
    height, width = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    if pixel_format in ("YUYV", "NV12", "I420"):
        height, width = 2 * -(-height // 2), 2 * -(-width // 2)
    return FrameFormat(pixel_format, height, width)


@st.composite
def quantised(draw: st.DrawFn) -> tuple[Any, float, int]:
    """dtype, scale and zero point; scales at which halves occur are as likely as any."""
    dtype = draw(st.sampled_from(("uint8", "int8", "int16")))
    limits = np.iinfo(dtype)
    scale = draw(st.sampled_from((1.0, 0.5, 2.0, 1 / 128, 1 / 127.5, 0.003921568859368563)) | st.floats(1e-6, 1e3))
    return dtype, scale, draw(st.integers(int(limits.min), int(limits.max)))
