"""The class of each pixel, from a folder of pictures that are called as the samples."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.tensor import Array
from quantize.dataset.classes import ClassNames, listed
from quantize.dataset.labelling import Labelling, places
from quantize.dataset.labels import Label, Mask

__all__ = ["by_masks"]

_SUFFIXES = frozenset((".png", ".bmp", ".tif", ".tiff"))  # none that loses anything


def by_masks(folder: Path, names: Sequence[str], classes: ClassNames) -> Labelling:
    """A grey or a palette picture of the sample's name without its suffix (with the same folders, or none), whose values are
    classes. Where the model has two classes or one, anything over 127 is class 1. Raises SourceError and DataError."""
    if not folder.is_dir():
        raise SourceError(str(folder), "a folder of masks", "no folder", f"ls -ld '{folder}'")
    place = places([name.rpartition(".")[0] for name in names])
    found: dict[int, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in _SUFFIXES:
            stem = file.relative_to(folder).with_suffix("").as_posix()
            index = place.get(stem, place.get(stem.rpartition("/")[2]))
            if index is not None:
                found.setdefault(index, file)
    if not found:
        raise DataError(str(folder), f"masks called as the samples, such as {Path(names[0]).stem}.png" if names else "masks",
                        listed([file.name for file in sorted(folder.iterdir())], 3) or "an empty folder", f"ls '{folder}'")
    count = len(classes.names)

    def label(index: int) -> Label | None:
        return _mask(found[index], count) if index in found else None

    return label


def _mask(file: Path, classes: int) -> Mask:
    import cv2

    try:
        raw = file.read_bytes()
        values = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED) if raw else None
    except (OSError, cv2.error) as error:
        raise DataError(str(file), "a mask that can be read", str(error)[:120], f"file '{file}'") from error
    if values is None:
        raise DataError(str(file), "a mask that can be read", "one that cannot", f"file '{file}'")
    indices: Array = values if values.ndim == 2 else _looked_up(raw, values, file)
    if classes in (1, 2) and indices.max(initial=0) > 127:
        indices = (indices > 127).astype(np.uint8)
    wrong = indices[(indices != 255) & (indices >= classes)] if classes else indices[:0]
    if wrong.size:
        raise DataError(str(file), f"classes 0 to {classes - 1}, or 255 for none", f"{int(wrong.max())}")
    return Mask(indices)


def _looked_up(raw: bytes, colours: Array, file: Path) -> Array:
    """The indices of a palette PNG, whose colours OpenCV has put in their place (W3C PNG, 11.2.2)."""
    palette = raw.find(b"PLTE") if raw.startswith(b"\x89PNG") and raw[25:26] == b"\x03" else -1
    if palette < 0:
        raise DataError(str(file), "a mask with one value a pixel: grey or with a palette", "a picture in colour",
                        "write the classes' numbers, not their colours")
    (size,) = struct.unpack_from(">I", raw, palette - 4)
    entries = np.frombuffer(raw, np.uint8, size, palette + 4).reshape(-1, 3).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    shown = colours[..., 2::-1].astype(np.int64) @ (1 << 16, 1 << 8, 1)
    unique, first = np.unique(entries, return_index=True)  # of entries with the same colour, the first
    indices: Array = first[np.searchsorted(unique, shown)].astype(np.uint8)
    return indices
