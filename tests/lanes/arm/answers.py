"""What the models of the zoo and the examples answer on this machine, bundled and written down for another architecture.

    python -m tests.lanes.arm.answers FOLDER      packs bundles into FOLDER and writes answers.npz beside them
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, read, unpack
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.preprocess.fingerprint import synthetic_frame
from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import Array

__all__ = ["bundles", "run", "synthetic", "told"]

ROOT = Path(__file__).resolve().parents[3]
ZOO = ROOT.parent / "shared" / "zoo"
EXAMPLES = ("digits", "vibration")


def bundles(folder: Path) -> Iterator[Bundle]:
    """Every bundle below the folder."""
    for manifest in sorted(folder.glob("*/manifest.json")):
        yield read(manifest.parent)


def formats(bundle: Bundle) -> list[FrameFormat | WindowFormat]:
    """Pictures in every pixel format that cameras have, or a window."""
    spec = bundle.manifest.preprocess
    if not isinstance(spec, ImageSpec):
        return [WindowFormat(spec.length, spec.channels)] * 4
    return [FrameFormat(kind, 480, 640) for kind in ("RGB", "BGR", "YUYV", "NV12", "I420", "GREY")]


def synthetic(bundle: Bundle) -> list[Frame]:
    """One frame of each format; the same bytes on every machine."""
    return [_frame(format, synthetic_frame(seed, format, bundle.manifest.preprocess)) for seed, format in enumerate(formats(bundle))]


def pictured(pictures: list[Array]) -> list[Frame]:
    """Frames of pictures, uint8 RGB (height, width, 3)."""
    return [_frame(FrameFormat("RGB", *picture.shape[:2]), picture) for picture in pictures]


def _frame(format: FrameFormat | WindowFormat, content: Array) -> Frame:
    frame = Frame(format)
    frame.view[...] = content
    return frame


def run(bundle: Bundle, frames: list[Frame]) -> Iterator[tuple[Array, list[Array]]]:
    """For each frame the input tensor that preprocessing makes of it, and the outputs of the model, as stored."""
    engine = Engine(bundle, RuntimeOptions())
    session = engine.session
    try:
        for frame in frames:
            engine.reset()
            lane = engine.lane(frame.format)
            lane.preprocess.run(frame, session.input(0))
            made = np.array(session.input(0))
            session.invoke()
            yield made, [np.array(session.output(index)) for index in range(len(session.outputs))]
    finally:
        engine.close()


def _photos() -> list[Array]:
    """Real pictures of the zoo, for models of pictures: noise leaves a classifier undecided, and says little."""
    import cv2

    files = [*sorted((ZOO / "quantize" / "photos").glob("*.jpg"))[::80], ZOO / "classify" / "cat.bmp", ZOO / "classify" / "orange.png"]
    return [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files if file.exists()]


def _write(folder: Path) -> None:
    """``photo/<n>``, and of each bundle ``<name>/input/<n>`` of synthetic frames and ``<name>/output/<n>/<index>`` of photos where
    the zoo has any (of synthetic frames else)."""
    _pack(folder)
    photos = _photos()
    found: dict[str, Array] = {f"photo/{number}": photo for number, photo in enumerate(photos)}
    for bundle in bundles(folder):
        name = bundle.folder.name
        for number, (made, _) in enumerate(run(bundle, synthetic(bundle))):
            found[f"{name}/input/{number}"] = made
        for number, (_, outputs) in enumerate(run(bundle, told(bundle, photos))):
            found.update((f"{name}/output/{number}/{index}", output) for index, output in enumerate(outputs))
    np.savez(folder / "answers.npz", **found)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
    print(f"{len(found)} arrays of {len(list(bundles(folder)))} bundles")


def told(bundle: Bundle, photos: list[Array]) -> list[Frame]:
    """The frames whose outputs are compared."""
    pictures = photos and isinstance(bundle.manifest.preprocess, ImageSpec) and bundle.folder.name not in EXAMPLES
    return pictured(photos) if pictures else synthetic(bundle)


def _pack(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name / "bundle", folder / name, dirs_exist_ok=True)
    if ZOO.is_dir():
        from tests import zoo_bundles

        for make in (zoo_bundles.mobilenet_tflite, zoo_bundles.mobilenet_onnx, zoo_bundles.kws, zoo_bundles.micro_speech,
                     zoo_bundles.movenet):
            make(ZOO, folder / make.__name__)
        zoo_bundles.ad01(ZOO, folder / "ad01", "int8")
        _quantise(folder)


def _quantise(folder: Path) -> None:
    """A network of our own making, in both formats, for a Raspberry Pi."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", "from quantize.cli import main; main()", "run", str(ZOO / "classify" / "vww_96_float.tflite"), "--mean", "0", "--std", "255",
                   "--decoder", "classify", "--data", str(ZOO / "quantize" / "photos"), "--calibrate", "60", "--target", "raspberry-pi-4",
                   "--rounding", "nearest", "-o", out]
        subprocess.run(command, check=True, capture_output=True)
        for file in Path(out).glob("*.eib"):
            unpack(file, folder / file.stem)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
