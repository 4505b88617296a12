"""Pieces that come in any order, given out in the order of the inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from edgeinfer.batch.piece import Piece

__all__ = ["Order"]


class Order:
    """``head`` is the input whose rows come next; ``nbytes`` what waits for it. Pieces of one input come in their own order."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.nbytes = 0
        self._waiting: dict[int, deque[Piece]] = {}

    def put(self, piece: Piece) -> None:
        self._waiting.setdefault(piece.number, deque()).append(piece)
        self.nbytes += piece.nbytes

    def ready(self) -> Iterator[Piece]:
        """All that can be given out by now; it is gone when it is taken."""
        while pieces := self._waiting.get(self.head):
            piece = pieces.popleft()
            self.nbytes -= piece.nbytes
            if piece.done:
                del self._waiting[self.head]
                self.head += 1
            yield piece
