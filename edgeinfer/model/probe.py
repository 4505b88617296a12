"""Known answers: what the model gave for fixed synthetic frames when it was packed, and must give on every device.

A probe holds some elements of one output, at indices that follow from whole numbers alone, and the largest. It is not about
accuracy: it tells a wrong file, a wrong delegate or a broken kernel from rounding.

How far rounding goes depends on the model. Between XNNPACK and LiteRT's reference kernels, INT8 outputs differ by 0 to 2
steps (autoencoder, keyword spotting), but by up to 28 where a softmax is undecided. How far an output moves when the frame
is nudged by a step or two foretells that: over eight models and 48 frames, none differed by more than 3 steps or twice its
largest movement, so that is the tolerance. Of the synthetic frames, those that move the outputs least are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeinfer.errors import BundleError, Fault, ModelError, ProbeError
from edgeinfer.model.backends import Session
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.manifest import Expected, Manifest, Probe
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess.fingerprint import fingerprint, synthetic_frame
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from edgeinfer.model.state import mask_of, rest, write_mask
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["check", "make", "read_frame"]

_STEPS = 3.0  # the least tolerance of a quantised output
_SHARE = 2e-2  # and of a float output of a quantised model, of its range
_FLOAT_SHARE = 1e-3  # that of a model which is float through and through: float rounding is a thousandth of it
_FRAMES = 2
_ELEMENTS = 32
_MOST_ELEMENTS = 256  # of all outputs together: the manifest has 64 KiB
_MOST_PIXELS = 1 << 26


Constants = Mapping[str, float | tuple[float, ...]]  # by an input's name


class _Stimulus(NamedTuple):
    seed: int
    file: str
    frame: Array


def make(session: Session, spec: PreprocessSpec, seeds: Sequence[int] = range(1, 7),
         files: Mapping[str, Array] | None = None, integers: bool = True,
         constants: Constants | None = None) -> tuple[Probe, ...]:
    """Probes of the two clearest of the synthetic frames numbered ``seeds``, and of the frames in ``files`` (by the names of
    their members). ``integers``: the model computes in integers, if only inside.

    Inputs after the first are ``constants``, or rest at zero. An element that jumps when the frame hardly changes (a class
    number, the order of boxes) is left out: it says nothing of the device. Raises ModelError for answers that are not finite.
    """
    stimuli = [_Stimulus(seed, "", synthetic_frame(seed, _source(spec), spec)) for seed in seeds]
    fed = constants or {}
    clearest = sorted((_probes(session, spec, stimulus, integers, fed) for stimulus in stimuli), key=_blur)[:_FRAMES]
    own = [_probes(session, spec, _Stimulus(0, name, frame), integers, fed) for name, frame in (files or {}).items()]
    return tuple(probe for probes in [*clearest, *own] for probe in probes)


def check(session: Session, manifest: Manifest, folder: Path) -> None:
    """Preprocessing and model give here what they gave when the bundle in ``folder`` was packed.

    Raises ProbeError, with a fault for each answer that differs, BundleError for a probe's file that holds no frame, and
    ModelError where the model does not run. Leaves the inputs changed.
    """
    found = fingerprint(manifest.preprocess, session.inputs[0])
    if found != manifest.fingerprint:
        raise ProbeError("preprocessing fingerprint", manifest.fingerprint[:80], found,
                         "numpy or OpenCV compute something else here: pip install -U numpy opencv-python-headless")
    names = [spec.name for spec in session.outputs]
    faults: list[Fault] = []
    for (seed, file), probes in groupby(manifest.probes, key=lambda probe: (probe.seed, probe.file)):
        frame = read_frame(folder / file) if file else synthetic_frame(seed, _source(manifest.preprocess), manifest.preprocess)
        answers = _answers(session, manifest.preprocess, frame, manifest.constants)
        for probe in probes:
            for expected in probe.expected:
                output = names.index(expected.output)  # the engine has compared both
                faults.extend(_differences(probe, expected, session.outputs[output], answers[output]))
    if faults:
        raise ProbeError.of(faults)


def read_frame(path: Path) -> Array:
    """The array in a .npy file; mapped, so that a header claiming too much allocates nothing. Raises BundleError."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError, OverflowError, MemoryError, SyntaxError) as error:  # OverflowError: on 32 bits
        raise BundleError(path.name, "an array in a .npy file", str(error)[:200], "np.save(FILE, frame)") from error


def _probes(session: Session, spec: PreprocessSpec, stimulus: _Stimulus, integers: bool, constants: Constants) -> list[Probe]:
    """One probe for each output that has an element that stays put."""
    answers = _answers(session, spec, stimulus.frame, constants)
    near = [stimulus.frame] if isinstance(spec, WindowSpec) and spec.text is not None else _nudged(stimulus.frame)
    nudged = [_answers(session, spec, frame, constants) for frame in near]
    probes = []
    for index, (tensor, answer) in enumerate(zip(session.outputs, answers, strict=True)):
        if not np.isfinite(answer).all():
            raise ModelError(f"output '{tensor.name}'", "finite numbers for a synthetic frame", "NaN or infinity",
                             "check mean and std, or convert the model anew")
        movement = np.max([np.abs(near[index].astype(np.float64) - answer) for near in nudged], axis=0)
        expected, tolerance = _expected(tensor, answer, movement, integers, _MOST_ELEMENTS // len(answers))
        if expected.indices:
            probes.append(Probe(seed=stimulus.seed, expected=(expected,), tolerance=tolerance, file=stimulus.file))
    return probes


def _expected(tensor: TensorSpec, answer: Array, movement: Array, integers: bool, most: int) -> tuple[Expected, float]:
    """The elements that move by no more than an eighth of the range (or hardly), and the tolerance that they need."""
    unit = _unit(tensor, answer)
    least = _STEPS if tensor.quantization is not None else _SHARE if integers else _FLOAT_SHARE
    steady = movement <= (max(2 * least * unit, _range(tensor, answer) / 8) if unit else 0.0)
    indices = tuple(index for index in _indices(answer, most) if steady[index])
    values = tuple(float(f"{answer[index]:.7g}") for index in indices)
    furthest = float(movement[list(indices)].max(initial=0.0)) if integers else 0.0
    unit = _unit(tensor, np.array(values or (0.0,)))
    tolerance = max(least, 2 * furthest / unit) if unit else 0.0
    return Expected(output=tensor.name, indices=indices, values=values), float(f"{tolerance:.4g}")


def _indices(answer: Array, most: int) -> list[int]:
    """The largest element, and up to 32 scattered by Knuth's multiplicative hashing (TAOCP 3, 6.4)."""
    count = max(min(most, _ELEMENTS), 1)
    if answer.size <= count:
        return list(range(answer.size))
    return sorted({*((2654435761 * k + 40503) % answer.size for k in range(count)), int(answer.argmax())})


def _differences(probe: Probe, expected: Expected, tensor: TensorSpec, answer: Array) -> Iterator[Fault]:
    """At most one fault: the first element that is too far off. NaN is too far off."""
    allowed = probe.tolerance * _unit(tensor, np.array(expected.values))
    for index, value in zip(expected.indices, expected.values, strict=True):
        got = float(answer[index]) if index < answer.size else math.nan
        if not abs(got - value) <= allowed:
            yield Fault(f"probe {probe.file or probe.seed}: output '{expected.output}'[{index}]",
                        f"{value:g} ± {allowed:g}", f"{got:g}",
                        "this runtime computes something else: try it without accelerators, or pack the bundle anew")
            return


def _unit(tensor: TensorSpec, values: Array) -> float:
    """What a tolerance counts in: steps of a quantised output, the range of a float one; nothing for counts and class
    numbers, which must be equal."""
    if tensor.quantization is not None:
        return 1.0
    return _range(tensor, values) if tensor.dtype.startswith("float") else 0.0


def _range(tensor: TensorSpec, values: Array) -> float:
    """From the least to the largest value, real 0 included."""
    zero = tensor.quantization.zero_point[0] if tensor.quantization is not None else 0
    reals = values.astype(np.float64) - zero
    return max(float(reals.max(initial=0.0) - reals.min(initial=0.0)), 1e-6)


def _blur(probes: list[Probe]) -> tuple[int, float]:
    """Least for the clearest frame: how many elements jump, then how much must be tolerated."""
    steady = sum(len(probe.expected[0].indices) for probe in probes)
    return -steady, max((probe.tolerance for probe in probes), default=0.0)


def _answers(session: Session, spec: PreprocessSpec, frame: Array, constants: Constants) -> list[Array]:
    """Every output, flat and copied, for one frame, with the other inputs at their constants, and nothing remembered."""
    session.reset()
    rest(session, constants)
    source = _format(frame, spec)
    slot = Frame(source)
    slot.view[...] = frame
    build(spec, session.inputs[0], source).run(slot, session.input(0))  # no name keeps a view: see Session.input
    mask = mask_of(spec, session)
    if mask >= 0 and isinstance(spec, WindowSpec) and spec.text is not None:
        write_mask(session, mask, spec.text.pad)
    session.invoke()
    return [np.array(session.output(index)).reshape(-1) for index in range(len(session.outputs))]


def _nudged(frame: Array) -> list[Array]:
    """The same frame to the eye: low bits of each pixel flipped, two steps lighter or darker; each sample 1/128 off."""
    if frame.dtype == np.uint8:
        lighter, darker = np.minimum(frame, 253) + np.uint8(2), np.maximum(frame, 2) - np.uint8(2)
        return [frame ^ np.uint8(1), frame ^ np.uint8(3), lighter, darker]
    return [frame * np.float32(1 + 2**-7), frame * np.float32(1 - 2**-7)]


def _source(spec: PreprocessSpec) -> FrameFormat | WindowFormat:
    """What the synthetic frames are: RGB pictures half again as large as the input, or windows."""
    if isinstance(spec, ImageSpec):
        return FrameFormat("RGB", spec.height + spec.height // 2, spec.width + spec.width // 2)
    return WindowFormat(spec.length, spec.channels)


def _format(frame: Array, spec: PreprocessSpec) -> FrameFormat | WindowFormat:
    if isinstance(spec, ImageSpec) and frame.dtype == np.uint8 and 2 <= frame.ndim <= 3:
        made: FrameFormat | WindowFormat = FrameFormat("RGB" if frame.ndim == 3 else "GREY", *frame.shape[:2])
    else:
        made = _source(spec)
    if frame.shape != made.shape or frame.dtype != made.dtype or not 0 < frame.size <= _MOST_PIXELS:
        raise BundleError("probe", f"a frame of {made.dtype} {made.shape}", f"{frame.dtype} {frame.shape}",
                          "pictures are uint8 RGB (height, width, 3), windows float32 (length, channels)")
    return made
