"""What a target asks of the integers: the part of its profile that decides how a model is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Rules"]


@dataclass(frozen=True)
class Rules:
    """``variant`` "tensorrt": zero points 0 and float biases in the ONNX file. ``per_axis``: weights have a scale for each
    output channel. ``weight_most``: the largest stored weight; 63 where 8-bit products saturate a 16-bit sum (x86-64 without
    VNNI). ``integer_io``: the TFLite file's inputs and outputs are integers. ``unsigned``: the ONNX file has activations as
    uint8, which ONNX Runtime on x86-64 needs to compute residual additions in integers."""

    variant: Literal["cpu", "tensorrt"] = "cpu"
    symmetric: bool = False
    per_axis: bool = True
    float_bias: bool = False
    weight_most: int = 127
    integer_io: bool = True
    unsigned: bool = False
