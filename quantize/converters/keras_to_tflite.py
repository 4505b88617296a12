"""``python -m quantize.converters.keras_to_tflite MODEL OUT.tflite``: what runs apart from the toolkit, with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from edgeinfer.errors import ModelError
from quantize.converters.apart import run_apart

__all__ = ["export"]


def export(path: Path, out: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write ``out``, a float TFLite with a batch of 1, of a SavedModel's signature ``serving_default``. A Keras file is saved
    as one beside ``out`` first.

    A layer with Python code in it (Lambda) is refused by Keras itself: ``safe_mode``.
    """
    tf: Any = import_module("tensorflow")
    folder = path
    if not path.is_dir():
        folder = out.with_suffix("")
        tf.keras.models.load_model(str(path), compile=False, safe_mode=True).export(str(folder), verbose=False)
    model = tf.saved_model.load(str(folder))
    function = model.signatures.get("serving_default")
    if function is None:
        raise ModelError(path.name, "a SavedModel with the signature serving_default", f"{sorted(model.signatures)}",
                         "save it with model.export(folder)")
    specs = function.structured_input_signature[1]
    fixed = {name: _fixed(tf, spec, name, shapes, path.name) for name, spec in specs.items()}
    concrete = tf.function(function).get_concrete_function(**fixed)
    out.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())


def _fixed(tf: Any, spec: Any, name: str, shapes: Mapping[str, Sequence[int]], where: str) -> Any:
    """The spec of an input with all sides known."""
    stated = [None] if spec.shape is None else list(spec.shape)
    sides = list(shapes.get(name, [1 if side is None and axis == 0 else side for axis, side in enumerate(stated)]))
    if any(side is None for side in sides):
        raise ModelError(f"{where}: input '{name}'", "sides that are known", str(stated),
                         f"--shape '{name}=1,224,224,3', with the sides that the device will feed")
    return tf.TensorSpec(sides, spec.dtype, name=name)


if __name__ == "__main__":
    run_apart(export)
