"""Samples that are constant, or the same as another, or nearly."""

from __future__ import annotations

import hashlib

import numpy as np

from edgeinfer.model.tensor import Array

__all__ = ["Likeness"]

_SIDE = 8
_FLAT = 1.0 / 255  # of the whole range of pixels: less variation is a lens cap or a dead sensor
_NEIGHBOURS = 3  # bits of 64 in which two pictures of a still scene differ


class Likeness:
    """Looks at one sample after another; keeps 24 bytes of each.

    Exact copies by a digest of the tensor. Near ones of pictures by the difference hash (N. Krawetz, "Kind of like that",
    2013): whether each of 8 x 8 cells is brighter than the one to its left. Equal hashes anywhere count, and hashes that
    differ in few bits where one sample follows the other, as in a video.
    """

    def __init__(self) -> None:
        self.constant: list[str] = []
        self.copies: list[tuple[str, str]] = []
        self.similar: list[tuple[str, str]] = []
        self._exact: dict[bytes, str] = {}
        self._hashes: dict[int, str] = {}
        self._before = -1
        self._name_before = ""

    def add(self, name: str, tensor: Array, brightness: Array | None, constant: bool) -> None:
        """``brightness``: a picture (height, width), or None for a window."""
        if constant:
            self.constant.append(name)
        digest = hashlib.blake2b(tensor.tobytes(), digest_size=16).digest()
        if digest in self._exact:
            self.copies.append((name, self._exact[digest]))
            return
        self._exact[digest] = name
        if brightness is None or constant or min(brightness.shape) < _SIDE + 1:
            return
        hash = difference_hash(brightness)
        if hash in self._hashes:
            self.similar.append((name, self._hashes[hash]))
        elif self._before >= 0 and (hash ^ self._before).bit_count() <= _NEIGHBOURS:
            self.similar.append((name, self._name_before))
        self._hashes.setdefault(hash, name)
        self._before, self._name_before = hash, name


def difference_hash(brightness: Array) -> int:
    """64 bits of a picture (height, width) of at least 9 x 9."""
    rows = np.add.reduceat(brightness, np.arange(_SIDE) * brightness.shape[0] // _SIDE, 0)
    edges = np.arange(_SIDE + 1) * brightness.shape[1] // (_SIDE + 1)
    cells = np.add.reduceat(rows, edges, 1) / np.diff([*edges, brightness.shape[1]])
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")
