"""What every dataset promises: order, repetition, subsets, digests, bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import DataError, ManifestError, SourceError, UsageError
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.tensor import TensorSpec
from quantize.dataset import Dataset, open_dataset, tensors
from quantize.dataset.samples import Reader
from tests.quantize.dataset import files

SPEC = ImageSpec(height=8, width=8, layout="NCHW", resize="letterbox", mean=(127.5,), std=(64.0,))
INPUT = TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float32")


def folder(path: Path, count: int = 6) -> Path:
    for index in range(count):
        files.noise(path / f"{index}.png", index, 10 + 7 * (index % 3), 40 - 5 * index)
    return path


class Numbers(Reader):
    """A dataset of nothing but names."""

    kind, path = "numbers", Path("numbers")

    def __init__(self, count: int) -> None:
        self.names = [str(index) for index in range(count)]

    def largest(self):
        raise NotImplementedError

    def read(self, index, frame):
        raise NotImplementedError

    def file(self, index):
        raise NotImplementedError


def split(count: int, calibrate: str | float) -> tuple[list[str], list[str]]:
    calibration, judging = Dataset(Numbers(count)).split(calibrate)
    return calibration.names, judging.names


def test_walking_twice_gives_the_same(tmp_path: Path) -> None:
    """Also two walks at a time, and samples in any order that is asked for."""
    dataset = open_dataset(folder(tmp_path), SPEC)
    views = [sample.frame.view.copy() for sample in dataset]
    for one, other, view in zip(dataset, dataset.samples(), views, strict=True):
        assert np.array_equal(one.frame.view, view)
        assert np.array_equal(other.frame.view, view)
    for sample in dataset.samples([4, 0, 4]):
        assert np.array_equal(sample.frame.view, views[sample.index])


@pytest.mark.parametrize(("calibrate", "chosen"), [
    ("every:4", [0, 4, 8]), ("every:1", list(range(10))), ("3", [0, 3, 6]), (5, [0, 2, 4, 6, 8]), ("20%", [0, 5]), (0.2, [0, 5]),
    ("128", list(range(10))), ("every:100", [0]), ("0.01", [0]),
])
def test_a_split_is_fixed(calibrate: str | float, chosen: list[int]) -> None:
    """Each nth, a number, or a share spread over the order; the others judge, or all where none are left."""
    calibration, judging = split(10, calibrate)
    assert calibration == [str(index) for index in chosen]
    assert judging == [str(index) for index in range(10) if index not in chosen or len(chosen) == 10]


def test_one_sample_calibrates_and_judges() -> None:
    """There is nothing else to judge on."""
    assert split(1, "every:4") == (["0"], ["0"])


@pytest.mark.parametrize("calibrate", ["every:0", "every:x", "0", "-3", "some", "nan", "inf", "%", "0%"])
def test_a_split_that_means_nothing_is_a_usage_error(calibrate: str) -> None:
    """The hint is one that works."""
    with pytest.raises(UsageError, match="--calibrate every:4"):
        split(10, calibrate)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 500), st.integers(1, 600))
def test_a_split_takes_as_many_as_asked_and_loses_none(count: int, wanted: int) -> None:
    """The two parts are disjoint and in order, unless nothing is left to judge on."""
    calibration, judging = split(count, wanted)
    assert len(calibration) == min(count, wanted)
    if wanted < count:
        assert sorted(calibration + judging, key=int) == [str(index) for index in range(count)]
    else:
        assert judging == calibration


def test_a_subset_knows_its_samples_by_their_names(tmp_path: Path) -> None:
    """And a subset of a subset."""
    dataset = open_dataset(folder(tmp_path), SPEC).subset([5, 3, 1]).subset([2, 0])
    assert dataset.names == ["1.png", "5.png"]
    assert [(sample.index, sample.name) for sample in dataset] == [(0, "1.png"), (1, "5.png")]


def test_a_digest_tells_data_apart_and_not_places(tmp_path: Path) -> None:
    """A byte, a name or the choice of samples changes it; the folder's own name, and labels, do not."""
    one, two = open_dataset(folder(tmp_path / "a"), SPEC), open_dataset(folder(tmp_path / "b"), SPEC, labels="none")
    before = one.digest()
    assert before == two.digest()
    assert len({before, one.subset([0, 1]).digest(), one.subset([1, 0]).digest()}) == 3
    (tmp_path / "a/2.png").rename(tmp_path / "a/2b.png")
    assert open_dataset(tmp_path / "a", SPEC).digest() != before
    files.noise(tmp_path / "b/2.png", 99)
    assert open_dataset(tmp_path / "b", SPEC).digest() != before


def test_tensors_are_those_of_the_device(tmp_path: Path) -> None:
    """For pictures of every size, as preprocessing that was built for each gives them; and they are the caller's to keep."""
    dataset = open_dataset(folder(tmp_path), SPEC)
    walk = tensors(dataset, SPEC, [INPUT])
    kept = [(sample.name, feeds["image"]) for sample, feeds in walk]
    assert len(walk) == len(kept) == 6
    for sample, (name, tensor) in zip(dataset, kept, strict=True):
        assert sample.name == name
        assert np.array_equal(build(SPEC, INPUT, sample.frame.format).reals(sample.frame), tensor)
    assert walk.preprocess.geometry.input_width == 8


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    """By the preprocessing itself."""
    other = TensorSpec(name="image", shape=(1, 3, 9, 8), dtype="float32")
    with pytest.raises(ManifestError, match="shape"):
        list(tensors(open_dataset(folder(tmp_path), SPEC), SPEC, [other]))


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "wav"])
def test_memory_does_not_grow_with_the_samples(tmp_path: Path, kind: str) -> None:
    """A walk over ten times the windows takes no more than it does over these (csv: eight bytes for each)."""
    spec, peaks = WindowSpec(length=100, channels=1, hop=100), []
    for count in (20, 200):
        rows = np.random.default_rng(0).uniform(-1, 1, (count * 100, 1))
        path = tmp_path / f"{count}.{kind}"
        if kind == "npy":
            np.save(path, rows)
        elif kind == "npz":
            np.savez_compressed(path, rows=rows)
        elif kind == "csv":
            np.savetxt(path, rows, "%.3f")
        else:
            files.wav(path, rows)
        dataset = open_dataset(path, spec)
        assert len(dataset) == count
        list(dataset.samples([0]))
        tracemalloc.start()
        assert sum(1 for _ in dataset) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000


WINDOW = WindowSpec(length=4, channels=2, hop=2)
BAD = {
    "nothing there": (SPEC, "absent", None, SourceError, "nothing of that name"),
    "an empty folder": (SPEC, "", {}, SourceError, "files of one kind: pictures, got an empty folder"),
    "a folder of something else": (SPEC, "", {"a.txt": b"", "b.pdf": b""}, SourceError, "1 .pdf, 1 .txt"),
    "a file of no kind": (SPEC, "a.bin", {"a.bin": b"\0"}, DataError, "pictures, a framelog, .npy"),
    "a video": (SPEC, "a.mp4", {"a.mp4": b"\0"}, DataError, "got a file 'a.mp4'"),
    "windows for a model of pictures": (SPEC, "a.wav", {"a.wav": b""}, DataError, "which the model takes, got wav"),
    "pictures for a model of windows": (WINDOW, "a.png", {"a.png": b""}, DataError, "which the model takes, got pictures"),
    "two kinds in a folder": (WINDOW, "", {"a.wav": b"", "a.npy": b""}, DataError, "got 1 wav, 1 npy"),
    "a torn npy": (WINDOW, "a.npy", {"a.npy": b"\x93NUMPY\x01\0v\0{'descr'"}, DataError, "a whole .npy file"),
    "a torn npz": (SPEC, "a.npz", {"a.npz": b"PK\3\4torn"}, DataError, "a whole .npz file"),
    "no WAVE": (WINDOW, "a.wav", {"a.wav": b"ID3 mp3 data"}, DataError, "a WAVE file .RIFF."),
    "a torn WAVE": (WINDOW, "a.wav", {"a.wav": b"RIFF\0\0\0\0WAVEfmt "}, DataError, "ends within its header"),
    "a torn framelog": (WINDOW, "a.log", {"a.log": b"edgeinfer-framelog 1\n{"}, DataError, "header of at most"),
    "an empty csv": (WINDOW, "a.csv", {"a.csv": b"\n\n"}, DataError, "a CSV of numbers, got an empty file"),
    "a csv of other columns": (WINDOW, "a.csv", {"a.csv": b"t,x,y\n1,2,3\n"}, DataError, "line 1: expected 2 columns of values .a sample. or 8"),
    "a csv with a hole": (WINDOW, "a.csv", {"a.csv": b"x,y\n1,2\n3,\n"}, DataError, "line 3: expected 2 cells[^$]*sed -n 3p"),
    "a csv with a NaN": (WINDOW, "a.csv", {"a.csv": b"1,2\n3,nan\n"}, DataError, "line 2"),
    "a ragged csv": (WINDOW, "a.csv", {"a.csv": b"1,2\n3,4,5\n"}, DataError, "line 2"),
    "a csv that is too short": (WINDOW, "a.csv", {"a.csv": b"1,2\n3,4\n"}, DataError, "at least 4 rows"),
    "a csv that is binary": (WINDOW, "a.csv", {"a.csv": b"\0\xff\xfe\n"}, DataError, "line 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_clear_error(tmp_path: Path, case: str) -> None:
    """It says what was expected, what was found, and what to do."""
    spec, name, contents, error, message = BAD[case]
    for file, content in (contents or {}).items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        open_dataset(tmp_path / name, spec)
    assert len(caught.value.faults) == 1
    assert str(tmp_path) in str(caught.value)


ARRAYS = {
    "pictures that are normalised already": (SPEC, np.zeros((2, 8, 8, 3), np.float32), "before normalisation"),
    "pictures of four channels": (SPEC, np.zeros((2, 8, 8, 4), np.uint8), "pictures of shape"),
    "windows of another length": (WINDOW, np.zeros((2, 5, 2)), r"windows of shape \(n, 4, 2\), or a stream \(n, 2\), got \(2, 5, 2\)"),
    "a stream of other channels": (WINDOW, np.zeros((20, 3)), r"stream \(n, 2\), got \(20, 3\)"),
    "a flat stream of one channel": (WINDOW, np.zeros(20), "2 channels, as the model takes, got 1"),
    "complex numbers": (WINDOW, np.zeros((20, 2), complex), "real numbers, got complex128"),
    "objects": (WINDOW, np.array([None, 1]), "a whole .npy file without objects"),
    "nothing": (WINDOW, np.zeros((0, 2)), r"shape \(0, 2\)"),
    "a stream that is too short": (WINDOW, np.zeros((3, 2)), "one window of 4 samples, got 3"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_that_does_not_fit_is_one_clear_error(tmp_path: Path, case: str) -> None:
    """Shapes and dtypes are named."""
    spec, array, message = ARRAYS[case]
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "a.npy", spec)
