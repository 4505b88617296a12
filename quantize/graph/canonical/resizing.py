"""Resize and Upsample of any operator set, with scales and sizes in full."""

from __future__ import annotations

from typing import Any

from quantize.graph import Node
from quantize.graph.canonical.rewrite import Rewrite, Rule

__all__ = ["RULES"]

_RARE = {"cubic_coeff_a": -0.75, "exclude_outside": 0, "extrapolation_value": 0.0, "antialias": 0}  # kept where not these


def _resize(rewrite: Rewrite, node: Node) -> None:
    """Set 10 and Upsample count coordinates from the corner (asymmetric) and take the one below when they enlarge."""
    x, output = node.inputs[0], node.name
    shape, sizes = rewrite.shape(x), list(rewrite.shape(output))
    attributes: dict[str, Any] = {name: node.attributes[name] for name, usual in _RARE.items()
                                  if node.attributes.get(name, usual) != usual}
    scales = _scales(rewrite, node)
    if rewrite.opset < 11:
        smaller = any(scale < 1 for scale in scales)
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil" if smaller else "floor"}
    else:
        mode = node.attributes.get("coordinate_transformation_mode", "half_pixel")
        if mode == "tf_crop_and_resize":
            rewrite.refuse(node, "a Resize of the whole", "one of a region (tf_crop_and_resize)",
                           "cut the region outside the model")
        attributes |= {"coordinate_transformation_mode": mode,
                       "nearest_mode": node.attributes.get("nearest_mode", "round_prefer_floor")}
    if tuple(sizes) == shape and all(scale == 1 for scale in scales):
        rewrite.forward(x, output)
    else:
        attributes["mode"] = node.attributes.get("mode", "nearest")
        rewrite.emit("Resize", [x], output, scales=scales, sizes=sizes, **attributes)


def _scales(rewrite: Rewrite, node: Node) -> list[float]:
    """Of every side: as given, or output by input."""
    shape, sizes, rank = rewrite.shape(node.inputs[0]), rewrite.shape(node.name), len(rewrite.shape(node.inputs[0]))
    axes = [axis % rank for axis in node.attributes.get("axes") or range(rank)]
    given = rewrite.numbers(node, 1 if rewrite.opset < 11 else 2, "scales")
    scales = [1.0] * rank
    if not given:
        wanted = rewrite.numbers(node, 3, "sizes") or list(sizes)
        given = [size / shape[axis] for size, axis in zip(wanted, axes, strict=True)]
        policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            given = [min(given) if policy == "not_larger" else max(given)] * len(axes)
    for axis, scale in zip(axes, given, strict=True):
        scales[axis] = float(scale)
    return scales


RULES: dict[str, Rule] = {"Resize": _resize, "Upsample": _resize}
