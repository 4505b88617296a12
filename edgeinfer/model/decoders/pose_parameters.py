"""What the manifest may say of a pose model."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeinfer.model.decoders.parameters import Count, Share

__all__ = ["WHERE", "Parameters"]

WHERE = "decoder pose"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``movenet``: (1, 1, K, 3) of one person, or (1, people, 3 K + 5). ``heatmap``: K maps of one person, with ``offsets`` to
    the cells' corners (PoseNet) or without; ``logits``: a sigmoid is missing. ``yolo``: a v8 head with K keypoints.

    ``names`` of the keypoints; by default COCO's where they are 17. Keypoints below ``keypoint_threshold`` are left out.
    ``point_values``: of yolo, 3 with a score each, 2 without. ``iou``, ``candidates`` and ``box_unit`` are yolo's, which has
    keypoints in the unit of its boxes.
    """

    variant: Literal["movenet", "heatmap", "yolo"]
    names: tuple[str, ...] = ()
    threshold: Share = 0.25
    keypoint_threshold: Share = 0.2
    max_detections: Count = 20
    logits: bool = False
    point_values: Literal[2, 3] = 3
    box_unit: Literal["pixel", "fraction"] = "pixel"
    iou: Share = 0.45
    candidates: Count = 300
    heatmaps: str = ""
    offsets: str = ""
    boxes: str = ""
    scores: str = ""
    keypoints: str = ""
