"""What a manifest must not contradict within itself. Whether it fits the model file is for the engine to say.

Everything that is later used as a path, an index, a divisor or a size is bounded here, before it is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgeinfer.errors import Fault
from edgeinfer.model.preprocess.columns import column_faults
from edgeinfer.model.preprocess.featurefaults import feature_faults
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.preprocess.textspec import text_faults
from edgeinfer.model.tensor import TensorSpec

if TYPE_CHECKING:
    from edgeinfer.model.manifest import Manifest

__all__ = ["MANIFEST", "SIGNATURE", "contradictions", "is_member_name", "is_name"]

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767), "uint16": (0, 65535),
           "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}
_MOST_ELEMENTS = 2**31 - 1  # tensor sizes are 32-bit in LiteRT


def is_name(text: str) -> bool:
    """Whether ``text`` may name a model or a version: it becomes a folder and a part of an MQTT topic."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", text) is not None


def is_member_name(text: str) -> bool:
    """Whether ``text`` may name a file of a bundle: flat, ASCII, and at most the 100 bytes of a ustar header."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", text) is not None and text not in (MANIFEST, SIGNATURE)


def contradictions(manifest: Manifest) -> list[Fault]:
    """All faults of a manifest whose fields have the right types; empty when it is consistent."""
    return [*_names(manifest), *_files(manifest), *_members(manifest), *_tensors("inputs", manifest.inputs),
            *_tensors("outputs", manifest.outputs), *_preprocess(manifest.preprocess), *_state(manifest), *_constants(manifest),
            *_probes(manifest)]


def _names(manifest: Manifest) -> Iterator[Fault]:
    for field in ("name", "version"):
        text = getattr(manifest, field)
        if not is_name(text):
            yield Fault(field, "1 to 64 letters, digits, '.', '_', '+' or '-'", repr(text)[:80])
    if manifest.sequence < 0:
        yield Fault("sequence", "0 or more", str(manifest.sequence))


def _files(manifest: Manifest) -> Iterator[Fault]:
    for name, member in manifest.files.items():
        if not is_member_name(name):
            yield Fault("files", "flat file names of letters, digits, '.', '_', '+' and '-'", repr(name)[:80])
        if re.fullmatch(r"[0-9a-f]{64}", member.sha256) is None:
            yield Fault(f"files.{name}.sha256", "64 hexadecimal digits", repr(member.sha256)[:80])
        if member.bytes < 0:
            yield Fault(f"files.{name}.bytes", "a size in bytes", str(member.bytes))


def _members(manifest: Manifest) -> Iterator[Fault]:
    named = {"model": manifest.model, "labels": manifest.labels or manifest.model}
    named.update((f"probes[{index}].file", probe.file) for index, probe in enumerate(manifest.probes) if probe.file)
    if isinstance(manifest.preprocess, WindowSpec) and manifest.preprocess.text is not None:
        named["preprocess.text.tokenizer"] = manifest.preprocess.text.tokenizer
    for field, name in named.items():
        if name not in manifest.files:
            yield Fault(field, f"one of the files: {', '.join(sorted(manifest.files))[:200] or 'none'}", repr(name)[:80])


def _tensors(side: str, specs: Sequence[TensorSpec]) -> Iterator[Fault]:
    if not specs:
        yield Fault(side, "at least one tensor", "none")
    names = [spec.name for spec in specs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(side, "tensors with names of their own", f"{name!r} twice"[:80])
    smallest = 1 if side == "inputs" else -1  # an output's size may be known only once the model has run
    for index, spec in enumerate(specs):
        where = f"{side}[{index}]"
        unusable = any(length < smallest or length == 0 for length in spec.shape)
        if unusable or math.prod(map(abs, spec.shape)) > _MOST_ELEMENTS:
            hint = "fix it when packing: quantize pack MODEL --shape NAME=1,3,224,224 -o OUT" if -1 in spec.shape else ""
            yield Fault(f"{where}.shape", "fixed sides of 1 or more", str(list(spec.shape))[:80], hint)
        yield from _quantization(where, spec)


def _quantization(where: str, spec: TensorSpec) -> Iterator[Fault]:
    found = spec.quantization
    if found is None:
        return
    if spec.dtype not in _LIMITS:
        yield Fault(f"{where}.quantization", "none for a tensor that is not quantised", f"one for {spec.dtype}")
        return
    if not found.scale or len(found.scale) != len(found.zero_point):
        yield Fault(f"{where}.quantization", "a zero point for each scale",
                    f"{len(found.zero_point)} for {len(found.scale)}")
    if any(not (math.isfinite(scale) and scale > 0) for scale in found.scale):
        yield Fault(f"{where}.quantization.scale", "finite numbers above 0", str(found.scale)[:80])
    low, high = _LIMITS[spec.dtype]
    if any(not low <= point <= high for point in found.zero_point):
        yield Fault(f"{where}.quantization.zero_point", f"{low} to {high} for {spec.dtype}", str(found.zero_point)[:80])
    if found.per_axis and (found.axis is None or not 0 <= found.axis < len(spec.shape)
                           or spec.shape[found.axis] != len(found.scale)):
        yield Fault(f"{where}.quantization.axis", f"an axis of {list(spec.shape)} with {len(found.scale)} entries"[:200],
                    str(found.axis))


def _preprocess(spec: ImageSpec | WindowSpec) -> Iterator[Fault]:
    sides = ("height", "width") if isinstance(spec, ImageSpec) else ("length", "channels", "hop")
    for field in sides:
        if not 1 <= getattr(spec, field) <= _MOST_ELEMENTS:
            yield Fault(f"preprocess.{field}", "1 or more", str(getattr(spec, field))[:80])
    if isinstance(spec, WindowSpec) and spec.text is not None:
        yield from text_faults(spec.text, spec.channels, spec.length, spec.hop)
    if isinstance(spec, WindowSpec):
        yield from column_faults(spec.table, spec.channels)
    unusable = _features(spec) if isinstance(spec, WindowSpec) else []
    yield from unusable
    entries = spec.channels if isinstance(spec, ImageSpec) or unusable else spec.columns
    for field in ("mean", "std") if isinstance(spec, ImageSpec) else ("mean", "std", "minimum", "maximum"):
        values = getattr(spec, field)
        if len(values) not in (1, entries) or not all(map(math.isfinite, values)):
            yield Fault(f"preprocess.{field}", f"1 or {entries} finite numbers", str(list(values))[:80])
    if 0 in spec.std:
        yield Fault("preprocess.std", "numbers other than 0", str(list(spec.std))[:80])
    if isinstance(spec, ImageSpec) and not 0 <= spec.pad <= 255:
        yield Fault("preprocess.pad", "a pixel value, 0 to 255", str(spec.pad)[:80])
    if isinstance(spec, WindowSpec) and not 0 <= spec.rate < math.inf:
        yield Fault("preprocess.rate", "samples a second, or 0 for any", str(spec.rate))


def _features(spec: WindowSpec) -> list[Fault]:
    return list(feature_faults(spec.features, spec.length, spec.rate)) if spec.features is not None else []


def _state(manifest: Manifest) -> Iterator[Fault]:
    inputs = {spec.name: spec for spec in manifest.inputs[1:]}  # the first input is where frames go
    outputs = {spec.name: spec for spec in manifest.outputs}
    for index, pair in enumerate(manifest.state):
        into, out = inputs.get(pair.input), outputs.get(pair.output)
        if into is None:
            yield Fault(f"state[{index}].input", f"an input after the first: {', '.join(inputs) or 'there is none'}"[:200],
                        repr(pair.input)[:80])
        if out is None:
            yield Fault(f"state[{index}].output", f"an output: {', '.join(outputs)}"[:200], repr(pair.output)[:80])
        if into and out and (into.shape != out.shape or not _can_be_fed(into, out)):
            expected = f"two tensors alike, or quantised with 8 or 16 bits: {into.dtype} {list(into.shape)}"
            yield Fault(f"state[{index}]", expected[:200],
                        f"{out.dtype} {list(out.shape)}"[:200])
    if manifest.reset.every < 0:
        yield Fault("reset.every", "a number of frames, or 0 for never", str(manifest.reset.every))


def _can_be_fed(into: TensorSpec, out: TensorSpec) -> bool:
    if (into.dtype, into.quantization) == (out.dtype, out.quantization):
        return True
    return all(spec.dtype in ("uint8", "int8", "int16", "uint16") and spec.quantization is not None
               and not spec.quantization.per_axis for spec in (into, out))


def _constants(manifest: Manifest) -> Iterator[Fault]:
    inputs = {spec.name: spec for spec in manifest.inputs[1:]}
    fed = {pair.input for pair in manifest.state}
    for name, value in manifest.constants.items():
        spec = inputs.get(name)
        if spec is None or name in fed:
            free = ", ".join(sorted({*inputs} - fed)) or "there is none"
            yield Fault("constants", f"an input after the first that is no state: {free}"[:200], repr(name)[:80])
            continue
        values = value if isinstance(value, tuple) else (value,)
        if len(values) not in (1, math.prod(spec.shape)) or not all(map(math.isfinite, values)):
            yield Fault(f"constants.{name}"[:120], f"1 or {math.prod(spec.shape)} finite numbers", str(value)[:80])


def _probes(manifest: Manifest) -> Iterator[Fault]:
    outputs = {spec.name: spec for spec in manifest.outputs}
    for index, probe in enumerate(manifest.probes):
        where = f"probes[{index}]"
        if not 0 <= probe.tolerance < math.inf:
            yield Fault(f"{where}.tolerance", "a finite number, 0 or more", str(probe.tolerance))
        if not 0 <= probe.seed < 2**32:
            yield Fault(f"{where}.seed", "0 to 4294967295", str(probe.seed)[:80])
        for expected in probe.expected:
            spec = outputs.get(expected.output)
            if spec is None:
                yield Fault(f"{where}.expected", f"an output: {', '.join(outputs)}"[:200], repr(expected.output)[:80])
                continue
            if not expected.indices or len(expected.indices) != len(expected.values):
                yield Fault(f"{where}.expected", "a value for each index",
                            f"{len(expected.values)} for {len(expected.indices)}")
            if any(not 0 <= position < math.prod(map(abs, spec.shape)) for position in expected.indices):
                yield Fault(f"{where}.expected", f"indices into the elements of {expected.output}"[:120],
                            f"{min(expected.indices)} to {max(expected.indices)}"[:120])
