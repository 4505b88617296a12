"""Features of windows: the references' numbers, the same numbers in a stream, and clear refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import ManifestError
from edgeinfer.model.frame import Frame, WindowFormat
from edgeinfer.model.preprocess import build
from edgeinfer.model.preprocess import fingerprint as fingerprints
from edgeinfer.model.preprocess.features import features_of
from edgeinfer.model.preprocess.features.levels import Levels
from edgeinfer.model.preprocess.features.spectrum import window_function
from edgeinfer.model.preprocess.featurespec import SpectrumSpec
from edgeinfer.model.preprocess.fingerprint import fingerprint
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array, Quantization, TensorSpec
from tests.features import ANSWERS, CASES, answer, computed, signal, spec_of, tensor_of, window


@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_the_reference(name: str) -> None:
    """Within 1e-6 of the greatest value of what librosa, tf.signal or scipy gave; the micro frontend's are equal."""
    wanted, got = answer(name), computed(spec_of(name), window(name))
    assert got.shape == wanted.shape
    allowed = 0.0 if CASES[name][4] == "pymicro" else 1e-6
    assert np.abs(got - wanted).max() <= allowed * np.abs(wanted).max()


@pytest.mark.parametrize("of", ["window", "frame"])
def test_emphasis_is_as_exact_as_what_follows(of: str) -> None:
    """In float64: beside a loud low tone what is left of it in quiet bins is told from what rounding made."""
    samples = np.sin(np.arange(896) * 2 * np.pi / 64).astype(np.float32)[:, None]
    spec = WindowSpec(length=896, rate=8000, features=SpectrumSpec(frame=448, step=448, fft=448, window="blackman", power=1,
                                                                   log="ln", preemphasis=0.97, preemphasis_of=of))
    x = samples[:, 0].astype(np.float64)
    before = np.append(x[447 if of == "window" else 448], x[448:-1])
    wanted = np.abs(np.fft.rfft((x[448:] - 0.97 * before) * window_function("blackman", 448, periodic=True)))
    np.testing.assert_allclose(computed(spec, samples)[1], np.log(np.maximum(wanted, 1e-10)), atol=1e-5)


@pytest.mark.parametrize("kind", ["bands", "statistics"])
@pytest.mark.parametrize(("rate", "frame", "edge"), [(50, 385, 10), (50, 390, 15), (50, 610, 15), (16000, 512, 4000)])
def test_a_tone_at_the_edge_of_two_bands_is_in_the_upper_one(kind: str, rate: int, frame: int, edge: int) -> None:
    """lower <= f < upper, of frequencies that are those numbers exactly, not nearly."""
    features = {"bands": {"edges": [0, edge, rate]}, "statistics": {"bands": [[0, edge], [edge, rate]]}}[kind]
    shape = {"window": "rectangular", "log": "none", "fft": frame} if kind == "bands" else {}
    spec = msgspec.convert({"length": frame, "rate": rate, "features": {"kind": kind, "frame": frame, "step": 1, **shape, **features}}, WindowSpec)
    tone = np.sin(2 * np.pi * edge / rate * np.arange(frame) + 0.3).astype(np.float32)
    below, above = computed(spec, tone[:, None])[0]
    assert below < 1e-5 * above


def test_the_answers_are_small() -> None:
    """They are data in the repository."""
    assert ANSWERS.stat().st_size < 50_000


def frame_at(samples: Array, position: int, breaks: int = 0) -> Frame:
    frame = Frame(WindowFormat(*samples.shape))
    frame.view[...] = samples
    frame.position, frame.breaks = position, breaks
    return frame


STREAMED = [name for name, case in CASES.items() if case[0] < 5000 and not case[4].startswith("pymicro")]


@pytest.mark.parametrize("name", STREAMED)
@settings(max_examples=6, deadline=None)
@given(moves=st.lists(st.tuples(st.sampled_from([1, 2, 3, 0.5]), st.booleans()), min_size=2, max_size=6))
def test_rows_that_are_reused_are_those_that_would_be_computed(name: str, moves: list[tuple[float, bool]]) -> None:
    """However windows overlap, are skipped or broken off: what comes out is what a window alone gives, to the bit."""
    spec = spec_of(name)
    features = features_of(spec)
    alone = features_of(spec)
    step = spec.features.step  # type: ignore[union-attr]
    stream = signal(spec.length + 30 * step, spec.channels, spec.rate)
    position, breaks = 0, 0
    for factor, broken in moves:
        position, breaks = position + int(factor * step), breaks + broken
        samples = stream[position : position + spec.length]
        got = features.of(frame_at(samples, position + 1000 * breaks, breaks)).copy()
        alone.forget()
        assert np.array_equal(got, alone.of(frame_at(samples, -1)))


def test_a_window_that_overlaps_computes_its_new_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 49 frames of a second, a hop of 20 ms computes one."""
    spec = spec_of("kws", hop=320)
    features: Any = features_of(spec)
    rows: list[int] = []
    monkeypatch.setattr(features._row, "write", lambda samples, before, out: rows.append(len(samples)))
    stream = signal(spec.length + 640, 1, spec.rate)
    for position in (0, 320, 640):
        features.of(frame_at(stream[position : position + spec.length], position))
        rows.append(0)
    assert [len(part.split()) for part in " ".join(map(str, rows)).split(" 0")][:3] == [49, 1, 1]


@pytest.mark.parametrize("rows", [1, 3, 10])
def test_the_micro_frontend_goes_on_from_window_to_window(rows: int) -> None:
    """Windows of a stream give the rows of the whole stream, overlapping or side by side; fresh ones those of a clip."""
    spec = spec_of("micro_frontend")
    whole = computed(spec, window("micro_frontend"))
    length = 480 + 160 * 9
    part = spec_of("micro_frontend", length=length, hop=160 * rows)
    features, fresh = features_of(part), features_of(_fresh(part))
    for start in range(0, 19, rows):
        samples = window("micro_frontend")[160 * start : 160 * start + length]
        got = features.of(frame_at(samples, 160 * start))
        assert np.array_equal(got, whole[start : start + 10])
        assert np.array_equal(fresh.of(frame_at(samples, 160 * start)), computed(part, samples))
    features.of(frame_at(samples, 10_000, breaks=1))
    assert np.array_equal(features.of(frame_at(samples, 20_000, breaks=2)), computed(part, samples))


def _fresh(spec: WindowSpec) -> WindowSpec:
    assert spec.features is not None
    return msgspec.structs.replace(spec, features=msgspec.structs.replace(spec.features, fresh=True))


@pytest.mark.parametrize("name", ["kws", "stft_two_channels", "micro_frontend", "statistics"])
def test_what_is_deployed_is_what_was_calibrated(name: str) -> None:
    """An INT8 tensor holds the quantised values of ``reals``; a tensor with the sides the other way round holds them turned."""
    spec = spec_of(name)
    scale = float(np.abs(answer(name)).max()) / 100
    quantised = TensorSpec(name="x", shape=(1, spec.columns, spec.rows, 1), dtype="int8",
                           quantization=Quantization(scale=(scale,), zero_point=(3,)))
    frame = frame_at(window(name), -1)
    out = np.empty(quantised.shape, np.int8)
    preprocess = build(spec, quantised, frame.format)
    preprocess.run(frame, out)
    assert np.array_equal(out, quantised.quantize(preprocess.reals(frame)))
    plain = computed(spec, window(name))
    turned = preprocess.reals(frame).reshape(spec.columns, spec.rows)
    assert np.array_equal(turned.T if spec.rows > 1 else turned.reshape(1, -1), plain)


def test_features_are_normalised_each_by_itself() -> None:
    """mean and std have an entry for each column."""
    plain = spec_of("bands")
    mean, std = tuple(range(1, 7)), tuple(2.0**exponent for exponent in range(6))
    spec = spec_of("bands", normalize="standardize", mean=mean, std=std)
    wanted = (computed(plain, window("bands")) - np.array(mean, np.float32)) / np.array(std, np.float32)
    assert np.allclose(computed(spec, window("bands")), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["kws", "mel_db_top", "statistics", "envelope", "micro_frontend"])
@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf, 3e38, 0.0])
def test_strange_samples_give_finite_tensors(name: str, sample: float) -> None:
    """A gap, a saturated sensor and silence: numbers come out, and nothing is said."""
    spec = spec_of(name)
    for strange in (np.full_like(window(name), sample), np.where(np.arange(spec.length)[:, None] == 7, sample, window(name))):
        tensor = tensor_of(spec)
        out = np.empty(tensor.shape, np.float32)
        frame = frame_at(strange.astype(np.float32), -1)
        build(spec, tensor, frame.format).run(frame, out)
        assert not np.isnan(out).any()


def test_memory_is_told() -> None:
    """The bill of a keyword model is its tables, its rows and its scratch."""
    spec = spec_of("kws")
    assert 257 * 40 * 8 < features_of(spec).nbytes < 250_000


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "no rate": ("kws", {"rate": 0.0}, {}, "preprocess.rate"),
    "frame too long": ("kws", {"length": 400}, {}, "a frame within the window of 400 samples"),
    "no step": ("kws", {}, {"step": 0}, "a step of at least 1"),
    "few points": ("kws", {}, {"fft": 256}, "features.fft"),
    "beyond half the rate": ("kws", {}, {"high": 8001.0}, "half the rate"),
    "no bands": ("kws", {}, {"bands": 0}, "bands"),
    "more coefficients than bands": ("kws", {}, {"coefficients": 41}, "coefficients"),
    "logarithm of nothing": ("kws", {}, {"offset": 0.0}, "logarithm"),
    "NaN": ("kws", {}, {"offset": float("nan")}, "offset"),
    "huge tables": ("kws", {"length": 1 << 21}, {"frame": 1 << 20, "bands": 4000}, "preprocess.features"),
    "falling edges": ("bands", {}, {"edges": [100.0, 50.0]}, "rising"),
    "edges beyond half the rate": ("bands", {}, {"edges": [100.0, 401.0, 500.0]}, "none from 401 to 500"),
    "edges between two frequencies": ("bands", {}, {"edges": [100.1, 102.0]}, "a multiple of 3.125 Hz, up to 400"),
    "a band beyond half the rate": ("statistics", {}, {"bands": [[4000, 5000]]}, "features.bands: expected a frequency of the spectrum in each"),
    "an envelope of nothing": ("envelope_of_band", {}, {"envelope_low": 350.0, "envelope_high": 200.0}, "envelope_low.*none from 350 to 200"),
    "one edge": ("bands", {}, {"edges": [100.0]}, "at least one value"),
    "no values": ("statistics", {}, {"values": [], "bands": []}, "at least one value"),
    "reflection": ("mel_reflected", {"length": 128}, {}, "reflect"),
    "micro frontend beyond half the rate": ("micro_frontend", {}, {"high": 8000.0}, "half the rate"),
    "gain": ("micro_frontend", {}, {"gain_bits": 3}, "gain_bits"),
    "mean of three": ("bands", {"normalize": "standardize", "mean": [1.0, 2.0, 3.0]}, {}, "1 entry or 6"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_features_that_cannot_be_computed_are_refused(name: str) -> None:
    """Before the first frame, with the field's name."""
    case, fields, features, message = REFUSED[name]
    spec = spec_of(case, **fields, features={**CASES[case][3], **features})
    tensor = TensorSpec(name="x", shape=(1, 6, 3) if case == "bands" else (1, 49, 10), dtype="float32")
    with pytest.raises(ManifestError, match=message):
        build(spec, tensor, WindowFormat(spec.length, spec.channels))


def test_elements_are_counted_in_features() -> None:
    """The error says what the features are."""
    with pytest.raises(ManifestError, match=r"490 elements, such as \(1, 49, 10\)"):
        build(spec_of("kws"), TensorSpec(name="x", shape=(1, 16000), dtype="float32"), WindowFormat(16000, 1))


def test_a_fingerprint_tells_one_parameter_from_another_and_forgives_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parameter changes it; a last digit of the Fourier transform, which is another on another processor, does not."""
    spec = spec_of("tf_mfcc")
    found = fingerprint(spec, tensor_of(spec))
    assert spec.features is not None
    for change in ({"low": 30.0}, {"coefficients": 10, "lifter": 3}, {"window": "hamming"}, {"periodic": False}):
        other = msgspec.structs.replace(spec, features=msgspec.structs.replace(spec.features, **change))
        assert fingerprint(other, tensor_of(other)) != found
    transform = np.fft.rfft
    rng = np.random.default_rng(0)
    monkeypatch.setattr(np.fft, "rfft", lambda x: transform(x) * (1 + 1e-15 * rng.normal(size=len(x) // 2 + 1)))
    assert fingerprint(spec, tensor_of(spec)) == found


def test_a_fingerprint_knows_stated_fields_alone() -> None:
    """A default that is written out is the same spec, inside features too."""
    spec = spec_of("tf_mfcc")
    spelt = spec_of("tf_mfcc", features={**CASES["tf_mfcc"][3], "window": "hann", "top_db": 0.0})
    assert fingerprints._serialise(spec) == fingerprints._serialise(spelt)
    assert b"top_db" not in fingerprints._serialise(spec)
    assert b"features" in fingerprints._serialise(spec)


def test_levels_of_silence_are_the_floor() -> None:
    """Nothing is nothing, whatever it is scaled by."""
    spec = spec_of("kws")
    levels: Any = Levels(spec.features, 49)  # type: ignore[arg-type]
    assert np.isfinite(levels.of(np.zeros((49, 1, 40)), np.zeros((16000, 1), np.float32))).all()


@pytest.mark.parametrize("name", ["kws", "micro_frontend", "envelope"])
def test_nothing_grows_with_windows(name: str) -> None:
    """Fifty hops later no more is held than before."""
    import tracemalloc

    spec = spec_of(name)
    features = features_of(spec)
    step = spec.features.step  # type: ignore[union-attr]
    frame = frame_at(window(name), 0)
    for _ in range(20):
        frame.position += step
        features.of(frame)
    tracemalloc.start()
    try:
        features.of(frame)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            frame.position += step
            features.of(frame)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()
