"""What quantize pack refuses: one clear error, its exit code, and no file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.models import tiny_tflite
from tests.quantize.test_pack import labels_file, packed, refused

CONTRADICTIONS: dict[str, tuple[list[Any], int, str]] = {
    "a height that is not the input's": (["--decoder", "raw", "--height", 9], 65, "preprocess.height: expected 8"),
    "a layout that is not the input's": (["--decoder", "raw", "--layout", "NCHW"], 65, "preprocess.layout: expected NHWC"),
    "grey for three channels": (["--decoder", "raw", "--colour", "GREY"], 65, "preprocess.colour"),
    "a window and a picture": (["--decoder", "raw", "--colour", "RGB", "--window-length", 3], 65, "fields of both"),
    "a window of another length": (["--decoder", "raw", "--window-length", 7, "--normalize", "none"], 65, "channels = 192"),
    "a mean without std": (["--decoder", "raw", "--mean", 1], 65, "both --mean and --std"),
    "two means": (["--decoder", "raw", "--mean", "1,2", "--std", "1"], 65, "1 or 3 numbers"),
    "a std of zero": (["--decoder", "raw", "--mean", 0, "--std", 0], 65, "other than 0"),
    "no decoder": ([], 65, "--decoder classify"),
    "an unknown decoder": (["--decoder", "clasify"], 65, "did you mean 'classify'"),
    "a decoder that does not fit": (["--decoder", "ssd"], 65, "decoder ssd"),
    "an unknown parameter": (["--decoder", "classify", "--param", "topk=3"], 65, "top_k"),
    "a state that is not there": (["--decoder", "raw", "--state", "h=means"], 65, "state[0].input"),
    "a name for no folder": (["--decoder", "raw", "--name", "../up"], 65, "letters"),
    "a probe that is not there": (["--decoder", "raw", "--probe", "nowhere.npy"], 65, "nowhere.npy"),
    "labels that are not there": (["--decoder", "raw", "--labels", "nowhere.txt"], 65, "nowhere.txt"),
    "a shape for a tflite": (["--decoder", "raw", "--shape", "image=1,8,8,3"], 64, "--shape"),
    "a shape of words": (["--decoder", "raw", "--shape", "image=a,b"], 64, "NAME=1,3,224,224"),
    "a parameter without value": (["--decoder", "raw", "--param", "x"], 64, "KEY=VALUE"),
    "a mean of words": (["--decoder", "raw", "--mean", "a"], 64, "numbers separated by commas"),
    "an unknown flag": (["--decodr", "raw"], 64, "--decoder"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradiction_is_refused(case: str, tmp_path: Path) -> None:
    """Each gives one clear error, its exit code, and no file."""
    flags, code, expected = CONTRADICTIONS[case]
    assert expected in refused(tiny_tflite(tmp_path / "m.tflite"), *flags, code=code)


def test_without_a_decoder_the_likely_one_can_be_pasted(tmp_path: Path) -> None:
    """It is not taken by itself: three numbers may be classes, or anything."""
    model = tiny_tflite(tmp_path / "m.tflite")
    hint = refused(model).partition("hint: ")[2]
    found, _ = packed(model, *shlex.split(hint[hint.index("--decoder"):]))
    assert found.manifest.decoder.name == "classify"


@pytest.mark.zoo
def test_a_decoder_without_what_it_needs_is_told_what_fits(zoo: Path, tmp_path: Path) -> None:
    """The parameter without which there is no decoder pose, by the outputs of MoveNet."""
    (tmp_path / "movenet.tflite").symlink_to(zoo / "pose/movenet_single_pose_lightning_ptq.tflite")
    assert "hint: --decoder pose --param variant=movenet" in refused(tmp_path / "movenet.tflite", "--decoder", "pose")


def test_labels_of_the_wrong_length_are_refused(tmp_path: Path) -> None:
    """Two names for three classes."""
    told = refused(tiny_tflite(tmp_path / "m.tflite"), "--decoder", "classify", "--labels", labels_file(tmp_path, "a", "b"))
    assert "3 labels" in told


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Text under the name of a model."""
    (tmp_path / "m.tflite").write_text("hello")
    assert "m.tflite" in refused(tmp_path / "m.tflite", "--decoder", "raw")
