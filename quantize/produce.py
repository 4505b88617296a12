"""From a quantised graph to files and bundles, and from those to subjects that can be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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

__all__ = ["Product", "float_subject", "produce", "subject"]

Perm = tuple[int, ...]
TITLES = {"tflite": "INT8 TFLite", "onnx": "INT8 ONNX", "float": "float"}


@dataclass(frozen=True)
class Product:
    """A model file. ``perms``: for each output, in which order it has the float graph's axes. ``islands``: operators that it
    computes in float: node, operator, reason."""

    format: str
    path: Path
    channels_last: bool
    perms: Mapping[str, Perm | None]
    islands: tuple[tuple[str, str, str], ...] = ()

    @property
    def title(self) -> str:
        return TITLES[self.format]


def produce(quantized: Quantized, recipe: Recipe, rules: Rules, stem: Path) -> list[Product]:
    """Write the INT8 files that the recipe asks for: ``stem`` with the suffix of each format. Raises ModelError for an
    operator that a format has not, StorageError."""
    made = []
    for format in recipe.formats:
        path = stem.with_name(f"{stem.name}.{format}")
        if format == "tflite":
            converted = write_int8(quantized, "int8" if rules.integer_io and recipe.io == "float32" else recipe.io)
            _save(path, converted.data)
            last = next(iter(converted.input_perms.values()), None) is not None
            made.append(Product(format, path, last, converted.output_perms, tuple(converted.islands)))
        else:
            _save(path, write_qdq(quantized, rules.variant).SerializeToString(deterministic=True))
            made.append(Product(format, path, False, {}))
    return made


def float_subject(graph: Graph, setting: Setting, recipe: Recipe, folder: Path) -> Subject:
    """The float model, as ONNX, in the engine."""
    path = folder / "float.onnx"
    _save(path, write(graph).SerializeToString(deterministic=True))
    return subject(Product("onnx", path, False, {}), setting, recipe, folder / "float", title="float")


def subject(product: Product, setting: Setting, recipe: Recipe, folder: Path, title: str = "", proof: Proof = Proof(),  # noqa: B008  frozen
            parameters: Mapping[str, object] | None = None) -> Subject:
    """A product as a bundle in ``folder`` and in the engine. ``parameters``: more of the decoder's than the recipe says."""
    bundle = bundled(product, setting, recipe, folder, proof, parameters)
    return Subject(title or product.title, bundle, setting.judging.format, product.perms, recipe.threads)


def bundled(product: Product, setting: Setting, recipe: Recipe, out: Path, proof: Proof,
            parameters: Mapping[str, object] | None = None) -> Bundle:
    """A bundle of a product at ``out``: a folder, or one file where it ends in .eib."""
    return pack(product.path, out, given_of(setting, recipe, product.channels_last, parameters), proof).bundle


def given_of(setting: Setting, recipe: Recipe, channels_last: bool, parameters: Mapping[str, object] | None) -> Given:
    """What ``pack`` is told: the recipe's part, with everything found out since."""
    fields = {name: getattr(recipe, name) for name in Given.__struct_fields__}
    fields |= {"preprocess": as_given(setting, channels_last), "decoder": setting.decoder, "shape": {}, "override": True,
               "parameters": {**recipe.parameters, **(parameters or {})}}
    return msgspec.convert(fields, Given)


def _save(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise StorageError(str(path), f"room for {len(data)} bytes", error.strerror or str(error), "df -h") from error
