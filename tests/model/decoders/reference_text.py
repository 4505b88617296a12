"""What is written in a line of scores, in plain Python: PaddleOCR's ppocr/postprocess/rec_postprocess.py, CTCLabelDecode, which
repeats nothing, passes over the blank, and tells the mean of the chosen steps' probabilities."""

from __future__ import annotations

import math
from typing import Any

from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.tensor import Array

__all__ = ["ctc"]


def ctc(parameters: dict[str, Any], real: dict[str, Array], _size: tuple[int, int], _geometry: Geometry, labels: list[str]) -> Any:
    """Of (steps, classes), as the case has it before it is turned."""
    characters = [label.replace("␣", " ") for label in labels] + ([" "] if parameters.get("space") else [])
    blank = parameters.get("blank", 0) % (len(characters) + 1)
    characters = [*characters[:blank], "", *characters[blank:]]
    text, scores, last = "", [], -1
    for row in next(iter(real.values())).tolist():
        best = max(range(len(row)), key=row.__getitem__)
        if best not in (last, blank):
            text += characters[best]
            total = sum(math.exp(value - row[best]) for value in row)
            scores.append(1 / total if parameters.get("softmax") else row[best])
        last = best
    score = sum(scores) / len(scores) if scores else 0.0
    if len(text) < parameters.get("min_length", 1) or score < parameters.get("threshold", 0.0):
        text, score = "", 0.0
    return {"text": text, "score": score}
