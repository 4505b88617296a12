"""The finished rows as the file that was asked for: whole or not at all, in memory that does not grow with them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from edgeinfer import durable
from edgeinfer.batch.table import Cell, Column, Table
from edgeinfer.errors import StorageError, UnavailableError, UsageError

__all__ = ["FORMATS", "check", "export"]

_GROUP = 20_000  # lines of a row group of Parquet: what is in memory at once


def check(output: Path) -> None:
    """Raises UsageError for a format that is not known, UnavailableError for one that needs what is not installed."""
    if output.suffix.lower() not in FORMATS:
        raise UsageError("-o", f"a file that ends in {', '.join(FORMATS)}", output.name, "-o results.jsonl")
    if output.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401  only whether it is there
        except ImportError as error:
            raise UnavailableError("-o", "pyarrow", str(error), "pip install 'edgeinfer[parquet]', or -o results.jsonl") from error


def export(rows: Path, output: Path) -> None:
    """``rows`` as ``output``, in the place of what was there; for .jsonl they are moved there. Raises StorageError."""
    try:
        write = FORMATS[output.suffix.lower()]
        source = rows
        if write is not None:
            source = rows.with_name(f"export{output.suffix.lower()}")
            write(Table(rows), source)
            with source.open("rb") as stream:
                os.fsync(stream.fileno())
        durable.move(source, output)
    except OSError as error:
        raise StorageError(str(output), "a place that can be written to", error.strerror or str(error),
                           "make room, then the same command: it only writes this file") from error


def _write_csv(table: Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        writer.writerows(map(_written, line) for line in table.lines())


def _written(cell: Cell) -> Cell:
    return str(cell).lower() if isinstance(cell, bool) else cell


def _write_parquet(table: Table, path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = {"text": pyarrow.string(), "integer": pyarrow.int64(), "number": pyarrow.float64(), "boolean": pyarrow.bool_()}
    schema = pyarrow.schema([(column.name, kinds[column.kind]) for column in table.columns])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(table.lines()):
            arrays = [pyarrow.array(_typed(column, cells), kinds[column.kind])
                      for column, cells in zip(table.columns, zip(*group, strict=True), strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _typed(column: Column, cells: tuple[Cell, ...]) -> list[Any]:
    """JSON writes a whole number without its point."""
    return [float(cell) if cell is not None else None for cell in cells] if column.kind == "number" else list(cells)


def _groups(lines: Iterator[tuple[Cell, ...]]) -> Iterator[list[tuple[Cell, ...]]]:
    while group := list(islice(lines, _GROUP)):
        yield group


FORMATS: dict[str, Callable[[Table, Path], None] | None] = {".jsonl": None, ".csv": _write_csv, ".parquet": _write_parquet}
