"""Readers of one file that holds all samples: an .npy of pictures, an .npz, a framelog of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeinfer.errors import DataError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogReader
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import Array, TensorSpec
from quantize.dataset.arrays import Pixels, map_npz
from quantize.dataset.classes import ClassNames, listed
from quantize.dataset.labels import ClassLabel, Label, Values
from quantize.dataset.recordings import Windows, windows_of
from quantize.dataset.samples import Reader

__all__ = ["Archive", "FramelogPictures", "PictureArray"]

LABELS = ("labels", "label", "targets", "target", "y")  # names of the array of labels in an .npz


class PictureArray(Reader):
    """A Reader of an .npy of pictures."""

    kind = "npy"

    def __init__(self, path: Path, array: Array) -> None:
        """Raises DataError."""
        self.path = path
        self._pixels = Pixels(array, str(path))
        self.names = _numbered(path, self._pixels.count)

    def largest(self) -> FrameFormat:
        return self._pixels.format

    def read(self, index: int, frame: Frame | None) -> Frame:
        return self._pixels.read(index, frame)

    def file(self, index: int) -> Path:
        return self.path


class FramelogPictures(Reader):
    """A Reader of a framelog of pictures. A damaged record is an unreadable sample."""

    kind = "framelog"

    def __init__(self, path: Path) -> None:
        """Raises DataError where it is no framelog of pictures, or holds none."""
        self.path = path
        with FrameLogReader(path) as reader:
            if isinstance(reader.format, WindowFormat):
                raise DataError(str(path), "a framelog of pictures", "one of samples",
                                "record the camera that the model is for")
            self._format: FrameFormat = reader.format
            self.names = _numbered(path, len(reader))
        if not self.names:
            raise DataError(str(path), "pictures", "a framelog without one record", "edgeinfer record CONFIG -o FILE")

    def largest(self) -> FrameFormat:
        return self._format

    def read(self, index: int, frame: Frame | None) -> Frame:
        frame = frame or Frame(self._format)
        with FrameLogReader(self.path) as reader:
            reader.read_into(index, frame)
        return frame

    def file(self, index: int) -> Path:
        return self.path


class Archive(Reader):
    """A Reader of an .npz: an array (n, …) for each of the model's inputs, under its name. The first input's holds pictures
    or windows and is preprocessed; the others' are taken as they are. Where the model has one input, the array may have any
    name. An array called labels (n,) has classes (whole numbers) or values; (n, k) has k values each."""

    kind = "npz"

    def __init__(self, path: Path, spec: PreprocessSpec, inputs: Sequence[TensorSpec]) -> None:
        """Raises DataError where arrays and inputs do not fit each other."""
        self.path = path
        arrays = map_npz(path)
        self._labels = next((arrays.pop(name) for name in LABELS
                             if name in arrays and name not in {input.name for input in inputs}), None)
        first = self._first(arrays, inputs)
        main = arrays[first]
        where = f"{path}: {first}"
        self._read: Callable[[int, Frame | None], Frame]
        self._largest: FrameFormat | WindowFormat
        if isinstance(spec, WindowSpec):
            windows = windows_of(main, path, spec)
            format = WindowFormat(spec.length, spec.channels)
            self._largest, count = format, windows.count
            self._read = lambda index, frame: _window(windows, index, frame or Frame(format))
        else:
            pixels = Pixels(main, where)
            self._largest, count, self._read = pixels.format, pixels.count, pixels.read
        self.names = _numbered(path, count)
        self._others = {input.name: (_fitting(arrays[input.name], input, count, path), input) for input in inputs[1:]}
        if self._labels is not None and (len(self._labels) != count or self._labels.ndim > 2):
            raise DataError(f"{path}: labels", f"({count},) or ({count}, k), as there are samples", str(self._labels.shape))

    def _first(self, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> str:
        """The name of the first input's array."""
        if len(inputs) <= 1 and len(arrays) == 1:
            return next(iter(arrays))
        wanted = [input.name for input in inputs]
        absent = [name for name in wanted if name not in arrays]
        if absent or not wanted:
            raise DataError(str(self.path), f"an array for each input: {', '.join(wanted) or 'one'}", listed(list(arrays)),
                            f"np.savez('{self.path.name}', **{{name: array}}) with those names")
        return wanted[0]

    def largest(self) -> FrameFormat | WindowFormat:
        return self._largest

    def read(self, index: int, frame: Frame | None) -> Frame:
        return self._read(index, frame)

    def label(self, index: int) -> Label | None:
        if self._labels is None:
            return None
        label = self._labels[index]
        if label.ndim == 0 and self._labels.dtype.kind in "iub":
            return ClassLabel(int(label))
        return Values(tuple(float(value) for value in np.atleast_1d(label)))

    def check_classes(self, classes: ClassNames) -> None:
        """Raises DataError where a label is not a class of the model."""
        labels = self._labels
        if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iub" or not classes.names:
            return
        if labels.min() < 0 or labels.max() >= len(classes.names):
            raise DataError(f"{self.path}: labels", f"classes 0 to {len(classes.names) - 1}",
                            f"{labels.min()} to {labels.max()}")

    def tensors(self, index: int) -> Mapping[str, Array]:
        return {name: np.array(array[index], input.dtype).reshape(input.shape)
                for name, (array, input) in self._others.items()}

    def file(self, index: int) -> Path:
        return self.path


def _window(windows: Windows, index: int, frame: Frame) -> Frame:
    windows.read(index, frame.view)
    return frame


def _fitting(array: Array, input: TensorSpec, count: int, path: Path) -> Array:
    if len(array) != count or array[0].size != int(np.prod(input.shape)):
        raise DataError(f"{path}: {input.name}", f"({count}, …) of {input.shape} each, as the model's", str(array.shape))
    return array


def _numbered(path: Path, count: int) -> list[str]:
    """Names of the samples in one file, in the order of the file."""
    return [f"{path.name}#{index}" for index in range(count)]
