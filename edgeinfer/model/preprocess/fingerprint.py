"""Proof that a device preprocesses as the toolkit did: a digest of the tensors that fixed synthetic frames give.

The frames come from whole numbers alone, so that they are the same bytes on every platform and with every numpy. Features are
not: a Fourier transform rounds in the 16th digit, one way here and another there. Float tensors of features are counted in
4096ths of their greatest value, 10**9 times as coarse as that; quantised ones are coarse already.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from edgeinfer.model.preprocess.textspec import TextSpec
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["fingerprint", "synthetic_frame"]


def fingerprint(spec: PreprocessSpec, tensor: TensorSpec) -> str:
    """SHA-256 in hex, over the spec and the input tensors of fixed frames. Raises what ``build`` raises.

    Fields of the spec that have their default are left out, so that a later version may add fields.
    """
    digest = hashlib.sha256(_serialise(spec))
    out = np.empty(tensor.shape, tensor.dtype)
    coarse = isinstance(spec, WindowSpec) and spec.features is not None and out.dtype.kind == "f"
    for seed, source in enumerate(_formats(spec)):
        frame = Frame(source)
        frame.view[...] = synthetic_frame(seed, source, spec)
        build(spec, tensor, source).run(frame, out)
        digest.update((_coarse(out) if coarse else out).tobytes())
    return digest.hexdigest()


def synthetic_frame(seed: int, format: FrameFormat | WindowFormat, spec: PreprocessSpec | None = None) -> Array:
    """A frame of the format's shape and dtype: slopes, blocks and noise. Windows hold samples of many magnitudes, of which
    those for a ``spec`` with features are within -0.5 and 0.5, as sound is."""
    if isinstance(format, FrameFormat):
        return _picture(seed, format)
    if isinstance(spec, WindowSpec) and spec.text is not None:
        return _text(seed, format, spec.text)
    window = _window(seed, format)
    return np.ldexp(window, -11) if isinstance(spec, WindowSpec) and spec.features is not None else window


def _formats(spec: PreprocessSpec) -> list[FrameFormat | WindowFormat]:
    """Every pixel layout, enlarging and shrinking, odd sides and whole factors; for windows the only one there is, twice."""
    if not isinstance(spec, ImageSpec):
        return [WindowFormat(spec.length, spec.channels)] * 2
    return [FrameFormat("RGB", 480, 640), FrameFormat("YUYV", 480, 640), FrameFormat("NV12", 720, 1280),
            FrameFormat("GREY", 243, 321), FrameFormat("BGR", spec.height * 2 // 3 + 1, spec.width * 3 // 4 + 1)]


def _picture(seed: int, format: FrameFormat) -> Array:
    rows, *rest = format.shape
    columns = int(np.prod(rest))
    y = (np.arange(rows, dtype=np.int64)[:, None] + 37 * seed % rows) % rows
    x = (np.arange(columns, dtype=np.int64)[None, :] + 61 * seed % columns) % columns
    slope = (y * 160 // rows + x * 96 // columns).astype(np.uint8)
    blocks = ((y // 16 % 2) ^ (x // 48 % 2)).astype(np.uint8) * np.uint8(64)
    noise = _noise(seed, (rows * columns + 3) // 4).view(np.uint8)[: rows * columns].reshape(rows, columns)
    picture: Array = slope + blocks + (noise & np.uint8(31))  # wraps: every value from 0 to 255 occurs
    return picture.reshape(format.shape)


def _window(seed: int, format: WindowFormat) -> Array:
    """A whole number of 16 bits, times a power of two between 2**-20 and 2**-5: exact in float32."""
    bits = _noise(seed, format.length * format.channels)
    whole = (bits & np.uint32(0xFFFF)).astype(np.int32) - 0x8000
    window: Array = np.ldexp(whole.astype(np.float32), (bits >> np.uint32(28)).astype(np.int32) - 20)
    return window.reshape(format.shape)


def _text(seed: int, format: WindowFormat, spec: TextSpec) -> Array:
    """Any tokens, and ``pad`` behind two thirds of them."""
    tokens: Array = (_noise(seed, format.length) % np.uint32(spec.vocabulary)).astype(np.float32)
    tokens[2 * format.length // 3 + 1 :] = spec.pad
    window: Array = tokens.reshape(format.shape)
    return window


def _noise(seed: int, count: int) -> Array:
    """``count`` little-endian uint32: the finaliser of MurmurHash3 (A. Appleby, public domain) over a Weyl sequence."""
    start, step = np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF), np.uint32(0x9E3779B9)
    x: Array = np.arange(1, count + 1, dtype=np.uint32) * step + start
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    return x.astype("<u4")


def _coarse(values: Array) -> Array:
    """little-endian int32: in steps of a power of two, so that what is a power of two is not at the edge of a step."""
    greatest = float(np.abs(values).max(initial=0.0))
    steps: Array = np.rint(np.ldexp(values.astype(np.float64), 12 - int(np.frexp(greatest * (1 + 2.0**-10))[1])))
    return steps.astype("<i4")


def _serialise(spec: PreprocessSpec) -> bytes:
    return msgspec.json.encode(_stated(spec), order="sorted")


def _stated(struct: msgspec.Struct) -> list[object]:
    fields = msgspec.structs.fields(type(struct))
    stated = {field.name: getattr(struct, field.name) for field in fields}
    changed = {field.name: _stated(stated[field.name]) if isinstance(stated[field.name], msgspec.Struct) else stated[field.name]
               for field in fields if field.required or stated[field.name] != field.default}
    return [type(struct).__struct_config__.tag, changed]
