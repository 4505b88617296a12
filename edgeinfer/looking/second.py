"""What a second model found in a crop, to be drawn: read back from its document, since that is all that is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from edgeinfer.model.result import Box, Keypoint

__all__ = ["labelled", "pointed"]


def labelled(document: dict[str, Any]) -> list[Box]:
    """Things of their own that were found in a crop; not those that are a pose or landmarks (see ``pointed``)."""
    return [Box(row["index"], row["label"], row["score"], *row["box"])
            for row in document.get("detections", ()) if not row.get("keypoints")]


def pointed(box: Box, document: dict[str, Any]) -> Box:
    """The box with the joints or landmarks that were found in it besides its own."""
    points = [point for row in document.get("detections", ()) for point in _points(row.get("keypoints", ()))]
    return msgspec.structs.replace(box, keypoints=[*box.keypoints, *points])


def _points(said: dict[str, list[float]] | list[list[float]]) -> Iterator[Keypoint]:
    for name, (x, y, *score) in said.items() if isinstance(said, dict) else (("", at) for at in said):
        yield Keypoint(name, x, y, score[0] if score else None)
