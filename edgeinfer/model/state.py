"""What a model has at its inputs besides the frame: constants, and states that come back from its outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.errors import ManifestError
from edgeinfer.model.backends import Session
from edgeinfer.model.manifest import Manifest
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["feedback", "mask_of", "requantising", "rest", "write_mask"]


def rest(session: Session, constants: Mapping[str, float | tuple[float, ...]]) -> None:
    """Write each input's constant, or real 0, into the session's inputs."""
    for index, spec in enumerate(session.inputs):
        value = constants.get(spec.name)
        if value is not None:
            stored = spec.quantize(np.asarray(value, np.float64))
            session.input(index)[...] = stored.reshape(spec.shape) if stored.ndim else stored
        else:
            session.input(index)[...] = 0 if spec.quantization is None else spec.quantization.zero_point[0]


def mask_of(spec: PreprocessSpec, session: Session) -> int:
    """The input that tells tokens from what is behind them; -1: there is none."""
    name = spec.text.mask if isinstance(spec, WindowSpec) and spec.text is not None else ""
    names = [tensor.name for tensor in session.inputs]
    if name and name not in names[1:]:
        raise ManifestError("manifest.json: preprocess.text.mask",
                            f"an input after the first: {', '.join(names[1:]) or 'there is none'}"[:200], repr(name)[:80])
    return names.index(name) if name else -1


def write_mask(session: Session, mask: int, pad: int) -> None:
    """1 where the first input has a token, 0 where it has ``pad``."""
    np.not_equal(session.input(0), pad, out=session.input(mask), casting="unsafe")


def feedback(manifest: Manifest, session: Session) -> list[tuple[int, int, Array | None]]:
    """For each state the output, the input, and the table between them where they are quantised in different ways."""
    names = [spec.name for spec in session.outputs], [spec.name for spec in session.inputs]
    pairs = [(names[0].index(pair.output), names[1].index(pair.input)) for pair in manifest.state]
    return [(output, input, requantising(session.outputs[output], session.inputs[input])) for output, input in pairs]


def requantising(output: TensorSpec, input: TensorSpec) -> Array | None:
    """The input's stored value for each stored value of the output, by its bits; None where they are the same.

    clip(round((q - zero_point) * scale / scale of the input) + zero point of the input), in float64, half to even.
    """
    if (output.dtype, output.quantization) == (input.dtype, input.quantization):
        return None
    assert output.quantization is not None
    width = np.dtype(output.dtype).itemsize
    stored = np.arange(1 << (8 * width)).astype(f"u{width}").view(output.dtype)
    reals = (stored.astype(np.float64) - output.quantization.zero_point[0]) * output.quantization.scale[0]
    return input.quantize(reals)
