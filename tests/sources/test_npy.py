"""Samples from NumPy array files, good and bad."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.errors import SourceError
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.npy import Npy, NpyOptions


def _save(tmp_path: Path, array: Any, **options: Any) -> Npy:
    path = tmp_path / "samples.npy"
    np.save(path, array, **options)
    return Npy(NpyOptions(path=str(path), pace="fast"))


@pytest.mark.parametrize("shape", [(7,), (7, 3), (2, 4, 3), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4", "int8", "uint16", "int64", "bool"])
def test_samples_of_every_dtype_and_shape_come_as_float32(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """(n,), (n, channels) and windows (k, length, channels) are one stream of samples."""
    array = (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)
    source = _save(tmp_path, array)
    channels = shape[-1] if len(shape) > 1 else 1
    expected = array.reshape(-1, channels).astype(np.float32)
    assert source.format() == SampleFormat(channels)
    samples = np.full((len(expected) + 5, channels), np.nan, np.float32)
    source.open()
    assert source.read_into(samples) == len(expected)
    assert np.array_equal(samples[: len(expected)], expected)
    assert source.read_into(samples) == 0
    source.close()


def test_pieces_and_loops_join_up(tmp_path: Path) -> None:
    """Reads of four over a file of seven that loops."""
    path = tmp_path / "samples.npy"
    np.save(path, np.arange(7))
    source = Npy(NpyOptions(path=str(path), pace="fast", loop=True))
    source.open()
    samples, seen = np.zeros((4, 1), np.float32), []
    for _ in range(4):
        assert source.read_into(samples) == 4
        seen += samples[:, 0].tolist()
    assert seen == [number % 7 for number in range(16)]


def test_a_file_in_fortran_order_is_read_in_its_logical_order(tmp_path: Path) -> None:
    """Two dimensions are; three would need a copy of the whole and are refused, with what to do."""
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(6, 2))
    source, samples = _save(tmp_path, array), np.zeros((6, 2), np.float32)
    source.open()
    assert source.read_into(samples) == 6
    assert np.array_equal(samples, array)
    with pytest.raises(SourceError, match="windows in C order"):
        _save(tmp_path, np.asfortranarray(np.zeros((2, 3, 4)))).format()


@pytest.mark.parametrize("array", [np.zeros(3, complex), np.array(["a"]), np.zeros(()), np.zeros((0, 3)), np.zeros((1, 1, 1, 1)),
                                   np.zeros(2, [("x", "f4")]), np.zeros(2, "datetime64[s]")], ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_of_something_else_is_refused(tmp_path: Path, fails: Callable[..., str], array: Any) -> None:
    """Its dtype and shape are told."""
    source = _save(tmp_path, array)
    fails(source.format, "expected real numbers", f"of shape {array.shape}")
    fails(source.open, "samples.npy")


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (Path("unpickled"),)


def test_a_pickle_is_never_loaded(tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading one runs the code in it."""
    monkeypatch.chdir(tmp_path)
    fails(_save(tmp_path, np.array([_Bomb()], object)).open, "expected a whole .npy file")
    assert not (tmp_path / "unpickled").exists()


def test_an_archive_is_told_apart(tmp_path: Path, fails: Callable[..., str]) -> None:
    """A .npz under the name .npy."""
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    fails(Npy(NpyOptions(path=str(tmp_path / "a.npy"), pace="fast")).open, "expected one array", "archive")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 200), place=st.integers(0, 127), byte=st.integers(0, 255))
def test_a_damaged_file_is_one_clear_error_or_still_an_array(tmp_path: Path, cut: int, place: int, byte: int) -> None:
    """Cut at any place, and with any byte of its header overwritten: nothing but a SourceError is raised."""
    memory = io.BytesIO()
    np.save(memory, np.arange(20, dtype=np.float32).reshape(10, 2))
    content = bytearray(memory.getvalue())
    content[place] = byte
    path = tmp_path / "damaged.npy"
    path.write_bytes(content[:cut] if cut % 2 else content)
    source = Npy(NpyOptions(path=str(path), pace="fast"))
    with contextlib.suppress(SourceError):
        assert source.format().channels > 0
        source.open()
