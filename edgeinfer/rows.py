"""Rows of named values, or texts, become what a model takes: by tables of its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from edgeinfer.errors import ConfigError, DataError, Fault
from edgeinfer.model.preprocess.columns import Columns
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.preprocess.textspec import TextSpec
from edgeinfer.model.tensor import Array
from edgeinfer.sources import Row, RowSource, SampleFormat
from edgeinfer.tokenizer import open_tokenizer

__all__ = ["RowSamples"]


class RowSamples:
    """A SampleSource whose samples are rows: a channel for each number that the manifest's table makes of one.

    A text becomes the numbers of its tokens, ``length`` of them. A row that cannot be used is refused: a request is answered
    with the reason, a file's line is a SourceError.
    """

    def __init__(self, source: RowSource, spec: WindowSpec, where: str, folder: Path | None = None) -> None:
        """``folder``: the bundle's, which has the tokenizer. Raises ConfigError, and what ``open_tokenizer`` raises."""
        if not spec.table and spec.text is None:
            raise ConfigError(where, "a model with named columns, or of text", "one whose channels have no names",
                              "state a table in the preprocess of its manifest or recipe")
        self.live = source.live
        self.yields: Literal["samples"] = "samples"
        if hasattr(source, "desk"):
            if spec.text is None and (spec.length, spec.hop) != (1, 1):
                raise ConfigError(where, "a model of single rows, for requests", f"windows of {spec.length} rows")
            self.desk = source.desk
        self._source = source
        self._columns = Columns(spec.table)
        self._texts: Texts | None = None
        if spec.text is not None:
            if folder is None:
                raise RuntimeError("a model of texts, and no folder that has its tokenizer")
            self._texts = Texts(spec, spec.text, folder)

    def format(self) -> SampleFormat:
        return SampleFormat(1 if self._texts is not None else self._columns.width)

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
        if self._texts is not None:
            return len(samples) if self._next(samples, self._texts.write) else 0
        for done, sample in enumerate(samples):
            if not self._next(sample, self._write):
                return done
        return len(samples)

    def _write(self, row: Row, sample: Array) -> None:
        if not isinstance(row, Mapping):
            raise DataError("row", "an object of named values", "a text")
        self._columns.write(row, sample)

    def _next(self, target: Array, write: Callable[[Row, Array], None]) -> bool:
        while (row := self._source.read()) is not None:
            try:
                write(row, target)
            except DataError as error:
                self._source.refuse(error.faults[0])
            except Exception as error:  # a fault of ours: it becomes no frame either, or every later answer went to the one before
                self._source.refuse(Fault("row", "one that can be used", f"{type(error).__name__}: {error}"[:200]))
                raise
            else:
                return True
        return False

    @property
    def share(self) -> float:
        """How much was read, from 0 to 1; 0 where the source does not know."""
        return getattr(self._source, "share", 0.0)

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()


class Texts:
    """Texts to windows of tokens, ``pad`` behind them."""

    def __init__(self, spec: WindowSpec, text: TextSpec, folder: Path) -> None:
        self._tokenizer = open_tokenizer(folder / text.tokenizer, text.lowercase)
        self._text, self._length = text, spec.length

    def write(self, row: Row, samples: Array) -> None:
        """Fill float32 ``samples`` (length, 1). Raises DataError where the row has no text."""
        text = row.get(self._text.field) if isinstance(row, Mapping) else row
        if not isinstance(text, str):
            raise DataError(self._text.field, "a text", repr(text)[:80])
        tokens = self._tokenizer.encode(text, self._length)
        if any(token >= self._text.vocabulary for token in tokens):
            raise DataError(self._text.field, f"tokens below {self._text.vocabulary}", str(max(tokens)))
        samples[:] = self._text.pad
        samples[: len(tokens), 0] = tokens
