"""A dataset: an ordered, sized sequence of samples that is read anew each time it is walked, in the memory of one sample."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.errors import DataError, UsageError
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.tensor import Array
from quantize.dataset.labels import Label

__all__ = ["Dataset", "Reader", "Sample"]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One sample. ``frame`` is written anew for the next one: whoever keeps pixels copies them. ``tensors``: values of
    inputs beyond the first, by name, as the model takes them (only an .npz has them)."""

    index: int  # in the dataset
    name: str
    frame: Frame
    label: Label | None = None
    tensors: Mapping[str, Array] = field(default_factory=dict)


class Reader(ABC):
    """One kind of data on disk. Its ``names`` are in order and differ from each other."""

    path: Path
    kind: str
    names: Sequence[str]

    @abstractmethod
    def largest(self) -> FrameFormat | WindowFormat:
        """The largest frame. Raises SourceError where none can be read."""

    @abstractmethod
    def read(self, index: int, frame: Frame | None) -> Frame:
        """A sample into ``frame`` where it has room, else into a new one. Raises DataError where it cannot be read."""

    @abstractmethod
    def file(self, index: int) -> Path:
        """The file that holds a sample."""

    def label(self, index: int) -> Label | None:
        """What the data itself says of a sample."""
        return None

    def tensors(self, index: int) -> Mapping[str, Array]:
        """Values of the inputs beyond the first."""
        return {}


class Dataset:
    """Samples of one kind, in the order of their names (windows: in the order of time). Walking it twice gives the same.

    ``unreadable`` names those that could not be read so far, and why: they are left out when the walk comes to them.
    """

    def __init__(self, reader: Reader, labels: Callable[[int], Label | None] | None = None,
                 indices: Sequence[int] | None = None, unreadable: dict[str, str] | None = None) -> None:
        self._reader = reader
        self._label = labels or reader.label
        self._indices: Sequence[int] = range(len(reader.names)) if indices is None else indices
        self.unreadable: dict[str, str] = {} if unreadable is None else unreadable

    @property
    def path(self) -> Path:
        return self._reader.path

    @property
    def kind(self) -> str:
        """"pictures", "framelog", "npy", "npz", "csv" or "wav"."""
        return self._reader.kind

    @property
    def format(self) -> FrameFormat | WindowFormat:
        """The largest frame, as ``preprocess.build`` and ``Engine.lane`` want it. Of pictures it is found by looking at each
        of them, once. Raises SourceError when none can be read."""
        return self._reader.largest()

    @property
    def names(self) -> list[str]:
        return [self._reader.names[index] for index in self._indices]

    def __len__(self) -> int:
        """Samples that are listed; a walk may meet unreadable ones and give fewer."""
        return len(self._indices)

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """All samples, or those at ``indices`` in that order. Raises DataError when not one of them can be read."""
        frame: Frame | None = None
        given, asked, last = 0, 0, ""
        for index in range(len(self)) if indices is None else indices:
            inner = self._indices[index]
            name = self._reader.names[inner]
            asked += 1
            try:
                frame = self._reader.read(inner, frame)
                sample = Sample(index, name, frame, self._label(inner), self._reader.tensors(inner))
            except DataError as error:
                fault = error.faults[0]
                last = self.unreadable[name] = f"expected {fault.expected}, got {fault.got}"
                continue
            given += 1
            yield sample
        if asked and not given:
            raise DataError(str(self.path), "samples that can be read", f"none of {asked}; the last: {last}",
                            f"file '{self._reader.file(self._indices[0])}'")

    def label(self, index: int) -> Label | None:
        """The label alone, without reading the sample."""
        return self._label(self._indices[index])

    def subset(self, indices: Sequence[int]) -> Dataset:
        """Those samples as a dataset of its own. They share ``unreadable``."""
        return Dataset(self._reader, self._label, [self._indices[index] for index in indices], self.unreadable)

    def digest(self) -> str:
        """SHA-256 in hex over the samples' names and the bytes of the files that hold them: the same data under another
        path has the same digest. Labels do not count. Raises DataError."""
        digest = hashlib.sha256(self.kind.encode())
        before: Path | None = None
        for index in self._indices:
            digest.update(b"\0" + self._reader.names[index].encode(errors="surrogateescape") + b"\0")
            file = self._reader.file(index)
            if file != before:
                digest.update(_file_digest(file))
                before = file
        return digest.hexdigest()

    def split(self, calibrate: str | float) -> tuple[Dataset, Dataset]:
        """(what calibrates, what judges); the latter is all where nothing would be left over.

        ``calibrate``: "every:4" is each fourth from the first on; a whole number is so many; a share ("25%" or 0.25) is that
        part. Both of the latter are spread evenly over the order. Raises UsageError.
        """
        chosen = _chosen(len(self), calibrate)
        others = sorted(set(range(len(self))).difference(chosen))
        return self.subset(chosen), self.subset(others) if others else self


def _file_digest(file: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise DataError(str(file), "a file that can be read", error.strerror or str(error), f"ls -l '{file}'") from error
    return digest.digest()


def _chosen(count: int, calibrate: str | float) -> list[int]:
    text = str(calibrate).strip()
    refused = UsageError("--calibrate", "every:N, a number of samples or a share such as 25%", text, "--calibrate every:4")
    try:
        if text.startswith("every:"):
            step = int(text.removeprefix("every:"))
            if step < 1:
                raise refused
            return list(range(0, count, step))
        wanted = float(text[:-1]) / 100 * count if text.endswith("%") else float(text)
        if not text.endswith("%") and 0 < wanted < 1:
            wanted *= count
    except ValueError as error:
        raise refused from error
    if not 0 < wanted < float("inf"):
        raise refused
    taken = min(max(round(wanted), 1), count)
    return [index * count // taken for index in range(taken)]
