"""From a quantised graph to files and bundles, and from those to subjects that can be judged."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from edgeinfer.errors import StorageError
from edgeinfer.model.bundle import Bundle
from quantize.graph import Graph
from quantize.graph.onnx_writer import write
from quantize.grid import Quantized
from quantize.pack import Given, Proof, pack
from quantize.qdq import write_qdq
from quantize.recipe import Recipe
from quantize.rules import Rules
from quantize.setting import Setting, as_given
from quantize.subject import Subject
from quantize.tflite import write_int8

__all__ = ["Product", "bundled", "flat_name", "float_subject", "produce", "save", "subject"]

IO = Literal["int8", "uint8", "float32"]
Perm = tuple[int, ...]
TITLES = {"tflite": "INT8 TFLite", "onnx": "INT8 ONNX", "float": "float"}


@dataclass(frozen=True)
class Product:
    """A model file. ``perms``: for each output, in which order it has the float graph's axes. ``islands``: operators that it
    computes in float: node, operator, reason. ``twin``: what stands for the file where this machine would compute it
    otherwise than its target does."""

    format: str
    path: Path
    channels_last: bool
    perms: Mapping[str, Perm | None]
    islands: tuple[tuple[str, str, str], ...] = ()
    twin: bytes = field(default=b"", repr=False)

    @property
    def title(self) -> str:
        return TITLES[self.format]


def produce(quantized: Quantized, formats: Sequence[str], io: IO, rules: Rules, stem: Path) -> list[Product]:
    """Write an INT8 file of each format: ``stem`` with its suffix. ``io``: of the TFLite file. Raises ModelError for an
    operator that a format has not, StorageError."""
    made = []
    for format in formats:
        path = stem.with_name(f"{stem.name}.{format}")
        if format == "tflite":
            converted = write_int8(quantized, "int8" if rules.integer_io and io == "float32" else io)
            save(path, converted.data)
            last = next(iter(converted.input_perms.values()), None) is not None
            made.append(Product(format, path, last, converted.output_perms, tuple(converted.islands)))
        else:
            save(path, write_qdq(quantized, rules.variant, rules.unsigned).SerializeToString(deterministic=True))
            made.append(Product(format, path, False, {}, twin=_twin(quantized, rules)))
    return made


def _twin(quantized: Quantized, rules: Rules) -> bytes:
    """On x86-64, the same ONNX file with activations as uint8. There ONNX Runtime computes the layers around a residual Add of
    int8 in float, which ARM does not; the twin it computes in integers, with ARM's very results."""
    if platform.machine() != "x86_64" or rules.unsigned or rules.variant != "cpu":
        return b""
    data: bytes = write_qdq(quantized, rules.variant, unsigned=True).SerializeToString(deterministic=True)
    return data


def float_subject(graph: Graph, setting: Setting, recipe: Recipe, folder: Path,
                  parameters: Mapping[str, object] | None = None) -> Subject:
    """The float model, as ONNX, in the engine."""
    path = folder / "float.onnx"
    save(path, write(graph).SerializeToString(deterministic=True))
    return subject(Product("onnx", path, False, {}), setting, recipe, folder / "float", "float",
                   parameters=parameters)


def subject(product: Product, setting: Setting, recipe: Recipe, folder: Path, title: str = "", proof: Proof = Proof(),  # noqa: B008  frozen
            parameters: Mapping[str, object] | None = None) -> Subject:
    """A product, or its twin, as a bundle in ``folder`` and in the engine. ``parameters``: more of the decoder's than the recipe
    says."""
    if product.twin:
        product = replace(product, path=folder.with_name(f"{folder.name}-twin.onnx"))
        save(product.path, product.twin)
    bundle = bundled(product, setting, recipe, folder, proof, parameters)
    judged = Subject(title or product.title, bundle, setting.judging.format, product.perms, recipe.threads)
    if product.twin:
        judged.runs_on += ", activations as uint8 for this machine"
    return judged


def bundled(product: Product, setting: Setting, recipe: Recipe, out: Path, proof: Proof,
            parameters: Mapping[str, object] | None = None) -> Bundle:
    """A bundle of a product at ``out``: a folder, or one file where it ends in .eib."""
    return pack(product.path, out, given_of(setting, recipe, product.channels_last, parameters), proof).bundle


def given_of(setting: Setting, recipe: Recipe, channels_last: bool, parameters: Mapping[str, object] | None) -> Given:
    """What ``pack`` is told: the recipe's part, with everything found out since."""
    fields = {name: getattr(recipe, name) for name in Given.__struct_fields__}
    fields |= {"preprocess": as_given(setting, channels_last), "decoder": setting.decoder, "shape": {}, "override": True,
               "parameters": {**setting.parameters, **(parameters or {})}}
    return msgspec.convert(fields, Given)


def save(path: Path, data: bytes) -> None:
    """Write a file whole. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise StorageError(str(path), f"room for {len(data)} bytes", error.strerror or str(error), "df -h") from error


def flat_name(text: str) -> str:
    """A name that files and bundles may have."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", text).lstrip("._+-")[:48] or "model"
