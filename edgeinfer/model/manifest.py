"""manifest.json: everything true about a model file. Format version 1.

Unknown fields survive a round trip (``document`` keeps them), so that an older tool never strips what a newer one wrote.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgeinfer.errors import Fault, ManifestError
from edgeinfer.model.consistency import contradictions
from edgeinfer.model.preprocess.spec import ImageSpec, WindowSpec
from edgeinfer.model.tensor import TensorSpec
from edgeinfer.typed import convert

__all__ = ["FORMAT_VERSION", "MAX_BYTES", "DecoderSpec", "Expected", "Manifest", "Member", "Probe", "Reset", "State",
           "parse", "serialise"]

FORMAT_VERSION = 1
MAX_BYTES = 64 * 1024


class Member(msgspec.Struct, frozen=True):
    """One file of the bundle: SHA-256 in hex and its size in bytes."""

    sha256: str
    bytes: int


class DecoderSpec(msgspec.Struct, frozen=True):
    """Which decoder, and its parameters (checked by the decoder itself)."""

    name: str
    parameters: dict[str, Any] = {}


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recurrent model's memory: after each invoke the output named ``output`` is copied into the input ``input``; where both
    are quantised in other ways, the value that it stands for."""

    input: str
    output: str


class Reset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model with a memory forgets: where the stream was broken off (``gap``: samples lost, the source opened anew), and
    each ``every`` frames (0: not by number)."""

    gap: bool = True
    every: int = 0


class Expected(msgspec.Struct, frozen=True):
    """What a probe expects of one output: ``values`` (as stored, not dequantised) at flat ``indices``."""

    output: str
    indices: tuple[int, ...]
    values: tuple[float, ...]


class Probe(msgspec.Struct, frozen=True):
    """A known answer. The frame is the synthetic one of number ``seed`` (``preprocess.fingerprint``), or the member file
    ``file`` (a .npy); ``tolerance`` is in steps of a quantised output, or a share of the output's range for a float one."""

    seed: int
    expected: tuple[Expected, ...]
    tolerance: float
    file: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The facts. ``files`` names every member but the manifest itself and its signature. ``variables``: the model remembers
    inside (TFLite's VAR_HANDLE, SVDF, …); ``constants``: real values that inputs always have."""

    edgeinfer: int
    name: str
    version: str
    task: str
    format: Literal["tflite", "onnx"]
    model: str
    files: dict[str, Member]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: ImageSpec | WindowSpec
    decoder: DecoderSpec
    fingerprint: str
    sequence: int = 0
    labels: str = ""
    state: tuple[State, ...] = ()
    variables: bool = False
    reset: Reset = Reset()
    constants: dict[str, float | tuple[float, ...]] = {}
    probes: tuple[Probe, ...] = ()
    target: str = ""
    accuracy: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    calibration: dict[str, Any] = {}

    @property
    def stateful(self) -> bool:
        """Whether a frame's result depends on the frames before: such a model serves one stream."""
        return bool(self.state) or self.variables


def parse(raw: bytes, where: str = "manifest.json") -> tuple[Manifest, dict[str, Any]]:
    """The manifest and the whole document it came from (unknown fields included). Raises ManifestError with every fault."""
    if len(raw) > MAX_BYTES:
        raise ManifestError(where, f"at most {MAX_BYTES} bytes", f"{len(raw)} bytes")
    try:
        document = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:  # ValueError: msgspec's own, bad UTF-8, an integer of thousands of digits
        raise ManifestError(where, "JSON", str(error)[:200], "pack the bundle anew: quantize pack MODEL -o OUT") from error
    version = document.get("edgeinfer") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise ManifestError(f"{where}: edgeinfer", f"format version {FORMAT_VERSION}", repr(version)[:60],
                            "pip install -U edgeinfer, or pack the bundle anew: quantize pack MODEL -o OUT")
    faults: list[Fault] = []
    manifest = convert(document, Manifest, "", faults)
    faults += contradictions(manifest) if manifest is not None else []
    if manifest is None or faults:
        raise ManifestError.of([Fault(f"{where}: {f.where}", f.expected, f.got, f.hint) for f in faults])
    return manifest, document


def serialise(manifest: Manifest, document: dict[str, Any] | None = None) -> bytes:
    """Bytes of manifest.json; fields of ``document`` that this version does not know are kept, at any depth. Format version
    first."""
    return msgspec.json.format(msgspec.json.encode(_merged(manifest, document or {})), indent=1)


def _merged(value: Any, old: Any) -> Any:
    """``value`` as plain values, with the unknown fields that each of its structs has in ``old``."""
    if isinstance(value, msgspec.Struct):
        old = old if isinstance(old, dict) else {}
        known = msgspec.to_builtins(value)  # the tag of a union included
        known.update((field.encode_name, _merged(getattr(value, field.name), old.get(field.encode_name)))
                     for field in msgspec.structs.fields(value))
        return {**known, **{key: item for key, item in old.items() if key not in known}}
    if isinstance(value, dict):
        return {key: _merged(item, old.get(key) if isinstance(old, dict) else None) for key, item in value.items()}
    if isinstance(value, tuple):
        twins = old if isinstance(old, list) and len(old) == len(value) else [None] * len(value)
        return [_merged(item, twin) for item, twin in zip(value, twins, strict=True)]
    return value
