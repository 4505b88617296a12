"""PaddleOCR's detection and recognition of text (package rapidocr-onnxruntime): on signs that are drawn into a photograph, and on
the name plate that Grace Hopper wears there."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.engine import Engine
from edgeinfer.model.preprocess.geometry import Geometry
from edgeinfer.model.result import Segmentation, Text
from edgeinfer.oneshot import answers
from quantize.pack import Given, pack
from tests.model.decoders.reference_text import ctc

CACHE = Path(os.environ["EDGEINFER_MODELS"])
MODELS = next(CACHE.glob("rapidocr-onnxruntime==*")) / "rapidocr_onnxruntime" / "models"
PHOTO = next(CACHE.glob("matplotlib==*")) / "matplotlib" / "mpl-data" / "sample_data" / "grace_hopper.jpg"
LETTERS = cv2.FONT_HERSHEY_SIMPLEX
WORDS = {"Platform 12": (40, 80, 1.2, (255, 255, 255)), "EXIT": (380, 560, 1.5, (0, 255, 255)),
         "Berlin-Mitte": (30, 330, 0.9, (255, 255, 255))}  # where each begins, how large and in which colour it is drawn
PLATE = "COMO HOPPER", (0.22, 0.825, 0.30, 0.85)  # left, top, right, bottom; seen on the photograph, letters 6 pixels high
MARGIN = 0.7  # of a region's height: the map covers the middle of the letters; about PaddleOCR's unclip_ratio of 1.6
NORMALISED = {"mean": [127.5], "std": [127.5], "colour": "BGR"}  # rapidocr's config.yaml


@pytest.fixture(scope="module")
def picture() -> Any:
    """The photograph, 512 x 600, with three signs in it."""
    made = cv2.imread(str(PHOTO))
    for word, (x, y, size, colour) in WORDS.items():
        (width, height), below = cv2.getTextSize(word, LETTERS, size, 2)
        cv2.rectangle(made, (x - 10, y - height - 10), (x + width + 10, y + below + 6), (110, 60, 20), -1)
        cv2.putText(made, word, (x, y), LETTERS, size, colour, 2, cv2.LINE_AA)
    return made


@pytest.fixture(scope="module")
def detection(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A map of probabilities of one class, which ``segment`` makes regions of."""
    given = Given(decoder="segment", parameters={"threshold": 0.3, "min_area": 0.0003}, preprocess=NORMALISED | {"resize": "letterbox"},
                  shape={"x": (1, 3, 960, 960)})
    return Engine(pack(MODELS / "ch_PP-OCRv4_det_infer.onnx", tmp_path_factory.mktemp("text") / "detection", given).bundle,
                  RuntimeOptions())


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's own list, from its metadata, as a file of labels; one of them is an ideographic space."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(MODELS / "ch_PP-OCRv4_rec_infer.onnx", providers=["CPUExecutionProvider"])
    listed = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    file = tmp_path_factory.mktemp("labels") / "labels.txt"
    file.write_text("".join(f"{'␣' if character.isspace() else character}\n" for character in listed), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def recognition(characters: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """6,625 classes: the blank, the list, a space."""
    given = Given(decoder="ctc", parameters={"space": True, "threshold": 0.5}, labels=str(characters), shape={"x": (1, 3, 48, 320)},
                  preprocess=NORMALISED | {"resize": "letterbox", "pad": 127})
    return Engine(pack(MODELS / "ch_PP-OCRv4_rec_infer.onnx", tmp_path_factory.mktemp("text") / "recognition", given).bundle,
                  RuntimeOptions())


def _regions(detection: Engine, picture: Any, folder: Path) -> list[tuple[float, float, float, float]]:
    cv2.imwrite(str(folder / "picture.png"), picture)
    result = next(iter(answers(detection, folder / "picture.png"))).result
    assert isinstance(result, Segmentation)
    return [(row.left, row.top, row.right, row.bottom) for row in result.regions[: result.regions_count]]


def _read(recognition: Engine, picture: Any, box: tuple[float, float, float, float], folder: Path) -> Text:
    height, width = picture.shape[:2]
    left, top, right, bottom = np.array(box) * (width, height, width, height)
    margin = MARGIN * (bottom - top)
    cut = picture[max(int(top - margin), 0) : int(bottom + margin) + 1, max(int(left - margin), 0) : int(right + margin) + 1]
    cv2.imwrite(str(folder / "cut.png"), cut)
    result = next(iter(answers(recognition, folder / "cut.png"))).result
    assert isinstance(result, Text)
    return result


def _drawn(word: str) -> tuple[float, float, float, float]:
    """Where the word is in the photograph, in fractions."""
    x, y, size, _ = WORDS[word]
    (width, height), _ = cv2.getTextSize(word, LETTERS, size, 2)
    return x / 512, (y - height) / 600, (x + width) / 512, y / 600


def _apart(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    return max(abs(a - b) for a, b in zip(box, other, strict=True))


def test_the_text_is_found_where_it_is(detection: Engine, picture: Any, tmp_path: Path) -> None:
    """One region for each sign, one for the name plate, and no other."""
    regions = _regions(detection, picture, tmp_path)
    assert len(regions) == len(WORDS) + 1
    for place in [*map(_drawn, WORDS), PLATE[1]]:
        assert sum(_apart(box, place) < 0.04 for box in regions) == 1, (place, regions)
    print([tuple(round(value, 3) for value in box) for box in regions])


def test_what_is_found_is_read(detection: Engine, recognition: Engine, characters: Path, picture: Any, tmp_path: Path) -> None:
    """Every sign to the letter, with its space, most of the name plate; and the same text and score as CTCLabelDecode makes of the
    same output."""
    listed, told = characters.read_text(encoding="utf-8").splitlines(), []
    for box in _regions(detection, picture, tmp_path):
        said = _read(recognition, picture, box, tmp_path).document()
        output = np.array(recognition.session.output(0))[0].astype(np.float64)
        wanted = ctc({"space": True, "threshold": 0.5}, {"scores": output}, (48, 320), Geometry(), listed)
        assert said["text"] == wanted["text"]
        assert said["score"] == pytest.approx(wanted["score"], abs=1e-4)
        told.append(said["text"].strip())
    assert set(WORDS) <= set(told)
    plate, = set(told) - set(WORDS)
    assert difflib.SequenceMatcher(None, plate, PLATE[0]).ratio() > 0.7
    print(told)
