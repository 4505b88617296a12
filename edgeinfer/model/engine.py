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
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.manifest import Manifest
from edgeinfer.model.preprocess import Preprocess, build
from edgeinfer.model.result import Result
from edgeinfer.model.tensor import TensorSpec

__all__ = ["Engine", "Lane"]


class Lane:
    """One pipeline's way through an engine: its own preprocessing (its source's size), decoder and latencies.

    Used by the engine's inference thread only. ``preprocess``, ``invoke``, ``decode`` are histograms of nanoseconds.
    """

    def __init__(self, engine: Engine, preprocess: Preprocess, decoder: Decoder) -> None:
        self.preprocess_ns = Latency()
        self.invoke_ns = Latency()
        self.decode_ns = Latency()
        self.preprocess = preprocess
        self.decoder = decoder
        self.engine = engine
        self._session = engine.session
        self._outputs = tuple(range(len(engine.session.outputs)))
        self._inputs = tuple(range(len(engine.session.inputs)))

    def infer(self, frame: Frame) -> Result:
        """The result of one frame: the same object each time, filled anew. Raises ModelError when the runtime fails."""
        session = self._session
        started = perf_counter_ns()
        self.preprocess.run(frame, session.input(0))  # no name keeps the view: the runtime refuses to invoke while one lives
        prepared = perf_counter_ns()
        session.invoke()
        invoked = perf_counter_ns()
        outputs = [session.output(index) for index in self._outputs]
        inputs = [session.input(index) for index in self._inputs]
        result = self.decoder.decode(outputs, inputs, self.preprocess.geometry)
        if self.engine.stateful:
            self.engine.feed_back(outputs, inputs)
        self.preprocess_ns.record(prepared - started)
        self.invoke_ns.record(invoked - prepared)
        self.decode_ns.record(perf_counter_ns() - invoked)
        return result

    @property
    def nbytes(self) -> int:
        """Bytes of scratch, tables and rows."""
        return self.preprocess.nbytes + self.decoder.nbytes


class Engine:
    """A bundle loaded into a session. Stateless engines are shared by all pipelines that name the same bundle."""

    def __init__(self, bundle: Bundle, options: RuntimeOptions) -> None:
        """Loads the model. Raises ModelError, UnavailableError, and ManifestError where file and manifest contradict."""
        self.bundle = bundle
        self.options = options
        self.session: Session = open_session(bundle.model_path, bundle.manifest.format, options)
        self.stateful = bool(bundle.manifest.state)
        check_tensors(bundle.manifest, self.session)
        names = [spec.name for spec in self.session.outputs], [spec.name for spec in self.session.inputs]
        self._fed_back = [(names[0].index(pair.output), names[1].index(pair.input)) for pair in bundle.manifest.state]
        self.reset()

    def lane(self, format: FrameFormat | WindowFormat, threshold: float | None = None) -> Lane:
        """A way for frames of this format. ``threshold`` may only be stricter than the manifest's. Raises ManifestError."""
        manifest = self.bundle.manifest
        decoder = DECODERS.load(manifest.decoder.name, "manifest.json: decoder.name")(
            manifest.decoder.parameters, self.session.outputs, self.bundle.labels, self.session.inputs, threshold)
        return Lane(self, build(manifest.preprocess, self.session.inputs[0], format), decoder)

    def reset(self) -> None:
        """Forget the state of a recurrent model, and zero all inputs."""
        for index, spec in enumerate(self.session.inputs):
            rest = 0 if spec.quantization is None else spec.quantization.zero_point[0]
            self.session.input(index)[...] = rest

    def feed_back(self, outputs: list[np.ndarray], inputs: list[np.ndarray]) -> None:
        """Copy the state outputs into the state inputs."""
        for output, input in self._fed_back:
            np.copyto(inputs[input], outputs[output])

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
