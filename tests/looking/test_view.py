"""What a person is shown of a frame, and how it is kept."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.drawing.signals import draw_window
from edgeinfer.errors import UsageError
from edgeinfer.looking.album import Album
from edgeinfer.looking.grid import grid, in_terminal
from edgeinfer.looking.view import View
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.result import Box, Classes, Detections, Keypoint, Label, Result
from edgeinfer.oneshot import answers
from edgeinfer.scene.crossing import LineOptions
from edgeinfer.scene.scene import Scene, SceneOptions
from edgeinfer.scene.seen import Answer
from edgeinfer.scene.tracker import TrackOptions
from edgeinfer.scene.zones import ZoneOptions

EXAMPLES = Path(__file__).parents[2] / "examples"
HALF = ZoneOptions(points=((0.5, 0), (1, 0), (1, 1), (0.5, 1)), settle_s=0)
CORNER = ZoneOptions(points=((0, 0), (0.1, 0), (0, 0.1)), exclude=True)
LINE = LineOptions(points=((0.3, 0.9), (0.3, 0.1)))


def test_a_scene_is_drawn_with_its_zones_lines_and_trails() -> None:
    """Identities, counts and ways are on the picture; the result and the frame stay as they are."""
    bundle = read(EXAMPLES / "digits" / "bundle")
    zones, lines = {"half": HALF, "corner": CORNER}, {"door": LINE}
    view, scene = View(bundle, "yard", zones, lines), Scene(SceneOptions(zones=zones, lines=lines))
    plain = View(bundle, "yard")
    frame, pictures = Frame(FrameFormat("BGR", 240, 400)), []
    frame.view[:] = 90
    for step in range(12):
        frame.monotonic_ns = step * 100_000_000
        rows = [Box(label="person", score=0.9, left=0.2 + step * 0.04, right=0.3 + step * 0.04, top=0.3, bottom=0.7)]
        result = Detections(rows, 1)
        seen = scene.see(result, frame)
        before = seen.document()
        pictures.append(view.draw(frame, seen))
        assert seen.document() == before
    assert (frame.view == 90).all()
    assert scene.zones[0].count == 1
    differs = (pictures[-1] != plain.draw(frame, result)).any(2)
    assert differs[:, 200:].mean() > 0.2, "the zone that somebody is in is shaded"
    assert not np.array_equal(pictures[-1], pictures[0])


POSE = Detections([Box(0, "person", 0.8, 0.3, 0.2, 0.5, 0.9, [Keypoint("nose", 0.4, 0.25, 0.9), Keypoint("left eye", 0.42, 0.24)])], 1)
MESH = Detections([Box(0, "face", 0.8, 0.3, 0.2, 0.5, 0.9, [Keypoint("", 0.4, 0.25)])], 1)
PLATE = Detections([Box(3, "plate", 0.8, 0.3, 0.6, 0.4, 0.7)], 1)


@pytest.mark.parametrize(("said", "label", "points", "more"), [
    (POSE, "#1 person", POSE.rows[0].keypoints, []), (MESH, "#1 person", MESH.rows[0].keypoints, []), (PLATE, "#1 person", [], PLATE.rows),
    (Classes([Label(0, "helmet", 0.9)], 1), "#1 person: helmet", [], [])], ids=["pose", "mesh", "plate", "classes"])
def test_what_a_second_model_found_is_drawn_where_it_is(said: Result, label: str, points: list[Keypoint], more: list[Box]) -> None:
    """Joints on the thing, things within it as boxes of their own, a class behind its name; places of an earlier frame are not drawn."""
    view, scene, frame = View(read(EXAMPLES / "digits" / "bundle"), "yard"), Scene(SceneOptions(track=TrackOptions(confirm=1))), Frame(FrameFormat("BGR", 60, 80))
    seen = scene.see(Detections([Box(0, "person", 0.9, 0.3, 0.2, 0.5, 0.9)], 1), frame)
    seen.answers = [Answer(said.document(), said.state(), frame.monotonic_ns)]
    shown, _ = view._with_scene(seen, frame.monotonic_ns, follow=True)
    assert isinstance(shown, Detections)
    assert (shown.rows[0].label, shown.rows[0].keypoints, shown.rows[1:]) == (label, points, more)
    later, _ = view._with_scene(seen, frame.monotonic_ns + 1, follow=True)
    assert isinstance(later, Detections)
    assert (later.rows[0].label, later.rows[0].keypoints, later.count) == (label, [], 1)


def test_a_thing_that_is_gone_leaves_a_trail_that_fades() -> None:
    """No memory grows with things that come and go."""
    bundle = read(EXAMPLES / "digits" / "bundle")
    view, scene = View(bundle, "yard"), Scene(SceneOptions(zones={"half": HALF}))
    frame = Frame(FrameFormat("BGR", 60, 80))
    for step in range(120):
        frame.monotonic_ns = step * 500_000_000
        here = (step // 6) % 2 == 0
        rows = [Box(label="a", score=0.9, left=0.4, right=0.6, top=0.3, bottom=0.7)]
        view.draw(frame, scene.see(Detections(rows, int(here)), frame))
        assert len(view._trails) <= 8


@pytest.mark.parametrize(("bundle", "file"), [("keyword/bundle", "keyword/room.wav"), ("vibration/severity/bundle", "vibration/vibration.csv"),
                                              ("vibration/bundle", "vibration/vibration.csv")])
def test_windows_are_drawn(bundle: str, file: str) -> None:
    """Waves, what the model hears, what it says, and what it said before."""
    engine = Engine(read(EXAMPLES / bundle), RuntimeOptions())
    view = View(engine.bundle, "a sensor")
    first: np.ndarray | None = None
    for answer in answers(engine, EXAMPLES / file):
        samples = answer.frame.view.copy()
        picture = view.draw(answer.frame, answer.result)
        assert np.array_equal(answer.frame.view, samples)
        first = picture if first is None else first
        if answer.index == 2:
            break
    assert first is not None
    assert picture.shape == first.shape
    assert len(np.unique(picture[::4, ::4].reshape(-1, 3), axis=0)) > 200, "a spectrogram has many colours"
    engine.close()


@pytest.mark.parametrize("samples", [
    np.zeros((800, 1)), np.full((800, 3), np.nan), np.zeros((1, 13)), np.ones((1, 1)), np.arange(12.0)[None], np.full((40, 2), np.inf),
    np.array([[-1e30] * 20] * 20), np.zeros((16, 1)), np.zeros((17, 2)), np.random.default_rng(0).normal(size=(60000, 1))],
    ids=lambda samples: "x".join(map(str, samples.shape)))
def test_any_window_can_be_drawn(samples: np.ndarray) -> None:
    """Silence, one sample, a table's row, not-a-numbers: a picture, and no warning."""
    for rate in (0.0, 800.0):
        assert draw_window(samples.astype(np.float32), rate, None, [(0.5, 1), (2.0, 0), (-1.0, 3)]).dtype == np.uint8


def test_an_album_is_a_folder_or_a_film(tmp_path: Path) -> None:
    """Numbered pictures, or a film that plays; of a film all pictures have the first one's size. Anything else is refused."""
    pictures = [np.full((60 + step, 81, 3), 40 * step, np.uint8) for step in range(4)]
    for target in (tmp_path / "folder", tmp_path / "film.avi", tmp_path / "film.mp4"):
        with Album(target, 10) as album:
            for picture in pictures:
                album.add(picture)
    assert [path.name for path in sorted((tmp_path / "folder").iterdir())] == [f"{step:06}.jpg" for step in range(4)]
    for name in ("film.avi", "film.mp4"):
        film, count = cv2.VideoCapture(str(tmp_path / name)), 0
        while (found := film.read())[0]:
            assert found[1].shape == (60, 80, 3)
            count += 1
        assert count == 4
    with pytest.raises(UsageError, match="film"):
        Album(tmp_path / "film.gif", 10)
    with pytest.raises(UsageError, match="folder that exists"):
        Album(tmp_path / "none" / "film.mp4", 10)


def test_the_grid_names_its_fractions(tmp_path: Path) -> None:
    """Around the picture, which is as large as it was; in a terminal as wide as that is."""
    picture = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    assert grid(picture).shape == (468, 668, 3)
    lines = in_terminal(picture, 80).splitlines()
    assert lines[0].split() == [f"{share / 10:.1f}" for share in range(10)]
    assert all(line.count("▀") == 74 for line in lines[1:])
    assert [line.split()[0] for line in lines[1:] if line[0].isdigit()][:3] == ["0.0", "0.1", "0.2"]
