"""What the manifest may say of an SSD detector."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeinfer.model.decoders.anchors import BlazeFaceAnchors, SsdAnchors
from edgeinfer.model.decoders.nms import Nms
from edgeinfer.model.decoders.parameters import Count, Share

__all__ = ["WHERE", "Parameters"]

WHERE = "decoder ssd"


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without ``anchors``: the outputs of TFLite_Detection_PostProcess, boxes (N, 4) as ymin, xmin, ymax, xmax fractions,
    ``classes`` and ``scores`` of N, and their ``count``, if there is one. ``corners: xyxy`` and ``box_unit: pixel`` where an
    exporter has it so (torchvision, D-FINE). With ``anchors``: encoded ``boxes`` (N, 4 or more) and ``scores`` (N, classes),
    or either transposed, to which ``activation`` is applied, and ``keypoints`` behind each box, as BlazeFace has 6.

    A label's index is the model's class plus ``label_offset`` (1 where the labels begin with a '???' or 'background' that
    the model does not count). ``background: 0`` leaves class 0 out of raw scores. ``scale_factors`` divide the encoded
    y, x, h, w; by default those of the anchors' recipe. Raw boxes are suppressed (``iou``: 0.45 unless given), listed ones only
    where ``iou`` is given.
    """

    threshold: Share = 0.5
    max_detections: Count = 100
    label_offset: int = 0
    boxes: str = ""
    classes: str = ""
    scores: str = ""
    count: str = ""
    corners: Literal["yxyx", "xyxy"] = "yxyx"
    box_unit: Literal["fraction", "pixel"] = "fraction"
    anchors: SsdAnchors | BlazeFaceAnchors | None = None
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    background: Literal[0] | None = None
    scale_factors: tuple[float, float, float, float] | None = None
    iou: Share | None = None
    candidates: Count = 300
    class_aware: bool = True
    keypoints: Annotated[int, msgspec.Meta(ge=0)] = 0
    keypoint_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scale_factors is not None and not all(self.scale_factors):
            raise ValueError(f"expected scale_factors other than 0, got {self.scale_factors}")
        if self.anchors is None and self.keypoints:
            raise ValueError(f"expected keypoints with anchors only, got {self.keypoints} without")

    @property
    def suppression(self) -> Nms | None:
        """That of the boxes; None where the model has done it."""
        iou = self.iou if self.iou is not None or self.anchors is None else 0.45
        return Nms(self.candidates, iou, self.class_aware) if iou is not None else None

    @property
    def names(self) -> dict[str, str]:
        """The names given to outputs, by role."""
        return {"boxes": self.boxes, "classes": self.classes, "scores": self.scores, "count": self.count}
