"""The engine: one loaded model, and the way of a frame through it.

    Lane.infer:  preprocess into the session's own input memory ▶ invoke ▶ decode from views of its outputs

The device and the toolkit run this very code, so what was measured is what is deployed.
"""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np

from edgeinfer.counters import Latency
from edgeinfer.errors import Fault, ManifestError
from edgeinfer.model.backends import RuntimeOptions, Session, open_session
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.decoders import DECODERS, Decoder
from edgeinfer.model.drift import GAP_NS, Drift, facts_of
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.manifest import Manifest, Reset
from edgeinfer.model.preprocess import Preprocess, build
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.result import Result
from edgeinfer.model.state import feedback, mask_of, rest, write_mask
from edgeinfer.model.tensor import Array, TensorSpec

__all__ = ["Engine", "Lane"]


class Lane:
    """One pipeline's way through an engine: its own preprocessing (its source's size), decoder and latencies.

    Used by the engine's inference thread only. ``preprocess``, ``invoke``, ``decode`` are histograms of nanoseconds;
    ``drift`` compares the input with the calibration, where the manifest has one.
    """

    def __init__(self, engine: Engine, preprocess: Preprocess, decoder: Decoder, threshold: float | None = None) -> None:
        self.preprocess_ns = Latency()
        self.invoke_ns = Latency()
        self.decode_ns = Latency()
        self.preprocess = preprocess
        self.decoder = decoder
        self.engine = engine
        self.threshold = threshold  # None: the bundle's own
        facts = facts_of(engine.bundle.manifest.calibration, engine.session.inputs[0])
        self.drift = Drift(facts, engine.session.inputs[0]) if facts else None
        self._sample_due = 0 if facts else 1 << 63  # of perf_counter_ns
        self._session = engine.session
        self._outputs = tuple(range(len(engine.session.outputs)))
        self._inputs = tuple(range(len(engine.session.inputs)))
        self._reset = engine.bundle.manifest.reset if engine.stateful else None
        spec = engine.bundle.manifest.preprocess
        self._mask = mask_of(spec, engine.session)
        self._pad = spec.text.pad if isinstance(spec, WindowSpec) and spec.text is not None else 0
        self._breaks = 0
        self._since = 0  # frames since the model forgot

    def infer(self, frame: Frame) -> Result:
        """The result of one frame: the same object each time, filled anew. Raises ModelError when the runtime fails."""
        session = self._session
        started = perf_counter_ns()
        if self._reset is not None:
            self._forget_if_due(frame, self._reset)
        self.preprocess.run(frame, session.input(0))  # no name keeps the view: the runtime refuses to invoke while one lives
        if self._mask >= 0:
            write_mask(session, self._mask, self._pad)
        prepared = perf_counter_ns()
        session.invoke()
        invoked = perf_counter_ns()
        outputs = [session.output(index) for index in self._outputs]
        inputs = [session.input(index) for index in self._inputs]
        result = self.decoder.decode(outputs, inputs, self.preprocess.geometry)
        self.engine.feed_back(outputs, inputs)
        self.preprocess_ns.record(prepared - started)
        self.invoke_ns.record(invoked - prepared)
        decoded = perf_counter_ns()
        self.decode_ns.record(decoded - invoked)
        if decoded >= self._sample_due and self.drift is not None:
            self._sample_due = decoded + GAP_NS
            self.drift.see(inputs[0])
        return result

    def _forget_if_due(self, frame: Frame, rule: Reset) -> None:
        if (rule.gap and frame.breaks != self._breaks) or (rule.every and self._since >= rule.every):
            self.engine.reset()
            self._since = 0
        self._breaks = frame.breaks
        self._since += 1

    def warm_up(self, frame: Frame) -> None:
        """One run on a blank frame that counts as none: what the first run allocates is there before the first frame."""
        self.infer(frame)
        self.engine.reset()
        self._since = 0
        for latency in (self.preprocess_ns, self.invoke_ns, self.decode_ns):
            latency.clear()
        if self.drift is not None:
            self.drift.clear()
        self._sample_due = 0 if self.drift is not None else self._sample_due

    def go_on_from(self, other: Lane) -> None:
        """Take over the figures of a lane of the same engine, whose place this one takes (with another threshold)."""
        self.preprocess_ns, self.invoke_ns, self.decode_ns = other.preprocess_ns, other.invoke_ns, other.decode_ns
        self.drift, self._sample_due = other.drift, other._sample_due

    @property
    def nbytes(self) -> int:
        """Bytes of scratch, tables and rows."""
        return self.preprocess.nbytes + self.decoder.nbytes + (self.drift.nbytes if self.drift is not None else 0)


class Engine:
    """A bundle loaded into a session. Stateless engines are shared by all pipelines that name the same bundle."""

    def __init__(self, bundle: Bundle, options: RuntimeOptions) -> None:
        """Loads the model. Raises ModelError, UnavailableError, and ManifestError where file and manifest contradict."""
        self.bundle = bundle
        self.options = options
        self.session: Session = open_session(bundle.model_path, bundle.manifest.format, options)
        self.stateful = bundle.manifest.stateful or self.session.variables
        check_tensors(bundle.manifest, self.session)
        self._states = feedback(bundle.manifest, self.session)
        self.reset()

    def lane(self, format: FrameFormat | WindowFormat, threshold: float | None = None) -> Lane:
        """A way for frames of this format. ``threshold`` may only be stricter than the manifest's. Raises ManifestError."""
        manifest = self.bundle.manifest
        decoder = DECODERS.load(manifest.decoder.name, "manifest.json: decoder.name")(
            manifest.decoder.parameters, self.session.outputs, self.bundle.labels, self.session.inputs, threshold)
        return Lane(self, build(manifest.preprocess, self.session.inputs[0], format), decoder, threshold)

    def reset(self) -> None:
        """Forget the state of a recurrent model; all inputs are 0, or their constants."""
        self.session.reset()
        rest(self.session, self.bundle.manifest.constants)

    def feed_back(self, outputs: list[Array], inputs: list[Array]) -> None:
        """Put the state outputs into the state inputs."""
        for output, input, table in self._states:
            if table is None:
                np.copyto(inputs[input], outputs[output])
            else:
                np.take(table, outputs[output].view(f"u{outputs[output].itemsize}"), out=inputs[input], mode="clip")

    def close(self) -> None:
        self.session.close()


def check_tensors(manifest: Manifest, session: Session) -> None:
    """Raises ManifestError, with all faults, where the model file's tensors are not those that the manifest states."""
    faults: list[Fault] = []
    for side, stated, found in (("inputs", manifest.inputs, session.inputs), ("outputs", manifest.outputs, session.outputs)):
        if len(stated) != len(found):
            faults.append(Fault(f"manifest.json: {side}", f"{len(found)} tensors, as in the model file", str(len(stated))))
            continue
        for index, (one, other) in enumerate(zip(stated, found, strict=True)):
            if _facts(one) != _facts(other):
                faults.append(Fault(f"manifest.json: {side}[{index}]", f"{_facts(other)}", f"{_facts(one)}"))
    if faults:
        hint = "the model file was exchanged: pack the bundle anew with quantize pack"
        raise ManifestError.of([Fault(fault.where, fault.expected, fault.got, hint) for fault in faults])


def _facts(spec: TensorSpec) -> str:
    """What must agree, as text: floats are compared as float32, in which the files hold them."""
    text = f"{spec.name} {list(spec.shape)} {spec.dtype}"
    if spec.quantization is None:
        return text
    scale = [float(np.float32(value)) for value in spec.quantization.scale]
    return f"{text} scale={scale} zero_point={list(spec.quantization.zero_point)} axis={spec.quantization.axis}"
