"""Named columns of a row (a transaction, a set of readings) to the channels of a window: tables that live in the bundle.

A column is a number, a truth value (1 or 0), or one of ``categories``. What is null or not there is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeinfer.errors import DataError, Fault
from edgeinfer.model.tensor import Array
from edgeinfer.registry import closest

__all__ = ["Column", "Columns", "column_faults"]

_LARGEST = 3.4028234663852886e38  # of float32


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column. ``categories``: each text and the number that the model was trained on; with ``one_hot`` the number is which
    of as many channels is 1 (from 0; -1: none), the others are 0.

    ``missing`` and ``unknown``: the number in place of a value that is not there, and of a text that is no category; None: such
    a row is refused.
    """

    name: str
    categories: dict[str, float] = {}
    one_hot: bool = False
    missing: float | None = None
    unknown: float | None = None

    @property
    def width(self) -> int:
        """Channels that it takes."""
        return len(self.categories) if self.one_hot else 1


class Columns:
    """Writes rows. Belongs to one thread; the counters may be read by any."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.missing = 0  #: values that were not there, and replaced
        self.unknown = 0  #: texts that were no category, and replaced
        self._columns = tuple(columns)
        self.width = sum(column.width for column in columns)

    def write(self, row: Mapping[str, Any], out: Array) -> None:
        """Fill float32 ``out`` (width,). Further keys of the row are left alone. Raises DataError, which names the column."""
        at = 0
        for column in self._columns:
            number = self._number(column, row.get(column.name), row)
            if column.one_hot:
                out[at : at + column.width] = 0
                if number >= 0:
                    out[at + int(number)] = 1
            else:
                out[at] = number
            at += column.width

    def _number(self, column: Column, value: Any, row: Mapping[str, Any]) -> float:
        if value is None:
            if column.missing is None:
                raise DataError(column.name, "a value", "null" if column.name in row else "no such column",
                                closest(column.name, list(row)))
            self.missing += 1
            return column.missing
        if column.categories:
            return self._category(column, value)
        if not isinstance(value, bool | int | float) or not -_LARGEST <= value <= _LARGEST:  # false for a NaN
            raise DataError(column.name, "a finite number", repr(value)[:80])
        return float(value)

    def _category(self, column: Column, value: Any) -> float:
        text = _text(value)
        number = column.categories.get(text)
        if number is not None:
            return number
        if column.unknown is None:
            raise DataError(column.name, f"one of {', '.join(column.categories)}"[:200], repr(value)[:80],
                            closest(text, list(column.categories)))
        self.unknown += 1
        return column.unknown


def _text(value: Any) -> str:
    """JSON's text of a value, so that {"true": 1} and {"7": 0} are categories too."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def column_faults(columns: Sequence[Column], channels: int) -> list[Fault]:
    """What is wrong with a manifest's columns, for a window of so many channels."""
    faults = []
    width = sum(column.width for column in columns)
    if columns and width != channels:
        faults.append(Fault("preprocess.table", f"columns that take {channels} channels together", f"{width}"))
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or "" in names:
        faults.append(Fault("preprocess.table", "a name for each, none twice", ", ".join(names)[:200]))
    for column in columns:
        faults += _faults(column, f"preprocess.table: {column.name}")
    return faults


def _faults(column: Column, where: str) -> list[Fault]:
    numbers = [*column.categories.values(), *(n for n in (column.missing, column.unknown) if n is not None)]
    if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in numbers):
        return [Fault(where, "finite numbers", str(numbers)[:200])]
    if column.unknown is not None and not column.categories:
        return [Fault(where, "unknown with categories only", f"{column.unknown:g} without any")]
    if not column.one_hot:
        return []
    places = [float(place) for place in range(len(column.categories))]
    if not places or sorted(column.categories.values()) != places:
        return [Fault(where, "one_hot with categories numbered 0, 1, 2, …", str(column.categories)[:200])]
    if any(number not in (-1.0, *places) for number in numbers):
        return [Fault(where, f"missing and unknown to be -1 or one of 0 to {len(places) - 1}", str(numbers)[:200])]
    return []
