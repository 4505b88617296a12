"""What is to be done with a frame before the model: from flags, metadata and the shape and quantisation of the input tensor.

A fact that neither the user nor the file states is assumed only where a wrong guess is seen at once (RGB, stretched); a mean
or a unit is refused, since a wrong one gives answers that look right.
"""

from __future__ import annotations

import math

import msgspec

from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.tensor import Quantization, TensorSpec
from edgeinfer.typed import convert
from quantize.facts import Facts

__all__ = ["deduce"]

_IMAGE = {field.name for field in msgspec.structs.fields(ImageSpec)}
_WINDOW = {field.name for field in msgspec.structs.fields(WindowSpec)}


def deduce(facts: Facts, tensor: TensorSpec) -> ImageSpec | WindowSpec | None:
    """The spec for ``tensor``, with every field's origin added to ``facts``; None where faults were added instead."""
    before = len(facts.faults)
    kind = _kind(facts, tensor)
    if kind == "image":
        _image(facts, tensor)
    elif kind == "window":
        _window(facts, tensor)
    if len(facts.faults) > before:
        return None
    fields = facts.below("preprocess")
    if kind == "image":
        return convert(fields, ImageSpec, "preprocess", facts.faults)
    return convert(fields, WindowSpec, "preprocess", facts.faults)


def _kind(facts: Facts, tensor: TensorSpec) -> str | None:
    """ "image" or "window": by the fields that the user gave, or else by the shape."""
    given = {*facts.below("preprocess")} - {"kind"}
    stated = facts.known.pop("preprocess.kind", None)
    image, window = given & (_IMAGE - _WINDOW), given & (_WINDOW - _IMAGE)
    if stated is not None and stated.value in ("image", "window"):
        return str(stated.value)
    if image and not window:
        return "image"
    if window and not image:
        return "window"
    if not window and len(tensor.shape) == 4 and 3 in (tensor.shape[1], tensor.shape[3]):
        return "image"
    facts.refuse("preprocess", "pictures (--colour, --layout, …) or windows of samples (--window-length, --normalize, …)",
                 f"an input of shape {list(tensor.shape)}" if not given else f"fields of both: {', '.join(sorted(given))}",
                 "a grey picture: --colour GREY; samples: --window-length 128 --channels 3 --normalize none")
    return None


def _image(facts: Facts, tensor: TensorSpec) -> None:
    shape, source = tensor.shape, f"input {list(tensor.shape)}"
    layouts = [layout for layout, place in (("NHWC", 3), ("NCHW", 1)) if len(shape) == 4 and shape[place] in (1, 3)]
    layout = facts.value("preprocess.layout") or (layouts[0] if len(layouts) == 1 else None)
    if layout not in layouts:
        facts.refuse("preprocess.layout", " or ".join(layouts) or "an input with 3 channels (or 1), last or second",
                     f"{layout or 'none'} for {source}", "--layout NHWC has the channels last, --layout NCHW second")
        return
    facts.require("preprocess.layout", layout, source)
    height, width, channels = (shape[2], shape[3], shape[1]) if layout == "NCHW" else (shape[1], shape[2], shape[3])
    facts.require("preprocess.height", height, source)
    facts.require("preprocess.width", width, source)
    if channels == 1:
        facts.require("preprocess.colour", "GREY", source)
    elif facts.value("preprocess.colour") == "GREY":
        facts.refuse("preprocess.colour", "RGB or BGR", f"GREY for {source}")
    facts.assume("preprocess.colour", "RGB", "as nearly all models; say --colour BGR for one trained on OpenCV's pictures")
    facts.assume("preprocess.resize", "stretch", "say --resize letterbox or crop if it was trained so")
    _normalisation(facts, tensor, channels)


def _normalisation(facts: Facts, tensor: TensorSpec, channels: int) -> None:
    stated = [name for name in ("mean", "std") if f"preprocess.{name}" in facts.known]
    if len(stated) == 1:
        facts.refuse("preprocess", "both --mean and --std", f"--{stated[0]} alone")
    for name in stated:
        values = facts.value(f"preprocess.{name}")
        if isinstance(values, list | tuple) and len(values) not in (1, channels):
            facts.refuse(f"preprocess.{name}", f"1 or {channels} numbers", f"{len(values)} numbers")
    if stated:
        return
    quantization = tensor.quantization or Quantization(scale=(1.0,), zero_point=(0,))  # numbers as they are
    takes_pixels = tensor.dtype == "uint8" or (tensor.dtype == "int8" and tensor.quantization is not None)
    if not takes_pixels or quantization.per_axis:
        facts.refuse("preprocess.mean", "the mean and std that the model was trained with",
                     f"none, for a {tensor.dtype} input",
                     "pixels 0..1: --mean 0 --std 255; pixels -1..1: --mean 127.5 --std 127.5; "
                     "ImageNet: --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375")
        return
    # real = scale * (q - zero_point) with q = pixel (uint8) or pixel - 128 (int8), as (pixel - mean) / std
    why = f"the {tensor.dtype} input takes pixels as they are; say --mean and --std if it does not"
    facts.assume("preprocess.mean", (float(quantization.zero_point[0] + (128 if tensor.dtype == "int8" else 0)),), why)
    facts.assume("preprocess.std", (1 / quantization.scale[0],), why)


def _window(facts: Facts, tensor: TensorSpec) -> None:
    if facts.value("preprocess.features") is not None:
        _featured(facts)
        return
    elements, source = math.prod(tensor.shape), f"input {list(tensor.shape)}"
    sides = [side for side in tensor.shape if side > 1]
    length, channels = facts.value("preprocess.length"), facts.value("preprocess.channels")
    if channels is None:
        channels = elements // length if isinstance(length, int) and length > 0 else sides[-1] if len(sides) == 2 else 1
        facts.state("preprocess.channels", channels, source)
    if length is None and isinstance(channels, int) and channels > 0:
        length = elements // channels
        facts.state("preprocess.length", length, source)
    if not (isinstance(length, int) and isinstance(channels, int) and length * channels == elements):
        facts.refuse("preprocess.length", f"length x channels = {elements}, as {source}", f"{length} x {channels}",
                     "--window-length and --channels")
        return
    facts.assume("preprocess.hop", length, "windows do not overlap; say --hop for ones that do")
    facts.assume("preprocess.rate", 0.0, "any sample rate; say --rate to have the sensor checked")
    _units(facts)


def _featured(facts: Facts) -> None:
    """The tensor says nothing of the samples that features are computed from."""
    if not isinstance(facts.value("preprocess.length"), int):
        facts.refuse("preprocess.length", "the samples of a window, from which the features are computed", "nothing",
                     "--window-length 16000 for a second at 16 kHz")
    facts.assume("preprocess.channels", 1, "say --channels for more")
    facts.assume("preprocess.hop", facts.value("preprocess.length"), "windows do not overlap; say --hop for ones that do")
    _units(facts)


def _units(facts: Facts) -> None:
    if "preprocess.normalize" not in facts.known:
        facts.refuse("preprocess.normalize", "what the model was trained on", "nothing",
                     "the sensor's own units: --normalize none; else --normalize standardize --mean 0.1 --std 2.5")
