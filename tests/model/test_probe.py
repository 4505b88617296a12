"""Known answers and the first load in a child process, with real tiny models and real runtimes."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeinfer.errors import BundleError, DataError, EdgeinferError, ManifestError, ModelError, ProbeError
from edgeinfer.model import bundle, probe
from edgeinfer.model import trial as trials
from edgeinfer.model.backends import RuntimeOptions, Session, open_session
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.manifest import DecoderSpec, Manifest, State
from edgeinfer.model.preprocess.fingerprint import fingerprint
from edgeinfer.model.preprocess.spec import ImageSpec, PreprocessSpec, WindowSpec
from edgeinfer.model.trial import remembered, runtime_versions, trial
from tests.models import Op, Tensor, stateful_tflite, tiny_onnx, tiny_tflite, window_tflite, write_onnx

IMAGE = ImageSpec(height=8, width=8, std=(255.0,))
OPTIONS = RuntimeOptions()


def session_of(path: Path) -> Session:
    return open_session(path, path.suffix[1:], OPTIONS)


def bundle_of(model: Path, spec: PreprocessSpec, folder: Path, **facts: object) -> Bundle:
    """A bundle of a model file, as the toolkit makes it."""
    session = session_of(model)
    files = facts.pop("files", {})
    probes = facts.pop("probes", None)
    manifest = Manifest(
        edgeinfer=1, name="tiny", version="1", task="raw", format=model.suffix[1:], model=model.name, files={},
        inputs=session.inputs, outputs=session.outputs, preprocess=spec, decoder=DecoderSpec(name="raw"),
        fingerprint=fingerprint(spec, session.inputs[0]),
        probes=probe.make(session, spec, files=files) if probes is None else probes, **facts)
    session.close()
    members: dict[str, Path | bytes] = {model.name: model}
    for name, frame in files.items():
        np.save(folder.parent / name, frame)
        members[name] = folder.parent / name
    return bundle.write(folder, manifest, members)


MODELS = {
    "uint8": (lambda p: tiny_tflite(p / "m.tflite"), IMAGE),
    "int8": (lambda p: tiny_tflite(p / "m.tflite", dtype="int8"), IMAGE),
    "float": (lambda p: tiny_tflite(p / "m.tflite", dtype="float32"), IMAGE),
    "onnx": (lambda p: tiny_onnx(p / "m.onnx"), ImageSpec(height=8, width=8, layout="NCHW", std=(255.0,))),
    "qdq": (lambda p: tiny_onnx(p / "m.onnx", qdq=True), ImageSpec(height=8, width=8, layout="NCHW", std=(255.0,))),
    "window": (lambda p: window_tflite(p / "m.tflite"), WindowSpec(length=16)),
    "stateful": (lambda p: stateful_tflite(p / "m.tflite"), WindowSpec(length=4)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_answers_of_today_are_those_of_yesterday(kind: str, tmp_path: Path) -> None:
    """A fresh session passes the probes that another one made, for each kind of model, and they are the same probes."""
    make, spec = MODELS[kind]
    found = bundle_of(make(tmp_path), spec, tmp_path / "b")
    session = session_of(found.model_path)
    probe.check(session, found.manifest, found.folder)
    assert probe.make(session, spec) == found.manifest.probes
    assert len(found.manifest.probes) == 2


def test_a_quantised_output_is_held_to_a_few_steps(tmp_path: Path) -> None:
    """Probes hold stored integers. A nudge of two steps moves a mean by two, so four off pass and five do not; the error
    names output and index."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    session = session_of(found.model_path)
    first = found.manifest.probes[0]
    assert first.tolerance == 4
    assert all(value == int(value) for value in first.expected[0].values)
    for off, passes in ((4, True), (-4, True), (5, False), (-5, False)):
        shifted = msgspec.structs.replace(first.expected[0], values=tuple(value + off for value in first.expected[0].values))
        manifest = msgspec.structs.replace(found.manifest, probes=(msgspec.structs.replace(first, expected=(shifted,)),))
        refusal = contextlib.nullcontext() if passes else pytest.raises(ProbeError, match=r"output 'means'\[0\]: expected")
        with refusal:
            probe.check(session, manifest, found.folder)


def test_answers_of_another_model_are_refused(tmp_path: Path) -> None:
    """A model with other weights fails the probes: here one whose input is quantised otherwise."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    other = session_of(tiny_tflite(tmp_path / "other.tflite", scale=1 / 128))
    manifest = msgspec.structs.replace(found.manifest, fingerprint=fingerprint(IMAGE, other.inputs[0]))
    with pytest.raises(ProbeError) as caught:
        probe.check(other, manifest, found.folder)
    assert len(caught.value.faults) == 2


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    """A fingerprint that this device does not reproduce raises, with both digests."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    manifest = msgspec.structs.replace(found.manifest, fingerprint="ab" * 32)
    with pytest.raises(ProbeError, match=f"(?s){'ab' * 32}.*{found.manifest.fingerprint}"):
        probe.check(session_of(found.model_path), manifest, found.folder)


def test_a_model_of_floats_is_held_to_a_thousandth(tmp_path: Path) -> None:
    """Float rounding does not depend on the frame: no nudge widens the tolerance, which is a share of the range."""
    session = session_of(tiny_tflite(tmp_path / "m.tflite", dtype="float32"))
    assert {one.tolerance for one in probe.make(session, IMAGE, integers=False)} == {1e-3}
    assert min(one.tolerance for one in probe.make(session, IMAGE)) >= 2e-2


def test_an_answer_that_jumps_is_left_out(tmp_path: Path) -> None:
    """The best channel of each pixel: where it is undecided (left half), a nudge changes it, and it says nothing."""
    tensors = [Tensor("image", (1, 3, 8, 8)), Tensor("best", (1, 1, 8, 8), "int64")]
    model = write_onnx(tmp_path / "m.onnx", tensors, [Op("ArgMax", ("image",), ("best",), {"axis": 1})], ("image",), ("best",))
    spec = ImageSpec(height=8, width=8, layout="NCHW", std=(255.0,))
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4, :2], picture[:, 4:, 2] = (100, 101), 200
    [one] = probe.make(session_of(model), spec, seeds=(), files={"p.npy": picture})
    assert one.tolerance == 0
    assert {index % 8 for index in one.expected[0].indices} <= {4, 5, 6, 7}
    assert set(one.expected[0].values) == {2.0}


def test_at_most_33_elements_of_an_output_are_kept(tmp_path: Path) -> None:
    """Scattered ones and the largest, in order, the same on every run."""
    session = session_of(window_tflite(tmp_path / "m.tflite", length=1000))
    made = probe.make(session, WindowSpec(length=1000))
    for one in made:
        indices = one.expected[0].indices
        assert 20 <= len(indices) <= 33
        assert list(indices) == sorted(set(indices))
    assert made == probe.make(session, WindowSpec(length=1000))


def test_a_frame_of_the_users_own_is_a_probe(tmp_path: Path) -> None:
    """A picture of any size as .npy: its answer is kept, and checked."""
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 1] = 200
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b", files={"probe0.npy": picture})
    own = [one for one in found.manifest.probes if one.file]
    assert [one.expected[0].values for one in own] == [(0.0, 200.0, 0.0)]
    probe.check(session_of(found.model_path), found.manifest, found.folder)


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4, 4), "uint8"), ((4, 4, 3), "float32"), ((0, 4, 3), "uint8")])
def test_a_probe_that_is_no_frame_is_refused(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    """Neither another dtype, nor four channels, nor nothing."""
    with pytest.raises(BundleError, match="expected a frame of"):
        probe.make(session_of(tiny_tflite(tmp_path / "m.tflite")), IMAGE, files={"p.npy": np.zeros(shape, dtype)})


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello", b"\x93NUMPY\x01\x00\x76\x00" + (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 99999, 3), }".ljust(117) + b"\n")])
def test_a_probe_file_that_is_no_array_is_refused(content: bytes, tmp_path: Path) -> None:
    """Damaged, or claiming 30 TB: one typed error."""
    (tmp_path / "p.npy").write_bytes(content)
    with pytest.raises(BundleError, match="expected an array"):
        probe.read_frame(tmp_path / "p.npy")


def test_the_first_load_costs_and_the_next_does_not(tmp_path: Path) -> None:
    """A verdict tells what ran and what it took; it is remembered for this bundle, these versions and these options only."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    verdict = trial(found, OPTIONS, tmp_path / "state")
    assert verdict.digest == found.digest
    assert "1 thread" in verdict.runs_on
    assert 0 < verdict.memory_bytes < 1 << 30
    assert remembered(tmp_path / "state", found.digest, runtime_versions(), OPTIONS) == verdict
    assert remembered(tmp_path / "state", found.digest, "edgeinfer 0.0.0", OPTIONS) is None
    assert remembered(tmp_path / "state", found.digest, runtime_versions(), RuntimeOptions(threads=2)) is None
    assert remembered(tmp_path / "state", "0" * 64, runtime_versions(), OPTIONS) is None
    found.model_path.unlink()  # nothing is loaded any more
    assert trial(found, OPTIONS, tmp_path / "state") == verdict


def test_a_damaged_verdict_is_made_anew(tmp_path: Path) -> None:
    """A power cut in the state folder costs a trial, no more."""
    found = bundle_of(tiny_onnx(tmp_path / "m.onnx"), MODELS["onnx"][1], tmp_path / "b")
    trial(found, OPTIONS, tmp_path / "state")
    [kept] = (tmp_path / "state").iterdir()
    for rubbish in (b"", b"{", b"\xff", b'{"digest":"x"}'):
        kept.write_bytes(rubbish)
        assert remembered(tmp_path / "state", found.digest, runtime_versions(), OPTIONS) is None
    assert trial(found, OPTIONS, tmp_path / "state").digest == found.digest


def test_a_wrong_answer_in_the_child_is_the_parents_error(tmp_path: Path) -> None:
    """Typed errors cross the process boundary with their faults, and nothing is remembered."""
    good = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b").manifest.probes
    wrong = tuple(msgspec.structs.replace(one, expected=tuple(
        msgspec.structs.replace(e, values=tuple(value + 50 for value in e.values)) for e in one.expected)) for one in good)
    found = bundle_of(tmp_path / "m.tflite", IMAGE, tmp_path / "w", probes=wrong)
    with pytest.raises(ProbeError, match="tiny: probe") as caught:
        trial(found, OPTIONS, tmp_path / "state")
    assert len(caught.value.faults) == 2
    assert not (tmp_path / "state").exists()


def test_a_manifest_that_does_not_fit_the_file_is_refused(tmp_path: Path) -> None:
    """The tensors of the file are compared with those stated."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    stated = msgspec.structs.replace(found.manifest.inputs[0], name="picture")
    wrong = bundle.write(tmp_path / "w", msgspec.structs.replace(found.manifest, inputs=(stated,)),
                         {"m.tflite": tmp_path / "m.tflite"})
    with pytest.raises(ManifestError, match="image"):
        trial(wrong, OPTIONS)


def test_a_damaged_model_never_takes_the_parent_with_it(tmp_path: Path) -> None:
    """Bytes changed all over a model file: each trial ends in a verdict or a typed error."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    content = (tmp_path / "m.tflite").read_bytes()
    for start in (8, len(content) // 2, len(content) - 200):
        damaged = bytearray(content)
        damaged[start:start + 60] = bytes(byte ^ 0xFF for byte in content[start:start + 60])
        (tmp_path / "d.tflite").write_bytes(damaged)
        broken = bundle.write(tmp_path / "d", msgspec.structs.replace(found.manifest, model="d.tflite"),
                              {"d.tflite": tmp_path / "d.tflite"})
        with contextlib.suppress(DataError):
            assert trial(broken, OPTIONS).digest == broken.digest


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL])
def test_death_by_signal_is_a_typed_error(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kills the loader is named, with the last it said."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    with interpreter(tmp_path, f"echo last words >&2; kill -{number.value} $$", monkeypatch), \
            pytest.raises(ModelError, match=f"killed by {number.name}; last words"):
        trial(found, OPTIONS)


def test_a_loader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time allowed the child is killed, and the error says so."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    with interpreter(tmp_path, "exec sleep 1000", monkeypatch), pytest.raises(ModelError, match=r"within 0\.2 s"):
        trial(found, OPTIONS, timeout_s=0.2)


@pytest.mark.parametrize("says", ["", "not json", "[]", '{"verdict": 3}', "{}"])
def test_a_loader_that_talks_nonsense_is_a_typed_error(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No verdict is no verdict."""
    found = bundle_of(tiny_tflite(tmp_path / "m.tflite"), IMAGE, tmp_path / "b")
    with interpreter(tmp_path, f"echo '{says}'", monkeypatch), pytest.raises(EdgeinferError):
        trial(found, OPTIONS)


def test_a_state_is_at_rest_when_probed(tmp_path: Path) -> None:
    """Two probes of a recurrent model do not depend on their order: each starts from zero."""
    spec = WindowSpec(length=4)
    fed_back = (State(input="state", output="sum"),)
    found = bundle_of(stateful_tflite(tmp_path / "m.tflite"), spec, tmp_path / "b", state=fed_back)
    session = session_of(found.model_path)
    session.input(1)[...] = 1e6
    probe.check(session, found.manifest, found.folder)
    seeds = [one.seed for one in found.manifest.probes]
    assert {*probe.make(session, spec, seeds=seeds[::-1])} == {*found.manifest.probes}


@contextlib.contextmanager
def interpreter(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """A real child process that does what ``script`` says instead of loading a model."""
    program = folder / "interpreter"
    program.write_text(f"#!/bin/sh\n{script}\n")
    os.chmod(program, 0o755)
    with monkeypatch.context() as patched:
        patched.setattr(trials.sys, "executable", str(program))
        yield
