"""The first load of a bundle, in a child process: a malformed model may kill the loader, never the daemon.

    python -m edgeinfer.model.sandbox … edgeinfer.model.trial OPTIONS      one line of JSON on stdout: a verdict, or the faults

The child is confined (``sandbox``) before it sees a byte of the bundle.
What passed is remembered by the bundle's digest, the versions of the runtimes and the options: only the first load costs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import msgspec

import edgeinfer
from edgeinfer import durable, errors
from edgeinfer.errors import EdgeinferError, Fault, ModelError, UnavailableError
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.sandbox import memory_limit, unseen

__all__ = ["Verdict", "main", "remembered", "runtime_versions", "trial"]

_PACKAGES = ("numpy", "ai-edge-litert", "tflite-runtime", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless",
             "opencv-python", "opencv-contrib-python")
_TAIL = 2000  # bytes of the child's stderr that an error quotes
_MOST_ANSWER = 1 << 20
_SECRETS = {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID",
            "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"}  # what leads to passwords, and to those who listen


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial found. ``memory_bytes``: growth of the child's PSS by runtime and model, after a first run. ``sandbox``:
    which of its restrictions held."""

    digest: str
    versions: str
    options: RuntimeOptions
    runs_on: str
    fallbacks: tuple[str, ...]
    memory_bytes: int
    sandbox: tuple[str, ...] = ()


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
    or did not end within ``timeout_s``.
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
    except (OSError, ValueError, RecursionError):  # never tried, or a file damaged by a power cut: try again
        return None
    return verdict if (verdict.digest, verdict.versions, verdict.options) == (digest, versions, options) else None


def _remember(state_folder: Path, verdict: Verdict) -> None:
    """A disk that is full or cannot be written to costs the next start another trial, not this one its model."""
    place = _place(state_folder, verdict.digest, verdict.versions, verdict.options)
    with contextlib.suppress(OSError):
        state_folder.mkdir(parents=True, exist_ok=True)
        durable.write(place, msgspec.json.encode(verdict))


def _place(state_folder: Path, digest: str, versions: str, options: RuntimeOptions) -> Path:
    key = hashlib.sha256(msgspec.json.encode([digest, versions, options])).hexdigest()
    return state_folder / f"{key[:32]}.json"


def _in_child(bundle: Bundle, options: RuntimeOptions, timeout_s: float) -> Verdict:
    name = bundle.manifest.name
    confinement = {"folder": str(bundle.folder.resolve()), "devices": bool(options.accelerators), "memory": memory_limit(),
                   "cpu_s": math.ceil(timeout_s * max(options.threads, os.cpu_count() or 1)) + 1}
    command = [sys.executable, "-m", "edgeinfer.model.sandbox", json.dumps(confinement), "edgeinfer.model.trial",
               msgspec.json.encode(options).decode()]
    where_we_are = Path(edgeinfer.__file__).resolve().parent.parent  # so that the child finds this package, installed or not
    with _in_memory("verdict") as out, _in_memory("messages") as err, unseen():
        code = _run(command, where_we_are, (out, err), timeout_s)
        if code is None:
            raise ModelError(name, f"a model that loads and runs within {timeout_s:g} s", f"no end; {_tail(err)}",
                             "convert the model anew, or try it with fewer accelerators")
        return _verdict(name, code, _tail(out, _MOST_ANSWER), _tail(err))


def _in_memory(name: str) -> BinaryIO:
    """Not below /tmp: where that is full there is no verdict, and a good model would be refused for it."""
    return os.fdopen(os.memfd_create(name), "w+b")


def _run(command: list[str], folder: Path, streams: tuple[BinaryIO, BinaryIO], timeout_s: float) -> int | None:
    """The exit code; None where it did not end in time. Nothing that it started outlives it."""
    environment = {key: value for key, value in os.environ.items() if key not in _SECRETS}
    try:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=streams[0], stderr=streams[1], cwd=folder,
                                   env={**environment, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True)
    except OSError as error:
        raise UnavailableError(command[0], f"a Python that user {os.geteuid()} may run", str(error),
                               "install edgeinfer where every user can read it, as below /opt") from error
    with started as child:
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


def _verdict(name: str, code: int, out: str, err: str) -> Verdict:
    """The child's last line, as what it returned or raised."""
    if code < 0 and "bad_alloc" in err:
        raise _too_large(name)
    if code < 0:
        raise ModelError(name, "a model that loads and runs", f"the loader was killed by {_signal(-code)}; {err}",
                         "the file is damaged, or a delegate has a fault: convert it anew, or try it without accelerators")
    try:
        answer = msgspec.json.decode(out.strip().rpartition("\n")[2], type=_Answer)
    except (ValueError, RecursionError) as error:
        raise ModelError(name, "a model that loads and runs", f"the loader ended with {code}; {err}") from error
    if answer.verdict is not None:
        return answer.verdict
    failure = answer.failure or _Failure("ModelError", (Fault(name, "a verdict", "none"),))
    kind = getattr(errors, failure.error, ModelError)
    raised: EdgeinferError = kind.of([Fault(f"{name}: {f.where}", f.expected, f.got, f.hint) for f in failure.faults])
    raise raised


def _too_large(where: str) -> ModelError:
    return ModelError(where, "a model that fits into the memory that this device has to spare", "one that needs more",
                      "quantise it, give it smaller inputs, or stop other programs while it is tried")


def _tail(stream: BinaryIO, most: int = _TAIL) -> str:
    """The end of what the child wrote; without what would move a terminal's cursor."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - most))
    text = stream.read(most).decode(errors="replace")
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t").strip() or "it said nothing"


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _load(options: RuntimeOptions, held: tuple[str, ...]) -> Verdict:
    """In the child: everything that could go wrong with a model, once."""
    from edgeinfer.model import probe
    from edgeinfer.model.engine import Engine
    from edgeinfer.vitals import pss_bytes

    bundle = read(Path())
    before = pss_bytes()
    engine = Engine(bundle, options)
    probe.check(engine.session, bundle.manifest, bundle.folder)
    if not bundle.manifest.probes:
        engine.session.invoke()
    return Verdict(digest=bundle.digest, versions=runtime_versions(), options=options, runs_on=engine.session.runs_on,
                   fallbacks=engine.session.fallbacks, memory_bytes=max(0, pss_bytes() - before), sandbox=held)


def main(held: tuple[str, ...], options: str) -> None:
    """In the child, which is in the bundle's folder. stdout is for the verdict alone: what a runtime prints there goes to
    stderr."""
    verdicts = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        answer = _Answer(verdict=_load(msgspec.json.decode(options, type=RuntimeOptions), held))
    except EdgeinferError as error:
        answer = _Answer(failure=_Failure(type(error).__name__, error.faults))
    except MemoryError:
        answer = _Answer(failure=_Failure("ModelError", _too_large("model").faults))
    verdicts.write(msgspec.json.encode(answer) + b"\n")
    verdicts.close()
