"""What backends share: how an accelerator is named, which one runs in the end, and fixed shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from edgeinfer.errors import ModelError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.modelfacts import ModelFile
from edgeinfer.model.tensor import TensorSpec

__all__ = ["CPU", "Accelerator", "batch_of_one", "first_that_runs", "fixed", "parse", "threads_text"]

T = TypeVar("T")


class Accelerator(msgspec.Struct, frozen=True):
    """A delegate or execution provider by name or path, with the options that it is opened with."""

    name: str
    options: dict[str, str] = {}


CPU = Accelerator("")  # what each backend does by itself


def parse(text: str) -> Accelerator:
    """``name``, or ``name?key=value&key=value`` as in a URL."""
    name, _, query = text.partition("?")
    return Accelerator(name, dict(parse_qsl(query, keep_blank_values=True)))


def first_that_runs(load: Callable[[Accelerator], T], options: RuntimeOptions) -> tuple[T, tuple[str, ...]]:
    """What ``load`` gives for the first accelerator that it takes, and why it refused (UnavailableError) those before.

    The CPU comes last. With ``strict`` the first refusal is raised.
    """
    reasons: list[str] = []
    for accelerator in map(parse, options.accelerators):
        try:
            return load(accelerator), tuple(reasons)
        except UnavailableError as error:
            if options.strict:
                raise
            fault = error.faults[0]
            reasons.append(f"{fault.where}: expected {fault.expected}, got {fault.got}")
    return load(CPU), tuple(reasons)


def threads_text(threads: int) -> str:
    """For people."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def batch_of_one(file: ModelFile, where: str, hint: str) -> tuple[TensorSpec, ...]:
    """The inputs, a dynamic first side being 1: one frame at a time. Raises ModelError for any other dynamic side."""
    for spec in file.inputs:
        if -1 in spec.shape[1:]:
            sides = ", ".join(file.symbols.get(spec.name, ()))
            raise ModelError(f"{where}: {spec.name}", "fixed sides (but the first, which becomes 1)", f"[{sides}]", hint)
    return tuple(fixed(spec, [1, *spec.shape[1:]] if -1 in spec.shape else spec.shape) for spec in file.inputs)


def fixed(spec: TensorSpec, shape: Sequence[int]) -> TensorSpec:
    """The same tensor with the shape that it has while the model runs."""
    return msgspec.structs.replace(spec, shape=tuple(int(side) for side in shape))
