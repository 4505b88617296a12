"""One pass over the calibration samples: the histograms of all activations, kept on disk so that a run can be resumed.

The file is named by a hash of all that decides what is in it: the graph, the samples, their preprocessing. A run that was
interrupted goes on behind the last sample stored; a run with the same inputs reads it and observes nothing.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgeinfer.errors import StorageError
from edgeinfer.model.tensor import Array
from quantize.dataset import tensors
from quantize.graph import Graph
from quantize.progress import Progress
from quantize.ranges import Observer
from quantize.setting import Setting

__all__ = ["calibrate"]

_VERSION = b"ranges 3"
_EVERY = 32  # samples between two savings


def calibrate(graph: Graph, setting: Setting, values: Sequence[str], cache: Path, progress: Progress,
              threads: int = 2) -> Observer:
    """The observer of ``values`` after all calibration samples. Raises DataError, SourceError, ModelError, StorageError."""
    data = setting.calibration
    observer, position = Observer(graph, values, threads, len(data)), 0
    path = cache / f"ranges-{_key(graph, setting, values)[:16]}.npz"
    stored = _load(path)
    if stored is not None:
        observer.resume(stored)
        position = int(stored["position"])
    if position >= len(data):
        progress.say(f"ranges of {observer.seen} samples are known from before ({path.name})")
        return observer
    if position:
        progress.say(f"resumed behind sample {position} of {len(data)} ({path.name})")
    order = [int(index) for index in np.random.default_rng(0).permutation(len(data))]  # folders of one class come mixed
    place = {index: number for number, index in enumerate(order)}
    left = tensors(data, setting.spec, setting.inputs, order[position:])
    for sample, feeds in progress.count(left, len(left), "samples"):
        observer.add(feeds)
        if observer.seen % _EVERY == 0:
            _save(path, observer, place[sample.index] + 1)
    _save(path, observer, len(data))
    return observer


def _key(graph: Graph, setting: Setting, values: Sequence[str]) -> str:
    digest = hashlib.sha256(_VERSION)
    for node in graph.nodes:
        digest.update(repr((node.op, node.inputs, node.outputs, sorted(node.attributes.items(), key=str))).encode())
    for name, array in sorted(graph.constants.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    digest.update(msgspec.json.encode(setting.spec))
    digest.update(repr(list(values)).encode())
    digest.update(setting.calibration.digest().encode())
    return digest.hexdigest()


def _load(path: Path) -> Mapping[str, Array] | None:
    """What was stored; None where nothing was, or what is there is damaged: it is made anew."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError):
        return None


def _save(path: Path, observer: Observer, position: int) -> None:
    """Whole or not at all, whenever the run is interrupted. ``position``: of the next sample."""
    state = {**observer.state(), "position": np.array(position)}
    scratch = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as stream:
            np.savez_compressed(stream, **state)  # type: ignore[arg-type]  # names are values of the network
        os.replace(scratch, path)
    except OSError as error:
        raise StorageError(str(path), "room for the ranges", error.strerror or str(error), f"df -h {path.parent}") from error
