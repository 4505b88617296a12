"""Labels for samples, from where they lie or from a file beside them: folders, a CSV, a COCO JSON, a folder of masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from edgeinfer.errors import DataError, UsageError
from quantize.dataset.classes import AnomalyNames, ClassNames, listed
from quantize.dataset.labels import ClassLabel, Label, Values
from quantize.dataset.table import LABEL_COLUMNS, is_number, rows

__all__ = ["TASKS", "Labelling", "by_folder", "by_table", "by_words", "places"]

TASKS = ("classify", "detect", "segment", "pose", "regress", "anomaly")
_NUMBER = ("index", "number")  # of a column of the samples' numbers
Labelling = Callable[[int], Label | None]


def by_folder(names: Sequence[str], classes: ClassNames, where: str, strict: bool = True) -> Labelling | None:
    """The innermost folder whose name is a class, or (no class names are known) the innermost one.

    Of an anomaly detector's data every folder that is not called normal, good or ok holds anomalies, if one is called so.
    Raises DataError where a folder is no class; None instead where not ``strict``.
    """
    folders = [PurePosixPath(name.partition("#")[0]).parts[:-1] for name in names]
    classes.learn(parts[-1] for parts in folders if parts)
    found = [next(filter(None, map(classes.find, reversed(parts))), None) for parts in folders]
    if isinstance(classes, AnomalyNames) and any(label is not None and label.index == 0 for label in found):
        anomaly = classes.find("anomaly")
        found = [label or (anomaly if parts else None) for label, parts in zip(found, folders, strict=True)]
    strange = sorted({parts[-1] if parts else "(no folder)"
                      for label, parts in zip(found, folders, strict=True) if label is None})
    if not strange:
        return found.__getitem__
    if strict:
        raise DataError(where, f"folders called as the model's classes: {listed(classes.names) or '(any)'}", listed(strange),
                        "rename the folders, or call them by the classes' numbers from 0")
    return None


def by_words(words: Sequence[str], classes: ClassNames, task: str, where: str) -> Labelling:
    """Labels as they are written beside each sample: classes, or one number each for a regression."""
    if task == "regress" or (not task and all(map(is_number, words)) and not all(map(str.isdecimal, words))):
        return lambda index: Values((float(words[index]),))
    classes.learn(words)
    known = classes.require(set(words), where)
    return lambda index: known[words[index]]


def by_table(path: Path, names: Sequence[str], classes: ClassNames, task: str) -> Labelling:
    """A CSV: the column that holds most samples' names (with or without folders and suffix), or their numbers from 0 in the
    first; the others have the class (the column called label or class, else the next) or values (``task`` "regress", or where
    they are numbers that are not whole). Samples that it does not name have no label. Raises DataError."""
    table, place = _by_name([row.cells for row in rows(path)], names)
    header = table.pop(0) if table and table[0][0] not in place else []
    unknown = [row[0] for row in table if row[0] not in place]
    table = [row for row in table if row[0] in place]
    widths = sorted(set(map(len, table)))
    if len(widths) != 1 or widths[0] < 2:
        got = f"rows of {' or '.join(map(str, widths))} cells" if widths else f"others: {listed(header[:1] + unknown, 2)}"
        raise DataError(str(path), f"rows of a sample's name (such as {listed(names, 2)}) and its label", got, f"head -3 '{path}'")
    columns = [cell.casefold() for cell in header]
    column = next((columns.index(name, 1) for name in LABEL_COLUMNS if name in columns[1:]), 1)
    if task == "regress" or (not task and _fractions(table)):
        return _values(table, header, place, path)
    by_words([row[column] for row in table], classes, "classify", str(path))  # refuses what is no class
    found: dict[int, ClassLabel] = {}
    for row in table:
        label = classes.find(row[column])
        assert label is not None
        if found.setdefault(place[row[0]], label) != label:
            raise DataError(str(path), f"one label for '{row[0]}'", f"{found[place[row[0]]].index} and {label.index}")
    return found.get


def _by_name(table: list[list[str]], names: Sequence[str]) -> tuple[list[list[str]], dict[str, int]]:
    """The rows with the sample's name in front, and the index of each name; or numbers, where the first column has those."""
    place = places(names)
    width = min(map(len, table), default=0)
    hits = [sum(row[column] in place for row in table) for column in range(width)]
    numbered = width > 0 and all(row[0].isdecimal() for row in table[1:])
    if width and (table[0][0].casefold() in _NUMBER or (not any(hits) and numbered)):
        return table, {str(index): index for index in range(len(names))}
    best = hits.index(max(hits)) if any(hits) else 0
    return [[row[best], *row[:best], *row[best + 1:]] for row in table], place


def _fractions(table: Sequence[Sequence[str]]) -> bool:
    """Whether all cells are numbers, and more than one a row or not all whole."""
    cells = [cell for row in table for cell in row[1:]]
    return all(map(is_number, cells)) and (len(table[0]) > 2 or not all(map(str.isdecimal, cells)))


def _values(table: Sequence[Sequence[str]], header: Sequence[str], place: Mapping[str, int], path: Path) -> Labelling:
    found = {}
    for row in table:
        if not all(map(is_number, row[1:])):
            raise DataError(str(path), "numbers after the sample's name", ", ".join(row)[:80],
                            f"grep -n '{row[0]}' '{path}'")
        found[place[row[0]]] = Values(tuple(map(float, row[1:])), tuple(header[1:]))
    return found.get


def places(names: Sequence[str]) -> dict[str, int]:
    """The index of a sample by its name, by its file's name, and by that without suffix: whatever names only one."""
    found: dict[str, int] = {}
    for short in (_stem, _file, str):  # the more exact name wins
        count = Counter(map(short, names))
        found.update({short(name): index for index, name in enumerate(names) if count[short(name)] == 1})
    return found


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    file, mark, number = _file(name).partition("#")
    return PurePosixPath(file).stem + mark + number


def checked_task(task: str) -> str:
    """Raises UsageError."""
    if task and task not in TASKS:
        raise UsageError("task", f"one of {', '.join(TASKS)}", f"'{task}'")
    return task
