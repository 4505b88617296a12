"""The reference of each decoder whose cases are compared as documents, and how two documents agree."""

from __future__ import annotations

import math
from typing import Any

from tests.model.decoders import reference_boxes, reference_maps, reference_text
from tests.model.decoders.cases import Case, load

REFERENCES = {
    "grid": reference_boxes.grid, "end_to_end": reference_boxes.end_to_end, "detr": reference_boxes.detr,
    "segment": reference_maps.segment, "instances": reference_maps.instances, "pose": reference_maps.pose,
    "landmarks": reference_maps.landmarks, "embed": reference_maps.embed, "ctc": reference_text.ctc,
    "ssd": lambda p, *rest: (reference_boxes.blazeface if "keypoints" in p else reference_boxes.ssd_plain)(p, *rest),
}
MADE = {"ssd": ("blazeface_keypoints", "without_count")}  # of the others, every case of the folder


def expected_of(decoder: str, case: Case) -> Any:
    """What the reference makes of the real values of a case that is not turned."""
    real = {spec.name: values for spec, values in zip(case.outputs, case.real, strict=True)}
    geometry = case.geometry
    parameters = case.document["parameters"] | {"known": case.document.get("known", {})}
    return REFERENCES[decoder](parameters, real, (geometry.input_height, geometry.input_width), geometry, case.document["labels"])


def agree(said: Any, wanted: Any, atol: float) -> bool:
    """The same keys, texts, counts and lengths, and numbers that differ by at most ``atol``; a score in a list, too.

    Run lengths may differ where ``atol`` is that of 8 bits; their sum may not.
    """
    if isinstance(wanted, dict) and isinstance(said, dict):
        if said.keys() != wanted.keys():
            return False
        return all(sum(said[key]) == sum(wanted[key]) if key == "counts" and atol > 0.001
                   else agree(said[key], wanted[key], atol) for key in wanted)
    if isinstance(wanted, list) and isinstance(said, list):
        return len(said) == len(wanted) and all(agree(a, b, atol) for a, b in zip(said, wanted, strict=True))
    if isinstance(wanted, bool | str) or wanted is None:
        return bool(said == wanted)
    return math.isclose(said, wanted, abs_tol=atol)


__all__ = ["MADE", "REFERENCES", "agree", "expected_of", "load"]
