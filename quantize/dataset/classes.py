"""From what people call a class to its index among the model's labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeinfer.errors import DataError
from quantize.dataset.labels import ClassLabel

__all__ = ["ANOMALY", "AnomalyNames", "ClassNames"]

ANOMALY = ("normal", "anomaly")
_NORMAL = frozenset(("normal", "good", "ok", "0", "false"))
_ANOMALOUS = frozenset(("anomaly", "anomalous", "abnormal", "bad", "defect", "defective", "ng", "1", "true"))
_ALSO = {"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "tvmonitor": "tv"}  # darknet's names of COCO's


class ClassNames:
    """The model's labels, found by name (case, blanks, hyphens and underscores do not matter) or by number."""

    def __init__(self, names: Sequence[str]) -> None:
        """Without ``names`` every name is a class: ``learn`` gives them numbers."""
        self.names = tuple(names)
        self._open = not names
        places: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            places.setdefault(_folded(name), []).append(index)
        self._places = {name: found[0] for name, found in places.items() if len(found) == 1}  # shared by two: none

    def learn(self, words: Iterable[str]) -> None:
        """Where no labels were given: numbers as they are, or else every name in order."""
        words = sorted(set(words))
        if self._open and not all(word.isdecimal() for word in words):
            self.__init__(words)  # type: ignore[misc]  # the labels are known only now

    def find(self, word: str) -> ClassLabel | None:
        """None for a word that is no class."""
        index = self._places.get(_folded(word))
        if index is None and word.strip().isdecimal():
            index = int(word)
        if index is None or (self.names and index >= len(self.names)):
            return None
        return ClassLabel(index, self.names[index] if self.names else "")

    def require(self, words: Iterable[str], where: str) -> dict[str, ClassLabel]:
        """All of them. Raises DataError that lists both sides where some are not among the labels."""
        found = {word: self.find(word) for word in words}
        strange = sorted(word for word, label in found.items() if label is None)
        if strange:
            raise DataError(where, f"classes of the model: {listed(self.names) or 'numbers'}", listed(strange),
                            "call them as the model's labels do, or by their numbers from 0")
        return {word: label for word, label in found.items() if label is not None}


class AnomalyNames(ClassNames):
    """Two classes, 0 normal and 1 not, under their usual names."""

    def __init__(self) -> None:
        super().__init__(ANOMALY)

    def find(self, word: str) -> ClassLabel | None:
        folded = _folded(word)
        if folded in _NORMAL:
            return ClassLabel(0, ANOMALY[0])
        return ClassLabel(1, ANOMALY[1]) if folded in _ANOMALOUS else None


def listed(words: Sequence[str], most: int = 8) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(words[:most])
    return f"{shown}, … ({len(words)} in all)" if len(words) > most else shown


def _folded(word: str) -> str:
    folded = "".join(word.casefold().replace("_", " ").replace("-", " ").split())
    return _ALSO.get(folded, folded)
