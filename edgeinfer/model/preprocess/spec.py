"""What the manifest says of preprocessing. Every field is a fact of the model, fixed when the bundle was packed."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeinfer.model.preprocess.columns import Column
from edgeinfer.model.preprocess.featurespec import FeatureSpec
from edgeinfer.model.preprocess.textspec import TextSpec

__all__ = ["ImageSpec", "PreprocessSpec", "WindowSpec"]


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, tag="image", tag_field="kind", forbid_unknown_fields=True):
    """A picture: resized to ``height`` x ``width``, then value = (pixel - mean) / std for each channel of ``colour``.

    ``mean`` and ``std`` are in units of the 0..255 pixel and have one entry, or one a channel. ``pad`` is the pixel value
    around a letterboxed picture.
    """

    height: int
    width: int
    colour: Literal["RGB", "BGR", "GREY"] = "RGB"
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    pad: int = 114

    @property
    def channels(self) -> int:
        return 1 if self.colour == "GREY" else 3


class WindowSpec(msgspec.Struct, frozen=True, kw_only=True, tag="window", tag_field="kind", forbid_unknown_fields=True):
    """A window of ``length`` samples of ``channels``, a new one every ``hop`` samples, at ``rate`` samples a second.

    normalize "standardize": (x - mean) / std; "minmax": (x - minimum) / (maximum - minimum) to 0..1; both per channel or
    with one entry for all. "none" leaves the sensor's units. ``rate`` 0 means that the model does not care.

    With ``features`` these are computed from the samples first, and x is a feature: a row for each frame, in which each
    channel's values stand together.

    ``table`` names the channels, for sources of rows (a transaction, a message of a sensor), and holds their categories. With
    ``text`` the samples are numbers of tokens, and a window is a text.
    """

    length: int
    channels: int = 1
    hop: int = 1
    rate: float = 0.0
    normalize: Literal["standardize", "minmax", "none"] = "none"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    minimum: tuple[float, ...] = (0.0,)
    maximum: tuple[float, ...] = (1.0,)
    features: FeatureSpec | None = None
    table: tuple[Column, ...] = ()
    text: TextSpec | None = None

    @property
    def rows(self) -> int:
        """Of what the model takes: samples, or frames of samples."""
        return self.length if self.features is None else self.features.rows(self.length)

    @property
    def columns(self) -> int:
        """Of what the model takes: channels, or all their features."""
        return self.channels if self.features is None else self.channels * self.features.width


PreprocessSpec = ImageSpec | WindowSpec
