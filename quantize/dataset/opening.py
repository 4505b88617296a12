"""Which kind of data a path holds, and who reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgeinfer.errors import DataError, SourceError
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import TensorSpec
from quantize.dataset.arrays import map_npy
from quantize.dataset.classes import AnomalyNames, ClassNames
from quantize.dataset.coco import by_coco
from quantize.dataset.labelling import Labelling, by_folder, by_table, by_words, checked_task
from quantize.dataset.masks import by_masks
from quantize.dataset.packed import Archive, FramelogPictures, PictureArray
from quantize.dataset.pictures import SUFFIXES, Pictures
from quantize.dataset.recordings import OPENERS, Recordings
from quantize.dataset.samples import Dataset, Reader

__all__ = ["open_dataset"]

_MAGIC = b"edgeinfer-framelog "
_KINDS = {".wav": "wav", ".wave": "wav", ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".npy": "npy", ".npz": "npz"}
_EVERY = "pictures, a framelog, .npy, .npz, .csv or .wav"


def open_dataset(path: Path, preprocess: PreprocessSpec, *, labels: str | Path = "auto", classes: Sequence[str] = (),
                 task: str = "", inputs: Sequence[TensorSpec] = ()) -> Dataset:
    """The samples at ``path`` for a model that takes what ``preprocess`` describes.

    ``labels``: "folders" (folders are called as classes), a path (a CSV, a COCO JSON, a folder of masks), "none", or "auto":
    those in the data itself (a csv's column, an npz's array), else folders if each is called as one of ``classes``.
    ``classes`` are the model's labels; ``task`` is one of ``labelling.TASKS`` or "" where it does not matter; ``inputs`` are
    needed for an .npz of a model with several.

    Raises SourceError where nothing is there, DataError where it cannot be used or labels do not fit, UsageError.
    """
    checked_task(task)
    reader = _reader(path, preprocess, inputs)
    names = AnomalyNames() if task == "anomaly" else ClassNames(classes)
    refused = reader.refused if isinstance(reader, Recordings) else {}
    return Dataset(reader, _labelling(reader, labels, names, task), unreadable=dict(refused))


def _reader(path: Path, spec: PreprocessSpec, inputs: Sequence[TensorSpec]) -> Reader:
    kind, files = _kind(path, spec)
    if kind == "npz":
        return Archive(path, spec, inputs)
    if len(inputs) > 1:
        raise DataError(str(path), f"an .npz with an array for each of {', '.join(input.name for input in inputs)}", kind,
                        f"np.savez('data.npz', {', '.join(f'{input.name}=…' for input in inputs)})")
    if isinstance(spec, WindowSpec):
        if kind not in OPENERS:
            raise DataError(str(path), "windows of samples (a framelog, .npy, .csv or .wav), which the model takes", kind)
        return Recordings(path, kind, files, spec)
    if kind == "pictures":
        return Pictures(path, files)
    if kind == "framelog":
        return FramelogPictures(path)
    if kind == "npy":
        return PictureArray(path, map_npy(path))
    raise DataError(str(path), "pictures (files, a framelog, .npy or .npz), which the model takes", kind)


def _kind(path: Path, spec: PreprocessSpec) -> tuple[str, list[Path]]:
    if path.is_file():
        return _kind_of(path), [path]
    if not path.is_dir():
        raise SourceError(str(path), f"a folder or a file: {_EVERY}", "nothing of that name", f"ls -ld '{path}'")
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kind = _kind_of(file, strict=False)
        if kind:
            kinds.setdefault(kind, []).append(file)
    wanted = ("pictures",) if isinstance(spec, ImageSpec) else ("wav", "npy", "framelog", "csv")
    found = [kind for kind in wanted if kind in kinds]
    if len(found) == 2 and found[1] == "csv":  # beside recordings it has their labels
        found.pop()
    if len(found) != 1:
        got = ", ".join(f"{len(kinds[kind])} {kind}" for kind in found) or _what_is_there(files)
        raise (DataError if found else SourceError)(
            str(path), f"files of one kind: {' or '.join(wanted)}", got,
            f"ls '{path}'; an archive of all samples (.npz, or a framelog of pictures) is given as the file itself")
    return found[0], kinds[found[0]]


def _kind_of(file: Path, strict: bool = True) -> str:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return "pictures"
    if suffix in _KINDS:
        return _KINDS[suffix]
    try:
        with file.open("rb") as opened:
            if opened.read(len(_MAGIC)) == _MAGIC:
                return "framelog"
    except OSError as error:
        raise SourceError(str(file), "a file that can be read", error.strerror or str(error), f"ls -l '{file}'") from error
    if strict:
        raise DataError(str(file), _EVERY, f"a file '{file.name}'", f"file '{file}'")
    return ""


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in file.relative_to(folder).parts)


def _what_is_there(files: Sequence[Path]) -> str:
    count = Counter(file.suffix.lower() or "without suffix" for file in files)
    return ", ".join(f"{number} {suffix}" for suffix, number in sorted(count.items())[:8]) or "an empty folder"


def _labelling(reader: Reader, labels: str | Path, classes: ClassNames, task: str) -> Labelling | None:
    """None: what the data itself says."""
    match str(labels):
        case "none":
            return lambda index: None
        case "folders":
            return by_folder(reader.names, classes, str(reader.path))
        case "auto":
            return _found(reader, classes, task)
        case _:
            return _from_file(reader, Path(labels), classes, task)


def _found(reader: Reader, classes: ClassNames, task: str) -> Labelling | None:
    if isinstance(reader, Recordings) and reader.written(0) is not None:
        words = [reader.written(index) or "" for index in range(len(reader.names))]
        return by_words(words, classes, task, str(reader.path))
    if isinstance(reader, Archive):
        reader.check_classes(classes)
        return None
    return by_folder(reader.names, classes, str(reader.path), strict=False) if classes.names else None


def _from_file(reader: Reader, path: Path, classes: ClassNames, task: str) -> Labelling:
    if path.is_dir():
        return by_masks(path, reader.names, classes)
    if not path.is_file():
        raise SourceError(str(path), "folders, none, a CSV, a COCO JSON or a folder of masks", "nothing of that name",
                          f"ls -ld '{path}'")
    if path.suffix.lower() == ".json":
        return by_coco(path, reader.names, classes, task)
    return by_table(path, reader.names, classes, task)
