"""A look at a pipeline as it runs."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml

from edgeinfer.cli.preview import command
from edgeinfer.errors import SourceError, UsageError
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
