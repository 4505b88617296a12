"""Which output plays which role, and the one place that says which tensors there are when none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgeinfer.errors import ManifestError
from edgeinfer.model.tensor import TensorSpec

__all__ = ["Roles", "describe", "named", "only", "picture_size", "shape_of", "size_of"]


def describe(specs: Sequence[TensorSpec]) -> str:
    """The tensors in words: 'boxes' (1, 4, 8400) int8, 'scores' (1, 80, 8400) int8."""
    return ", ".join(f"'{spec.name}' {spec.shape} {spec.dtype}" for spec in specs) or "no tensors"


def named(where: str, name: str, outputs: Sequence[TensorSpec]) -> int:
    """Index of the output of that name. Raises ManifestError."""
    for index, spec in enumerate(outputs):
        if spec.name == name:
            return index
    raise ManifestError(where, "the name of an output", f"'{name}'", f"the outputs are {describe(outputs)}")


def only(where: str, wanted: str, fitting: Sequence[int], outputs: Sequence[TensorSpec], hint: str = "") -> int:
    """The one index in ``fitting``. Raises ManifestError when none or several fit what is ``wanted``."""
    if len(fitting) != 1:
        several = "several that fit: " if fitting else ""
        raise ManifestError(where, wanted, several + describe([outputs[i] for i in fitting] or outputs), hint)
    return fitting[0]


class Roles:
    """Outputs by role: the one that the parameters name ("" where they do not), else the only one of a fitting shape."""

    def __init__(self, where: str, names: Mapping[str, str], outputs: Sequence[TensorSpec]) -> None:
        self.where = where
        self.names = names
        self.outputs = outputs
        self._taken: set[int] = set()

    def free(self) -> list[int]:
        """Outputs which no parameter names and which have no role yet."""
        return [i for i, spec in enumerate(self.outputs) if spec.name not in self.names.values() and i not in self._taken]

    def pick(self, role: str, wanted: str, fits: Callable[[TensorSpec], bool]) -> int:
        """Index of the output of that role. Raises ManifestError when it does not fit, or none or several would."""
        where, hint = f"{self.where}.{role}", f'name it: decoder.parameters.{role}: "NAME"'
        if self.names[role]:
            found = named(where, self.names[role], self.outputs)
            if not fits(self.outputs[found]):
                raise ManifestError(where, wanted, describe([self.outputs[found]]), f"there are: {describe(self.outputs)}")
        else:
            fitting = [i for i in self.free() if fits(self.outputs[i])]
            found = only(where, wanted, fitting, self.outputs, hint)
        self._taken.add(found)
        return found


def shape_of(spec: TensorSpec) -> tuple[int, ...]:
    """The shape without a leading batch of 1."""
    return spec.shape[1:] if len(spec.shape) > 1 and spec.shape[0] == 1 else spec.shape


def size_of(where: str, spec: TensorSpec) -> int:
    """Number of elements. Raises ManifestError while a dimension is dynamic."""
    size = 1
    for side in spec.shape:
        size *= side
    if any(side < 1 for side in spec.shape):
        raise ManifestError(where, "an output of fixed shape", describe([spec]),
                            "fix the shapes when the model is exported, or: quantize pack MODEL --shape NAME=1,3,224,224")
    return size


def picture_size(where: str, inputs: Sequence[TensorSpec]) -> tuple[int, int]:
    """Height and width of the model's picture, from its first input, NHWC or NCHW. Raises ManifestError."""
    shape = inputs[0].shape if inputs else ()
    if len(shape) == 4 and shape[3] in (1, 3):
        return shape[1], shape[2]
    if len(shape) == 4 and shape[1] in (1, 3):
        return shape[2], shape[3]
    wanted = "a picture as the first input, (1, height, width, 3) or (1, 3, height, width)"
    raise ManifestError(where, wanted, describe(inputs))
