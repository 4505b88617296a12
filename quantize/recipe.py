"""A recipe: everything that one run of the toolkit is told, in YAML or in flags."""

from __future__ import annotations

from typing import Literal

from quantize.pack import Given

__all__ = ["Recipe"]


class Recipe(Given, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``quantize pack`` takes, and how to get from the float ``model`` to integers. Paths are as the program sees them.

    data           what calibrates: a folder of pictures, a framelog, npy, npz, csv or wav
    annotations    the truth about it, where folders do not tell: a CSV, COCO JSON, or a folder of masks
    calibrate      which samples calibrate, the others judge: "every:4", a count, or "all" (then all judge too)
    judge          another set to judge on, in place of the rest of ``data``
    formats        of the files to make; the first one that the target runs is packed as the bundle
    io             dtype of the TFLite file's inputs and outputs
    ranges         how the range of an activation is chosen from its histogram
    rounding       of weights: "reconstruct" searches integers layer by layer, "nearest" rounds
    equalize, correct_bias   the accuracy steps before and after
    max_drop       points of accuracy (without labels: of agreement with the float model) that INT8 may lose; beyond it the
                   recovery ladder is climbed, for at most ``max_minutes``, and the run ends with 1 if that does not help
    min_parity     per cent of samples on which both files must give the same answer, or the run ends with 1
    """

    model: str = ""
    data: str = ""
    annotations: str = ""
    calibrate: str = "every:4"
    judge: str = ""
    formats: tuple[Literal["tflite", "onnx"], ...] = ("tflite", "onnx")
    io: Literal["int8", "uint8", "float32"] = "int8"
    ranges: Literal["mse", "minmax", "percentile", "entropy"] = "mse"
    rounding: Literal["reconstruct", "nearest"] = "reconstruct"
    equalize: bool = True
    correct_bias: bool = True
    max_drop: float | None = None
    max_minutes: float = 10.0
    min_parity: float | None = None
    threads: int = 2

    def __post_init__(self) -> None:
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ValueError(f"expected max_drop from 0 to 100 points, got {self.max_drop}")
        if not self.formats or len(set(self.formats)) != len(self.formats):
            raise ValueError(f"expected formats out of tflite and onnx, each once, got {list(self.formats)}")
