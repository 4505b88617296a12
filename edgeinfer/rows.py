"""Rows of named values, or texts, become what a model takes: by tables of its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from edgeinfer.errors import ConfigError, DataError
from edgeinfer.model.preprocess.columns import Columns
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array
from edgeinfer.sources import RowSource, SampleFormat

__all__ = ["RowSamples"]


class RowSamples:
    """A SampleSource whose samples are rows: a channel for each number that the manifest's columns make of one.

    A row that cannot be used is refused: a request is answered with the reason, a file's line is a SourceError.
    """

    def __init__(self, source: RowSource, spec: WindowSpec, where: str) -> None:
        if not spec.columns:
            raise ConfigError(where, "a model with named columns", "one whose channels have no names",
                              "state columns in the preprocess of its manifest or recipe")
        self.live = source.live
        self.yields: Literal["samples"] = "samples"
        if hasattr(source, "desk"):
            if (spec.length, spec.hop) != (1, 1):
                raise ConfigError(where, "a model of single rows, for requests", f"windows of {spec.length} rows")
            self.desk = source.desk
        self._source = source
        self._columns = Columns(spec.columns)

    def format(self) -> SampleFormat:
        return SampleFormat(self._columns.width)

    def counts(self) -> dict[str, int]:
        """For health; any thread."""
        own = {"missing": self._columns.missing, "unknown": self._columns.unknown}
        count: Callable[[], dict[str, int]] | None = getattr(self._source, "counts", None)
        return {**own, **(count() if count is not None else {})}

    def open(self) -> None:
        """Raises SourceError."""
        self._source.open()

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front; fewer at the end of the stream, or when interrupted. Raises SourceError."""
        for done, sample in enumerate(samples):
            if not self._next(sample):
                return done
        return len(samples)

    def _next(self, sample: Array) -> bool:
        while (row := self._source.read()) is not None:
            try:
                if not isinstance(row, Mapping):
                    raise DataError("request", "an object of named values", "a text")
                self._columns.write(row, sample)
            except DataError as error:
                self._source.refuse(str(error))
            else:
                return True
        return False

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()
