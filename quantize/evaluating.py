"""Bundles beside each other on samples that are given as a path."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgeinfer.errors import DataError
from edgeinfer.model.bundle import open_model
from quantize.dataset import open_dataset
from quantize.evaluate import Evaluation, evaluate
from quantize.progress import Progress
from quantize.subject import Subject

__all__ = ["evaluate_bundles"]


def evaluate_bundles(paths: Sequence[Path], data: Path, annotations: str, threads: int, scratch: Path,
                     progress: Progress) -> Evaluation:
    """All samples of ``data`` through all bundles; the first is the reference. Archives are unpacked into ``scratch``.

    Raises BundleError, ManifestError, DataError (bundles that take different samples), SourceError, ModelError.
    """
    bundles = [open_model(path, scratch / str(index)) for index, path in enumerate(paths)]
    first = bundles[0].manifest
    for path, bundle in zip(paths, bundles, strict=True):
        if type(bundle.manifest.preprocess) is not type(first.preprocess):
            raise DataError(str(path), f"a model of {_kind(first.preprocess)}s, as the first",
                            f"one of {_kind(bundle.manifest.preprocess)}s")
    task = "anomaly" if first.decoder.name == "anomaly" else ""
    dataset = open_dataset(data, first.preprocess, labels=annotations, classes=bundles[0].labels, task=task, inputs=first.inputs)
    with ExitStack() as opened:
        subjects = []
        for path, bundle in zip(paths, bundles, strict=True):
            subject = Subject(path.name, bundle, dataset.format, threads=threads)
            opened.callback(subject.close)
            subjects.append(subject)
        return evaluate(subjects[0], subjects[1:], dataset, progress, bundles[0].labels)


def _kind(spec: object) -> str:
    return {"ImageSpec": "picture"}.get(type(spec).__name__, "window")
