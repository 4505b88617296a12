"""The first load of a bundle, in a child process: a malformed model may kill the loader, never the daemon.

    python -m edgeinfer.model.trial FOLDER OPTIONS      one line of JSON on stdout: a verdict, or the faults

What passed is remembered by the bundle's digest, the versions of the runtimes and the options: only the first load costs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import msgspec

import edgeinfer
from edgeinfer import errors
from edgeinfer.errors import EdgeinferError, Fault, ModelError, StorageError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, read

__all__ = ["Verdict", "remembered", "runtime_versions", "trial"]

_PACKAGES = ("numpy", "ai-edge-litert", "tflite-runtime", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless",
             "opencv-python", "opencv-contrib-python")
_TAIL = 2000  # bytes of the child's stderr that an error quotes
_MOST_STDERR = 1 << 20


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial found. ``memory_bytes``: growth of the child's PSS by runtime and model, after a first run."""

    digest: str
    versions: str
    options: RuntimeOptions
    runs_on: str
    fallbacks: tuple[str, ...]
    memory_bytes: int


class _Failure(msgspec.Struct, frozen=True):
    error: str
    faults: tuple[Fault, ...]


class _Answer(msgspec.Struct, frozen=True):
    verdict: Verdict | None = None
    failure: _Failure | None = None


def trial(bundle: Bundle, options: RuntimeOptions, state_folder: Path | None = None, *, timeout_s: float = 60.0) -> Verdict:
    """Load the model, check its tensors, the fingerprint and the probes in a child; the verdict of an earlier such trial
    where ``state_folder`` has one.

    Raises what the child raised (ModelError, ManifestError, ProbeError, UnavailableError …), ModelError when it was killed
    or did not end within ``timeout_s``, StorageError when the verdict cannot be kept.
    """
    versions = runtime_versions()
    if state_folder is not None and (known := remembered(state_folder, bundle.digest, versions, options)) is not None:
        return known
    verdict = _in_child(bundle, options, timeout_s)
    if state_folder is not None:
        _remember(state_folder, verdict)
    return verdict


def runtime_versions() -> str:
    """What a verdict holds for: this program, the libraries that compute, and the instruction set."""
    found = []
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join([f"edgeinfer {edgeinfer.__version__}", *found, os.uname().machine])


def remembered(state_folder: Path, digest: str, versions: str, options: RuntimeOptions) -> Verdict | None:
    """The verdict that was kept for exactly this bundle, these versions and these options; None where there is none."""
    try:
        verdict = msgspec.json.decode(_place(state_folder, digest, versions, options).read_bytes(), type=Verdict)
    except (OSError, ValueError):  # never tried, or a file damaged by a power cut: try again
        return None
    return verdict if (verdict.digest, verdict.versions, verdict.options) == (digest, versions, options) else None


def _remember(state_folder: Path, verdict: Verdict) -> None:
    place = _place(state_folder, verdict.digest, verdict.versions, verdict.options)
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        temporary = place.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(verdict))
        temporary.replace(place)
    except OSError as error:
        raise StorageError(str(place), "a place that can be written to", str(error)) from error


def _place(state_folder: Path, digest: str, versions: str, options: RuntimeOptions) -> Path:
    key = hashlib.sha256(msgspec.json.encode([digest, versions, options])).hexdigest()
    return state_folder / f"{key[:32]}.json"


def _in_child(bundle: Bundle, options: RuntimeOptions, timeout_s: float) -> Verdict:
    name = bundle.manifest.name
    stated = msgspec.json.encode(options).decode()
    command = [sys.executable, "-m", "edgeinfer.model.trial", str(bundle.folder.resolve()), stated]
    where_we_are = Path(edgeinfer.__file__).resolve().parent.parent  # so that the child finds this package, installed or not
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=where_we_are,
                                   timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise ModelError(name, f"a model that loads and runs within {timeout_s:g} s", f"no end; {_tail(err)}",
                             "convert the model anew, or try it with fewer accelerators") from error
        return _verdict(name, ended.returncode, _tail(out, _MOST_STDERR), _tail(err))


def _verdict(name: str, code: int, out: str, err: str) -> Verdict:
    """The child's last line, as what it returned or raised."""
    if code < 0:
        raise ModelError(name, "a model that loads and runs", f"the loader was killed by {_signal(-code)}; {err}",
                         "the file is damaged, or a delegate has a fault: convert it anew, or try it without accelerators")
    try:
        answer = msgspec.json.decode(out.strip().rpartition("\n")[2], type=_Answer)
    except ValueError as error:
        raise ModelError(name, "a model that loads and runs", f"the loader ended with {code}; {err}") from error
    if answer.verdict is not None:
        return answer.verdict
    failure = answer.failure or _Failure("ModelError", (Fault(name, "a verdict", "none"),))
    kind = getattr(errors, failure.error, ModelError)
    raised: EdgeinferError = kind.of([Fault(f"{name}: {f.where}", f.expected, f.got, f.hint) for f in failure.faults])
    raise raised


def _tail(stream: BinaryIO, most: int = _TAIL) -> str:
    """The end of what the child wrote."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - most))
    return stream.read(most).decode(errors="replace").strip() or "it said nothing"


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _load(folder: Path, options: RuntimeOptions) -> Verdict:
    """In the child: everything that could go wrong with a model, once."""
    from edgeinfer.model import probe
    from edgeinfer.model.engine import Engine
    from edgeinfer.vitals import pss_bytes

    bundle = read(folder)
    before = pss_bytes()
    engine = Engine(bundle, options)
    probe.check(engine.session, bundle.manifest, folder)
    if not bundle.manifest.probes:
        engine.session.invoke()
    return Verdict(digest=bundle.digest, versions=runtime_versions(), options=options, runs_on=engine.session.runs_on,
                   fallbacks=engine.session.fallbacks, memory_bytes=max(0, pss_bytes() - before))


def _main(folder: str, options: str) -> None:
    """stdout is for the verdict alone: what a runtime prints there goes to stderr, and neither may fill the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_STDERR, _MOST_STDERR))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # the first to go when memory runs out
    verdicts = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        answer = _Answer(verdict=_load(Path(folder), msgspec.json.decode(options, type=RuntimeOptions)))
    except EdgeinferError as error:
        answer = _Answer(failure=_Failure(type(error).__name__, error.faults))
    verdicts.write(msgspec.json.encode(answer) + b"\n")
    verdicts.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
