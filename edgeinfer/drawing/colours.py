"""Colours, as BGR."""

from __future__ import annotations

import colorsys

__all__ = ["GREY", "INK", "WHITE", "Colour", "colour_of", "ink_on"]

Colour = tuple[int, int, int]
WHITE, INK, GREY = (255, 255, 255), (24, 24, 24), (96, 96, 96)


def colour_of(index: int) -> Colour:
    """Of a class or an identity: hues a golden ratio apart, so that neighbours differ; bright enough for any picture."""
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034 + 0.33) % 1.0, 0.75, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def ink_on(ground: Colour) -> Colour:
    """Dark or white, by the luma of the ground (ITU-R BT.601)."""
    blue, green, red = ground
    return INK if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else WHITE
