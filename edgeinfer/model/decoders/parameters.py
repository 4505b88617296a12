"""What every decoder checks at set-up: its parameters, the labels, and that a threshold is only made stricter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from edgeinfer.errors import ConfigError, Fault, ManifestError
from edgeinfer.typed import convert

__all__ = ["Count", "Share", "class_names", "read", "stricter"]

P = TypeVar("P", bound=msgspec.Struct)
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


def read(where: str, parameters: Mapping[str, Any], wanted: type[P]) -> P:
    """The manifest's parameters as a struct. Raises ManifestError with every fault, each at ``where.parameter``."""
    faults: list[Fault] = []
    made = convert(parameters, wanted, where, faults)
    if made is None:
        raise ManifestError.of(faults)
    return made


def stricter(own: float, threshold: float | None, most: float = 1.0) -> float:
    """The threshold that applies. Raises ConfigError for one below the manifest's own (or NaN, or above ``most``)."""
    if threshold is None:
        return own
    if not own <= threshold <= most:
        least = str(own).removesuffix(".0")  # all digits: what the hint says must be taken
        limit = "" if most == float("inf") else f", and at most {most:g}"
        raise ConfigError("threshold", f"at least {least}, which the bundle sets{limit}", str(threshold),
                          f"leave it out, or set threshold: {least} or more")
    return threshold


def class_names(labels: Sequence[str], classes: int, what: str) -> tuple[str, ...]:
    """One name for each class: the labels, or "class 3" where the bundle has none.

    ``what`` says which tensor has that many classes. Raises ManifestError when labels and classes differ in number.
    """
    if not labels:
        return tuple(f"class {index}" for index in range(classes))
    if len(labels) != classes:
        raise ManifestError("labels", f"{classes} labels, one for each class of {what}", f"{len(labels)} labels",
                            _off_by_one(len(labels), classes))
    return tuple(labels)


def _off_by_one(labels: int, classes: int) -> str:
    if classes == labels + 1:
        return "a model with a background class needs a label for it: add a first line, 'background'"
    if classes == labels - 1:
        return "this model has no background class: remove the first label"
    return "give one label on each line, in the order of the model's classes"
