"""One file that holds all samples: npy and npz of pictures, npz of several inputs, framelogs of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import DataError
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.tensor import TensorSpec
from quantize.dataset import ClassLabel, Values, open_dataset, tensors
from tests.quantize.dataset import files

SPEC = ImageSpec(height=4, width=6)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
IMAGE = TensorSpec(name="image", shape=(1, 4, 6, 3), dtype="float32")


@pytest.mark.parametrize(("array", "expected"), [
    (PICTURES, PICTURES), (PICTURES.transpose(0, 3, 1, 2), PICTURES), (PICTURES[0], PICTURES[:1]),
    (PICTURES[..., 0], PICTURES[..., :1].repeat(3, 3)), (PICTURES[..., :1], PICTURES[..., :1].repeat(3, 3)),
    (PICTURES[:, None, :, :, 0], PICTURES[..., :1].repeat(3, 3)),
])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_of_pictures_are_rgb_or_grey(tmp_path: Path, kind: str, array: np.ndarray, expected: np.ndarray) -> None:
    """Channels last or first, or none; one picture alone."""
    path = tmp_path / f"p.{kind}"
    if kind == "npy":
        np.save(path, array)
    else:
        np.savez(path, anything=array)
    found = [feeds["image"][0] for _, feeds in tensors(open_dataset(path, SPEC), SPEC, [IMAGE])]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_has_an_array_for_each_input(tmp_path: Path, save) -> None:
    """The first is preprocessed, the others are taken as they are; labels may lie beside them."""
    first, second = np.arange(24.0).reshape(3, 4, 2), np.arange(15).reshape(3, 5)
    save(tmp_path / "a.npz", state=second, window=first, labels=[2, 0, 1])
    spec = WindowSpec(length=4, channels=2, normalize="standardize", mean=(1.0,), std=(2.0,))
    inputs = [TensorSpec(name="window", shape=(1, 4, 2), dtype="float32"), TensorSpec(name="state", shape=(1, 5), dtype="float32")]
    dataset = open_dataset(tmp_path / "a.npz", spec, inputs=inputs, classes="abc")
    for index, (sample, feeds) in enumerate(tensors(dataset, spec, inputs)):
        assert np.array_equal(feeds["window"], (first[index : index + 1] - 1) / 2)
        assert np.array_equal(feeds["state"], second[index : index + 1])
        assert feeds["state"].dtype == np.float32
        assert isinstance(sample.label, ClassLabel)
    assert [dataset.label(index).index for index in range(3)] == [2, 0, 1]


def test_an_npz_may_hold_a_stream_and_values(tmp_path: Path) -> None:
    """Windows are cut from (n, channels); labels of floats are values of a regression."""
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 2)), y=np.arange(4.0))
    (dataset,) = [open_dataset(tmp_path / "a.npz", WindowSpec(length=3, channels=2, hop=2))]
    assert [sample.label for sample in dataset] == [Values((float(index),)) for index in range(4)]


def test_a_framelog_of_pictures_keeps_their_sizes(tmp_path: Path) -> None:
    """Pictures may be smaller than the largest; the stamps are as recorded."""
    arrays = [PICTURES[0], PICTURES[1, :2, :4], PICTURES[2]]
    dataset = open_dataset(files.framelog(tmp_path / "log", arrays), SPEC)
    assert dataset.names == ["log#0", "log#1", "log#2"]
    for sample, array in zip(dataset, arrays, strict=True):
        assert np.array_equal(sample.frame.view, array)
    assert (dataset.format.height, dataset.format.width) == (4, 6)


@pytest.mark.parametrize(("arrays", "classes", "message"), [
    ({"window": np.zeros((3, 4, 2))}, "", "an array for each input: window, state, got window"),
    ({"window": np.zeros((3, 4, 2)), "state": np.zeros((2, 5))}, "", r"\(3, …\) of \(1, 5\) each"),
    ({"window": np.zeros((3, 4, 2)), "state": np.zeros((3, 5)), "labels": [0, 1]}, "", r"\(3,\) or \(3, k\)"),
    ({"window": np.zeros((3, 4, 2)), "state": np.zeros((3, 5)), "labels": [0, 1, 7]}, "abc", "classes 0 to 2, got 0 to 7"),
    ({"window": np.zeros((3, 4, 2), object), "state": np.zeros((3, 5))}, "", "objects"),
    ({"window": np.zeros((0, 4, 2)), "state": np.zeros((3, 5))}, "", r"real numbers, got float64 of shape \(0, 4, 2\)"),
    ({}, "", "arrays, got none"),
])
def test_an_npz_that_does_not_fit_is_one_error(tmp_path: Path, arrays, classes: str, message: str) -> None:
    """It names the array and both sides."""
    np.savez(tmp_path / "a.npz", **arrays)
    inputs = [TensorSpec(name="window", shape=(1, 4, 2), dtype="float32"), TensorSpec(name="state", shape=(1, 5), dtype="float32")]
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "a.npz", WindowSpec(length=4, channels=2), inputs=inputs, classes=classes)


def test_several_inputs_need_an_npz(tmp_path: Path) -> None:
    """The hint says how to write one."""
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 2)))
    inputs = [TensorSpec(name=name, shape=(1, 4, 2), dtype="float32") for name in ("window", "state")]
    with pytest.raises(DataError, match=r"npz with an array for each of window, state, got npy[^$]*np.savez"):
        open_dataset(tmp_path / "a.npy", WindowSpec(length=4, channels=2), inputs=inputs)
