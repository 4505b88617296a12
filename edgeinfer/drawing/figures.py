"""Keypoints with their limbs, and landmarks."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.drawing.canvas import Canvas
from edgeinfer.drawing.colours import INK, Colour, colour_of
from edgeinfer.model.result import Keypoint

__all__ = ["draw_keypoints"]

LIMBS = (
    ("left shoulder", "right shoulder"), ("left hip", "right hip"), ("left shoulder", "left hip"), ("right shoulder", "right hip"),
    ("left shoulder", "left elbow"), ("left elbow", "left wrist"), ("right shoulder", "right elbow"),
    ("right elbow", "right wrist"), ("left hip", "left knee"), ("left knee", "left ankle"), ("right hip", "right knee"),
    ("right knee", "right ankle"), ("nose", "left eye"), ("nose", "right eye"), ("left eye", "left ear"),
    ("right eye", "right ear"),
)
_LEFT, _RIGHT, _MIDDLE = (255, 178, 56), (72, 128, 255), (170, 232, 120)  # blue, orange, green: told apart by most eyes
_CROWD = 24  # more points than this are a mesh: small dots


def draw_keypoints(canvas: Canvas, points: Sequence[Keypoint], index: int) -> None:
    """Limbs between the points that have a body's names, then the points: left, right and middle each in a colour. Points
    without names are a mesh, in the colour of their class."""
    places = {point.name: canvas.at(point.x, point.y) for point in points if point.name}
    width = max(2, canvas.line)
    for one, other in LIMBS:
        if one in places and other in places:
            canvas.cv2.line(canvas.picture, places[one], places[other], INK, width + 2, canvas.cv2.LINE_AA)
    for one, other in LIMBS:
        if one in places and other in places:
            canvas.cv2.line(canvas.picture, places[one], places[other], _side(one, other), width, canvas.cv2.LINE_AA)
    radius = max(1, canvas.line // 2) if len(points) > _CROWD else canvas.line + 1
    for point in points:
        colour = _side(point.name) if point.name else colour_of(index)
        if len(points) <= _CROWD:
            canvas.cv2.circle(canvas.picture, canvas.at(point.x, point.y), radius + 1, INK, -1, canvas.cv2.LINE_AA)
        canvas.cv2.circle(canvas.picture, canvas.at(point.x, point.y), radius, colour, -1, canvas.cv2.LINE_AA)


def _side(*names: str) -> Colour:
    if all(name.startswith("left ") for name in names):
        return _LEFT
    return _RIGHT if all(name.startswith("right ") for name in names) else _MIDDLE
