"""Windows of sensors' samples from csv, npy, wav and framelogs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import DataError
from edgeinfer.model.preprocess.spec import WindowSpec
from quantize.dataset import ClassLabel, open_dataset
from quantize.dataset.tensors import tensors
from tests.features import computed, spec_of, tensor_of, window
from tests.quantize.dataset import files

SPEC = WindowSpec(length=4, channels=2, hop=2)
ROWS = np.arange(22, dtype=np.float32).reshape(11, 2) / 32
WINDOWS = [ROWS[start : start + 4] for start in (0, 2, 4, 6)]  # the last row is left over


def windows(path: Path, spec: WindowSpec = SPEC) -> list[np.ndarray]:
    return [sample.frame.view.copy() for sample in open_dataset(path, spec)]


def written(path: Path, kind: str) -> Path:
    if kind == "npy":
        np.save(path, ROWS)
    elif kind == "csv":
        path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in ROWS))
    elif kind == "wav":
        files.wav(path, ROWS, coding="f32")
    else:
        files.framelog(path, [ROWS[start : start + 3] for start in (0, 3, 6)] + [np.concatenate([ROWS[9:], ROWS[:1]])], rate=50.0)
    return path


@pytest.mark.parametrize("kind", ["npy", "csv", "wav", "framelog"])
def test_windows_are_cut_from_a_stream_as_on_the_device(tmp_path: Path, kind: str) -> None:
    """``length`` samples each ``hop``; an incomplete last one is left out (the framelog has a row more)."""
    path = written(tmp_path / f"a.{kind}", kind)
    dataset = open_dataset(path, SPEC)
    assert dataset.kind == kind
    assert dataset.names == [f"a.{kind}#{index}" for index in range(len(dataset))]
    for found, expected in zip(windows(path), WINDOWS, strict=False):
        assert (found == expected).all()
    assert len(dataset) == 5 if kind == "framelog" else 4


@pytest.mark.parametrize("kind", ["npy", "csv", "wav", "framelog"])
def test_a_folder_of_recordings_is_one_dataset(tmp_path: Path, kind: str) -> None:
    """Files in order of names; one with a single window has the file's name; one that is too short is named."""
    for name in ("b", "a"):
        written(tmp_path / f"{name}.{kind}", kind)
    np.save(tmp_path / "short.npy", ROWS[:2])
    np.save(tmp_path / "single.npy", ROWS[:4])
    if kind != "npy":
        (tmp_path / "short.npy").unlink()
        (tmp_path / "single.npy").unlink()
    dataset = open_dataset(tmp_path, SPEC)
    assert dataset.names[:2] == [f"a.{kind}#0", f"a.{kind}#1"]
    assert [sample.name for sample in dataset] == dataset.names
    if kind == "npy":
        assert dataset.names[-1] == "single.npy"
        assert list(dataset.unreadable) == ["short.npy"]


@pytest.mark.parametrize(("shape", "spec"), [
    ((3, 4, 2), SPEC), ((3, 4, 2, 1), SPEC), ((3, 1, 4, 2), SPEC), ((3, 8), SPEC), ((3, 2, 4), SPEC),
    ((3, 4), WindowSpec(length=4, channels=1)), ((3, 4, 1), WindowSpec(length=4, channels=1)),
])
def test_an_array_may_hold_whole_windows(tmp_path: Path, shape, spec: WindowSpec) -> None:
    """(n, length, channels) give or take sides of 1, flat, or with channels first."""
    array = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "w.npy", array)
    expected = array.transpose(0, 2, 1) if shape == (3, 2, 4) else array.reshape(3, spec.length, spec.channels)
    assert np.allclose(windows(tmp_path / "w.npy", spec), expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float64", "int16", "bool", ">f4"])
def test_arrays_of_any_order_and_real_dtype(tmp_path: Path, order: str, dtype: str) -> None:
    """Fortran's order and big-endian numbers, too."""
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (3, 4, 2)), dtype, order=order)
    np.save(tmp_path / "w.npy", array)
    assert np.array_equal(windows(tmp_path / "w.npy"), array.astype(np.float32))


@pytest.mark.parametrize(("text", "labels"), [
    ("0,1\n2,3\n4,5\n6,7\n", None),
    ("x;y\n0;1\n2;3\n\n4;5\n6;7\n", None),
    ("\ufeffx\ty\r\n0\t1\r\n2\t3\r\n4\t5\r\n6\t7", None),
    ('"x","y"\n"0","1"\n 2 , 3 \n4,5\n6,7\n', None),
    ("x,y,label\n0,1,run\n2,3,walk\n4,5,walk\n6,7,run\n", "run"),
    ("class,x,y\n0,0,1\n1,2,3\n1,4,5\n1,6,7\n", "walk"),
    ("0,1,walk\n2,3,walk\n4,5,run\n6,7,walk\n", "walk"),
    ("a,b,c,d,e,f,g,h\n0,1,2,3,4,5,6,7\n", None),
    ("0,1,2,3,4,5,6,7,run\n", "run"),
])
def test_csv_in_the_ways_people_write_it(tmp_path: Path, text: str, labels: str | None) -> None:
    """With a header or none, comma, semicolon or tab, labels by name or number in a column of their own, a window in a row."""
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    (sample,) = open_dataset(tmp_path / "a.csv", SPEC, classes=("run", "walk"))
    assert (sample.frame.view == np.arange(8).reshape(4, 2)).all()
    assert sample.label == (None if labels is None else ClassLabel(("run", "walk").index(labels), labels))


@pytest.mark.parametrize(("coding", "step"), [("u8", 1 / 128), ("i16", 2**-15), ("i24", 2**-23), ("i32", 2**-30), ("f32", 1e-7), ("f64", 1e-7)])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_of_every_coding(tmp_path: Path, coding: str, step: float, channels: int) -> None:
    """Integers become -1 to 1 of full scale; WAVEFORMATEXTENSIBLE and a stream's unknown size are understood."""
    rows = np.random.default_rng(0).uniform(-1, 1, (9, channels))
    spec = WindowSpec(length=4, channels=channels, hop=5)
    for name, extra in (("a", {}), ("b", {"extensible": True}), ("c", {"streamed": True})):
        found = windows(files.wav(tmp_path / f"{name}.wav", rows, coding=coding, **extra), spec)
        assert np.allclose(found, [rows[:4], rows[5:9]], atol=step)


def test_a_rate_must_be_the_models(tmp_path: Path) -> None:
    """Where the model states one and the file does; the hint resamples."""
    path = files.wav(tmp_path / "a.wav", ROWS, rate=8000)
    assert len(windows(path, WindowSpec(length=4, channels=2, hop=2, rate=8000.0))) == 4
    with pytest.raises(DataError, match=r"16000 samples a second, as the model takes, got 8000[^$]*-ar 16000"):
        open_dataset(path, WindowSpec(length=4, channels=2, hop=2, rate=16000.0))


def test_a_damaged_record_leaves_out_its_windows(tmp_path: Path) -> None:
    """The others are given."""
    path = written(tmp_path / "a.log", "framelog")
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1  # in the last record
    path.write_bytes(raw)
    dataset = open_dataset(path, SPEC)
    assert len(list(dataset)) == 3
    assert list(dataset.unreadable) == ["a.log#3", "a.log#4"]


def test_sound_is_calibrated_with_the_features_of_the_device(tmp_path: Path) -> None:
    """A wav's windows become the features that the manifest states, by the code of the device."""
    spec = spec_of("mfcc_ortho")
    files.wav(tmp_path / "sound.wav", window("mfcc_ortho"), coding="f32")
    dataset = open_dataset(tmp_path / "sound.wav", spec)
    found = [feeds["x"].reshape(spec.rows, spec.columns) for _, feeds in tensors(dataset, spec, (tensor_of(spec),))]
    assert len(found) == 1
    assert (found[0] == computed(spec, window("mfcc_ortho"))).all()
