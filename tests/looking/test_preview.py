"""A look at a pipeline as it runs."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edgeinfer.cli.preview import command
from edgeinfer.config import parse
from edgeinfer.errors import SourceError, UsageError
from edgeinfer.looking.preview import Preview
from edgeinfer.model.frame import Frame
from edgeinfer.model.result import Result
from tests.looking.site import served

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: object) -> None:
    command(list(map(str, arguments)), standalone_mode=False)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Two seconds and a half of a motor."""
    path = tmp_path / "motor.csv"
    path.write_text("".join((EXAMPLES / "vibration" / "vibration.csv").read_text().splitlines(True)[:2001]))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The person counter with a broker that counts who comes, on a film that begins anew."""
    document = yaml.safe_load((EXAMPLES / "people" / "config.yaml").read_text())
    pipeline = document["pipelines"]["people"]
    pipeline["bundle"], pipeline["source"] = str(EXAMPLES / "people" / "bundle"), {"kind": "video", "path": str(EXAMPLES / "people" / "street.mp4"), "loop": True}
    path = tmp_path / "edgeinfer.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_pictures_come_to_the_page_and_nothing_to_a_broker(config: Path) -> None:
    """Motion JPEG and figures on 127.0.0.1, for who has the address; the configured broker hears nothing; Ctrl-C ends it with 0."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        document = yaml.safe_load(config.read_text())
        document["sink"]["port"] = broker.getsockname()[1]
        config.write_text(yaml.safe_dump(document))
        with served("preview", str(config)) as site:
            with urllib.request.urlopen(site.address + "stream", timeout=20) as stream:
                assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
                assert stream.read(40000).count(b"\xff\xd8\xff") >= 1
            with urllib.request.urlopen(site.address + "figures", timeout=20) as answer:
                figures = json.load(answer)
            out, err, code = site.end(interrupt=True)
        broker.settimeout(0)
        with pytest.raises(BlockingIOError):
            broker.accept()
    assert figures["frames"] > 0
    assert set(figures["scene"]["zones"]) == {"bench"}
    assert (out, code) == ("", 0)
    assert "on this machine only" in err
    assert "nothing is published" in err


def test_a_replay_is_kept_whole(csv: Path, tmp_path: Path) -> None:
    """Each window of a recording once, in a folder, without a configuration; where it ends the command ends."""
    run(EXAMPLES / "vibration" / "severity" / "bundle", "--source", csv, "--save", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 7


def test_a_source_is_said_as_in_a_configuration(csv: Path, tmp_path: Path) -> None:
    """A mapping in YAML's flow style."""
    source = f"{{kind: csv, path: {csv}, columns: [x, y, z], rate: 800, pace: fast}}"
    run(EXAMPLES / "vibration" / "bundle", "--source", source, "--save", tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").stat().st_size > 10_000


def still(tmp_path: Path, **pipeline: object) -> Preview:
    """Twelve times the same picture before the digits' model, a white square in the fifth and sixth."""
    (tmp_path / "film").mkdir()
    for number in range(12):
        picture = np.full((120, 160, 3), 90, np.uint8)
        picture[40:80, 60:100] += 120 if number in (4, 5) else 0
        cv2.imwrite(str(tmp_path / "film" / f"{number:02}.png"), picture)
    source = {"kind": "images", "path": "film", "interval_s": 0}
    config = {"node": "n", "sink": {"kind": "stdout"}, "pipelines": {"yard": {"bundle": str(EXAMPLES / "digits" / "bundle"), "source": source, **pipeline}}}
    return Preview.of_pipeline(parse(yaml.safe_dump(config).encode(), tmp_path), "yard")


def test_a_frame_in_which_nothing_moves_is_skipped_as_the_daemon_would_and_says_so(tmp_path: Path) -> None:
    """The first one, the two in which there is something, and the one in which it is gone are looked at; what moves is tinted, what is
    skipped has another title."""
    preview = still(tmp_path, motion={"awake_s": 0, "look_s": 0, "mask": [[[0, 0], [0.2, 0], [0.2, 0.2]]]}, gate={"min_score": 1.0})
    pictures = list(preview.pictures(10, every=True))
    figures = preview.figures()
    assert (figures["frames"], figures["motion"]["still"], figures["told"]) == (12, 12 - 3, 0)
    assert np.ptp(pictures[4][60 * 3, 80 * 3]) > 30, "tinted"
    assert np.ptp(pictures[7][60 * 3, 80 * 3]) == 0
    assert (pictures[7][:, :, 0] != pictures[4][:, :, 0])[-40:].any(), "the title"
    assert np.array_equal(pictures[2], pictures[3])


def test_a_heartbeat_is_looked_at_though_nothing_moves(tmp_path: Path) -> None:
    """As in the daemon: here each frame, since a hundredth of a second is over."""
    preview = still(tmp_path, motion={"awake_s": 0, "look_s": 0}, gate={"on_change": True, "heartbeat_s": 0.001})
    list(preview.pictures(10, every=True))
    assert (preview.figures()["motion"]["still"], preview.figures()["told"]) == (0, 12)


def test_a_frame_that_the_model_fails_on_costs_that_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder plug-in with a fault is told below the picture, and the preview goes on."""
    preview = still(tmp_path)
    found = iter([ValueError("on purpose"), *[preview._lane.infer] * 11])

    def fail_once(frame: Frame) -> Result:
        one = next(found)
        if isinstance(one, ValueError):
            raise one
        return one(frame)

    monkeypatch.setattr(preview._lane, "infer", fail_once)
    assert len(list(preview.pictures(10, every=True))) == 12
    assert preview.figures()["trouble"] == "1 skipped, since the model failed: ValueError: on purpose"
    assert preview.figures()["told"] == 11


def test_outside_of_its_schedule_pictures_are_shown_and_nothing_is_found(tmp_path: Path) -> None:
    """No error, though no frame is looked at."""
    hour = (time.gmtime().tm_hour + 12) % 24
    preview = still(tmp_path, schedule={"active": [f"{hour:02}:00-{hour:02}:30"], "clock": "utc"})
    assert len(list(preview.pictures(10, every=True))) == 12
    assert preview.figures()["schedule"] == {"active": False, "skipped": 12}
    assert preview.figures()["motion"] is None


@pytest.mark.parametrize(("arguments", "error", "words"), [
    ((EXAMPLES / "digits/bundle",), UsageError, "--source"),
    ((EXAMPLES / "digits/bundle", "--source", "/nowhere.png"), SourceError, "nothing there"),
    ((EXAMPLES / "digits/bundle", "--source", "{kind: camra}"), Exception, "camera"),
    ((EXAMPLES / "digits/bundle", "--source", "{device: /dev/video0}"), UsageError, "a kind of"),
    ((EXAMPLES / "people/config.yaml", "peple"), UsageError, "people"),
    ((EXAMPLES / "vibration/monitor.yaml",), UsageError, "vibration, wear"),
    ((EXAMPLES / "people/config.yaml", "--source", "x.mp4"), UsageError, "leave --source out"),
    ((EXAMPLES / "people/config.yaml", "--fps", "0"), UsageError, "--fps"),
])
def test_what_is_wrong_is_told_before_anything_opens(arguments: tuple[object, ...], error: type[Exception], words: str) -> None:
    """One clear error."""
    with pytest.raises(error, match=words):
        run(*arguments)
