"""Tables of plug-ins: a name stands for "module:Class", imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from edgeinfer.errors import Fault, UnavailableError, UsageError

__all__ = ["Table", "closest"]


def closest(word: str, known: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    """The hint 'did you mean …?' for a mistyped word, or the list of what there is."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"


class Table:
    """The plug-ins of one kind ("decoders", "sources", …).

    A name not in the table falls through to the entry points of the group ``edgeinfer.<kind>``, so that a third
    party's package adds one without a patch.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self.entries = dict(entries)

    def names(self) -> list[str]:
        """All names, ours first, then those of installed packages."""
        return [*self.entries, *(name for name in self._entry_points() if name not in self.entries)]

    def load(self, name: str, where: str) -> Any:
        """The class behind a name. ``where`` names the place that asked, for the error.

        Raises UsageError for an unknown name and UnavailableError when the plug-in's own import fails.
        """
        target = self.entries.get(name) or self._entry_points().get(name)
        if target is None:
            raise UsageError.of([Fault(where, f"one of the {self.kind}", f"'{name}'", closest(name, self.names()))])
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            hint = self._hint(name) if name in self.entries else f"pip install the package that brings {target} anew"
            raise UnavailableError(where, f"what '{name}' needs to be installed", str(error), hint) from error

    def _entry_points(self) -> dict[str, str]:
        from importlib.metadata import entry_points

        return {point.name: point.value for point in entry_points(group=f"edgeinfer.{self.kind}")}

    def _hint(self, name: str) -> str:
        extra = "quantize" if self.kind == "converters" else {"litert": "litert", "onnxruntime": "onnx"}.get(name, "vision")
        return f"pip install 'edgeinfer[{extra}]'"
