"""What every backend in the table does, with the same model in its own format."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import ModelError, UnavailableError, UsageError
from edgeinfer.model.backends import BACKENDS, FORMATS, RuntimeOptions, Session, open_session
from tests.models import stateful_tflite, tiny_onnx, tiny_tflite

ABSENT = {"tflite": "edgetpu", "onnx": "rknpu"}  # accelerators that no machine with these wheels has


@pytest.fixture(params=sorted(FORMATS))
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(format: str, tmp_path: Path) -> Path:
    """The mean of each colour of a float 8x8 picture."""
    if format == "tflite":
        return tiny_tflite(tmp_path / "model.tflite", dtype="float32")
    return tiny_onnx(tmp_path / "model.onnx")


@pytest.fixture
def session(path: Path, format: str) -> Iterator[Session]:
    session = open_session(path, format, RuntimeOptions())
    yield session
    session.close()


def test_every_backend_serves_a_format() -> None:
    """No backend is in the table that no format leads to, and no format leads to a backend that is not there."""
    assert set(FORMATS.values()) == set(BACKENDS.entries)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """open_session names the formats that there are."""
    with pytest.raises(ModelError, match="one of the formats tflite, onnx, got 'pickle'"):
        open_session(tmp_path / "model.pkl", "pickle", RuntimeOptions())


def test_specs_say_what_the_views_are(session: Session) -> None:
    """Shape and dtype of each view are those of its spec."""
    views = [(spec, session.input(0)) for spec in session.inputs] + [(spec, session.output(0)) for spec in session.outputs]
    for spec, view in views:
        assert (view.shape, view.dtype.name) == (spec.shape, spec.dtype)
        assert view.nbytes == spec.nbytes


def test_what_is_written_into_the_input_comes_out_of_the_output(session: Session) -> None:
    """The input is the runtime's own memory: no call between writing and invoke, and the means are right."""
    channel_axis = session.inputs[0].shape.index(3)
    for colour in ((1.0, 2.0, 3.0), (-4.0, 0.0, 0.5)):
        shape = [1, 1, 1, 1]
        shape[channel_axis] = 3
        session.input(0)[...] = np.reshape(colour, shape)
        session.invoke()
        assert session.output(0)[0].tolist() == pytest.approx(colour)


def test_views_lie_at_the_same_place_each_time(session: Session) -> None:
    """Nothing is allocated for inputs and outputs once the session is open."""
    def places() -> tuple[int, int]:
        return session.input(0).ctypes.data, session.output(0).ctypes.data

    first = places()
    for _ in range(20):
        session.invoke()
        assert places() == first


def test_an_absent_accelerator_falls_back_with_its_reason(path: Path, format: str) -> None:
    """The session runs on the CPU and says which accelerator is missing and why."""
    session = open_session(path, format, RuntimeOptions(accelerators=(ABSENT[format],)))
    assert len(session.fallbacks) == 1
    assert session.fallbacks[0].startswith(f"accelerator {ABSENT[format]}: expected ")
    session.invoke()


def test_a_strict_accelerator_must_be_there(path: Path, format: str) -> None:
    """With strict, an absent accelerator is an error and not a fallback."""
    with pytest.raises(UnavailableError, match=f"accelerator {ABSENT[format]}"):
        open_session(path, format, RuntimeOptions(accelerators=(ABSENT[format], "cpu"), strict=True))


def test_all_as_wished_leaves_no_reason(path: Path, format: str) -> None:
    """A wish that comes true, or no wish, gives no fallback."""
    for accelerators in ((), ("cpu",), ("cpu", ABSENT[format])):
        assert open_session(path, format, RuntimeOptions(accelerators=accelerators)).fallbacks == ()


def test_a_mistyped_accelerator_is_no_fallback(path: Path, format: str) -> None:
    """A name that does not exist is an error with a suggestion: it would otherwise never be noticed."""
    with pytest.raises(UsageError, match=r"'xnnpak'(.|\n)*did you mean 'xnnpack'"):
        open_session(path, format, RuntimeOptions(accelerators=("xnnpak",)))


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_are_those_asked_for(path: Path, format: str, threads: int) -> None:
    """n threads are the caller and n - 1 more, and they go when the session is closed."""
    before = len(os.listdir("/proc/self/task"))
    session = open_session(path, format, RuntimeOptions(threads=threads))
    session.invoke()
    assert len(os.listdir("/proc/self/task")) - before == threads - 1
    assert session.runs_on.endswith(f", {threads} thread{'s' if threads > 1 else ''}")
    session.close()
    assert _eventually(lambda: len(os.listdir("/proc/self/task")) == before)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_no_threads_and_too_many_are_refused(threads: int) -> None:
    """Zero threads is no number of threads, and a million of them kill a runtime."""
    with pytest.raises(ValueError, match=f"expected threads from 1 to 256, got {threads}"):
        RuntimeOptions(threads=threads)


def test_invokes_leave_no_memory_behind(session: Session) -> None:
    """2000 frames leave neither a Python object nor a page of memory behind."""
    def frames(count: int) -> None:
        for _ in range(count):
            session.input(0)[...] = 1.0
            session.invoke()
            session.output(0)
        gc.collect()

    frames(2000)  # free lists and the runtime's pools fill up first
    objects, resident = sys.getallocatedblocks(), _resident_bytes()
    frames(2000)
    assert sys.getallocatedblocks() - objects < 500  # one object a frame would be 2000; other threads of the test run make some
    assert _resident_bytes() - resident < 256 * 1024


def test_closing_gives_the_memory_back(format: str, tmp_path: Path) -> None:
    """Fifty sessions with 4 MB of input each, opened and closed, do not add up."""
    if format == "tflite":
        path = tiny_tflite(tmp_path / "big.tflite", dtype="float32", height=592, width=592)
    else:
        path = tiny_onnx(tmp_path / "big.onnx", height=592, width=592)

    def once() -> None:
        session = open_session(path, format, RuntimeOptions())
        session.input(0)[...] = 1.0
        session.invoke()
        session.close()

    for _ in range(3):
        once()
    resident = _resident_bytes()
    for _ in range(50):
        once()
    assert _resident_bytes() - resident < 16 * 2**20


def test_a_closed_session_is_of_no_use(session: Session) -> None:
    """Use after close is a RuntimeError, and closing twice is nothing."""
    session.close()
    session.close()
    for use in (session.invoke, lambda: session.input(0), lambda: session.output(0)):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_two_sessions_of_one_file_share_no_memory(path: Path, format: str) -> None:
    """Each session has inputs of its own, so that two pipelines do not write over each other."""
    one, other = (open_session(path, format, RuntimeOptions()) for _ in range(2))
    one.input(0)[...] = 1.0
    other.input(0)[...] = 2.0
    one.invoke()
    other.invoke()
    assert (one.output(0)[0, 0], other.output(0)[0, 0]) == (1.0, 2.0)


def test_a_session_may_be_made_in_one_thread_and_used_in_another(session: Session) -> None:
    """The inference thread is not the one that loads."""
    seen: list[float] = []

    def infer() -> None:
        session.input(0)[...] = 5.0
        session.invoke()
        seen.append(float(session.output(0)[0, 0]))

    thread = threading.Thread(target=infer)
    thread.start()
    thread.join()
    assert seen == [5.0]


def test_a_missing_file_is_one_clear_error(tmp_path: Path, format: str) -> None:
    """The error names the file and says that it is not there."""
    with pytest.raises(ModelError, match="absent: expected a readable model file, got No such file"):
        open_session(tmp_path / "absent", format, RuntimeOptions())


def test_inputs_and_outputs_keep_the_order_of_the_file(tmp_path: Path) -> None:
    """Two inputs are told apart by their place: window + state."""
    session = open_session(stateful_tflite(tmp_path / "model.tflite"), "tflite", RuntimeOptions())
    assert [spec.name for spec in session.inputs] == ["window", "state"]
    session.input(0)[...] = 1.0
    session.input(1)[...] = 10.0
    session.invoke()
    assert session.output(0).tolist() == [[11.0] * 4]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _eventually(true: object) -> bool:
    """Within two seconds: a thread that ends is in /proc for a moment longer."""
    for _ in range(200):
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False
