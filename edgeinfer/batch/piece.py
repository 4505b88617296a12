"""What goes between the run and those who compute: tasks one way, pieces of answers the other."""

from __future__ import annotations

import msgspec

__all__ = ["Failure", "Message", "Piece", "Ready", "Task"]


class Task(msgspec.Struct, frozen=True, array_like=True):
    """One input: ``number`` in the list, the file as bytes of its absolute ``path``, how the user wrote it (``shown``), and how
    many of its rows are there already (``skip``)."""

    number: int
    path: bytes
    shown: str
    skip: int = 0


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """Rows of one input, each a line of JSON without its end. ``done``: there are no more; ``failed``: the last is an error.

    ``latencies`` in nanoseconds, of the rows that are results. ``share``: how much of the input was read; 0: not known.
    """

    number: int
    rows: tuple[bytes, ...]
    latencies: tuple[int, ...] = ()
    done: bool = False
    failed: bool = False
    share: float = 0.0

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.rows))


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """It cannot be: the class of the error, and its faults as (where, expected, got, hint)."""

    error: str
    faults: tuple[tuple[str, str, str, str], ...]


Message = Piece | Ready | Failure
