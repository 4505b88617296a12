"""How pictures and windows are usually normalised: what a recipe is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from quantize.judging.channels import Channels, affine

__all__ = ["Convention", "rivals"]

# mean and std in units of the pixel, for red, green, blue (torchvision's and Keras's documentation)
_PICTURES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0 to 255": ((0.0,), (1.0,)),
    "0 to 1": ((0.0,), (255.0,)),
    "-1 to 1": ((127.5,), (127.5,)),
    "ImageNet's mean and deviation": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@dataclass(frozen=True)
class Convention:
    """A way to normalise, in words and as a whole spec. ``swapped``: the recipe's own, with red and blue exchanged."""

    name: str
    spec: PreprocessSpec
    swapped: bool = False

    @property
    def setting(self) -> str:
        """What to set so."""
        spec = self.spec
        if self.swapped and isinstance(spec, ImageSpec):
            return f"preprocess.colour to {spec.colour}"
        if isinstance(spec, WindowSpec) and spec.normalize == "none":
            return "preprocess.normalize to none"
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (spec.mean, spec.std))
        kind = "preprocess.normalize to standardize, " if isinstance(spec, WindowSpec) else ""
        return f"{kind}preprocess.mean to [{mean}] and preprocess.std to [{std}]"


def rivals(spec: PreprocessSpec, raw: Channels) -> list[Convention]:
    """Those that differ from ``spec``. ``raw``: the samples before normalisation."""
    found = _of_pictures(spec) if isinstance(spec, ImageSpec) else _of_windows(spec, raw)
    return [convention for convention in found if convention.swapped or not _alike(convention.spec, spec)]


def _of_pictures(spec: ImageSpec) -> list[Convention]:
    found = []
    for name, figures in _PICTURES.items():
        mean, std = (_for_colour(values, spec.colour) for values in figures)
        found.append(Convention(name, msgspec.structs.replace(spec, mean=mean, std=std)))
    if spec.colour != "GREY":
        other = msgspec.structs.replace(spec, colour="BGR" if spec.colour == "RGB" else "RGB", mean=spec.mean[::-1],
                                        std=spec.std[::-1])
        found.append(Convention(f"{other.colour} for {spec.colour}", other, swapped=True))
    return found


def _for_colour(values: tuple[float, ...], colour: str) -> tuple[float, ...]:
    if colour == "GREY":
        return (float(np.mean(values)),)
    return values[::-1] if colour == "BGR" else values


def _of_windows(spec: WindowSpec, raw: Channels) -> list[Convention]:
    plain = msgspec.structs.replace(spec, normalize="none")
    deviation = np.where(raw.deviation > 0, raw.deviation, 1.0)
    own = msgspec.structs.replace(spec, normalize="standardize", mean=tuple(float(f"{value:.4g}") for value in raw.mean),
                                  std=tuple(float(f"{value:.4g}") for value in deviation))
    return [Convention("the sensor's own units", plain), Convention("mean 0 and deviation 1", own)]


def _alike(one: PreprocessSpec, other: PreprocessSpec) -> bool:
    """Within a tenth of a deviation and a sixth of the scale: no model tells them apart."""
    (offset, divisor), (other_offset, other_divisor) = affine(one), affine(other)
    ratio = divisor / other_divisor
    return bool((np.abs(offset - other_offset) < 0.1 * np.abs(other_divisor)).all() and (np.abs(ratio - 1) < 1 / 6).all())
