"""Files that the commands in the tests of documents take, by the word that stands for each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edgeinfer.model.bundle import Bundle
from edgeinfer.store import Probation, Store
from quantize.cli import program as quantize
from quantize.pack import Given, pack
from tests import bundles
from tests.models import tiny_tflite
from tests.quantize import runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small bundle, a calibrated one and one that embeds, bare models, pictures, a state with installed
    models, and a configuration that replays 5 frames to stdout."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "state" / "models").mkdir(parents=True)
    colours = bundles.colours(folder)
    pack(tiny_tflite(folder / "embed.tflite", dtype="uint8"), folder / "embed", Given(decoder="embed"))
    cv2.imwrite(str(folder / "red.png"), np.full((48, 64, 3), (0, 0, 255), np.uint8))
    network, pictures = runs.save_network(folder / "net.onnx"), runs.save_pictures(folder / "pictures", 4)
    quantize(["run", str(network), "--data", str(pictures), *runs.FLAGS, "--rounding", "nearest", "-o", str(folder / "out")],
             standalone_mode=False)
    _install(Store(folder / "state" / "models"), colours, folder)
    source = {"kind": "synthetic", "width": 64, "height": 48, "count": 5}
    pipelines = {"door": {"model": "colours", "source": source, "runtime": {"accelerators": ["edgetpu"]}},
                 "calibrated": {"bundle": str(folder / "out" / "net.eib"), "source": source},
                 "motor": {"bundle": str(bundles.vibration(folder).folder),
                           "source": {"kind": "synthetic", "yields": "samples", "count": 32}}}
    (folder / "edgeinfer.yaml").write_text(yaml.safe_dump({"node": "n", "pipelines": pipelines, "sink": {"kind": "stdout"}}))
    return folder


def _install(store: Store, first: Bundle, folder: Path) -> None:
    """Versions 1 to 4 of a model: one that was rejected, one that is damaged, one before and the one that is watched."""
    folders = [bundles.deploy(store, bundles.variant(first, folder / version, version)) for version in "1234"]
    (folders[1] / "manifest.json").write_text("no JSON")
    store.reject("colours", folders[0].name.partition("-")[2] * 5, "it was slow")
    watched = bundles.variant(first, folder / "again", "4")
    store.save_probation("colours", Probation(digest=watched.digest))


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Mapping[str, str]:
    """Paths by their word. The state is a copy for each test."""
    shutil.copytree(made / "state", tmp_path / "state", symlinks=True)
    return {"FLOAT": str(made / "net.onnx"), "PICTURES": str(made / "pictures"), "OUT": str(made / "out"),
            "BUNDLE": str(made / "colours"), "BARE": str(made / "colours.tflite"), "PICTURE": str(made / "red.png"),
            "CONFIG": str(made / "edgeinfer.yaml"), "PACKED": str(tmp_path / "packed.eib"), "EMBED": str(made / "embed"),
            "STATE": str(tmp_path / "state")}
