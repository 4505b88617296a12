"""Files through a model, one after the other, without a daemon: what ``infer`` and ``bench`` share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.errors import SourceError, UsageError
from edgeinfer.introductions import Introductions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.engine import Engine
from edgeinfer.model.frame import Frame
from edgeinfer.model.memory import check_room
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.result import Result
from edgeinfer.sliding import frame_source
from edgeinfer.sources import SOURCES, FrameSource
from edgeinfer.sources.csv_rows import CsvRows, header
from edgeinfer.sources.images import SUFFIXES as PICTURES
from edgeinfer.typed import convert

__all__ = ["VIDEOS", "Answer", "answers", "source_for"]

VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm"})


@dataclass(frozen=True)
class Answer:
    """One frame's result; ``result`` and ``frame`` are valid until the next answer is asked for. ``path`` is the file, of a folder
    the picture; ``index`` counts the frames of what was given."""

    path: Path
    index: int
    frame: Frame
    result: Result
    latency_ns: int


def source_for(path: Path, bundle: Bundle) -> FrameSource:
    """The replay source that reads this kind of file, lossless. Raises UsageError for a kind that no source reads."""
    spec = bundle.manifest.preprocess
    if path.suffix.lower() == ".csv" and isinstance(spec, WindowSpec) and path.is_file() and _named(path, spec):
        text = spec.text.field if spec.text is not None else ""
        return frame_source(CsvRows(path, [column.name for column in spec.table if column.categories], text), spec, str(path),
                            folder=bundle.folder)
    kind, options = _kind_and_options(path, bundle)
    cls = SOURCES.load(kind, str(path))
    faults: list[Any] = []
    typed = convert(options, cls.Options, str(path), faults)
    if typed is None:
        raise SourceError.of(faults)
    return frame_source(cls(typed), spec, str(path), folder=bundle.folder)


def _named(path: Path, spec: WindowSpec) -> bool:
    """Whether a .csv has its columns by the names of the model's table, or texts; else it is numbers in the model's order."""
    if spec.text is not None or not spec.table:
        return spec.text is not None
    there = header(path)
    needed = [column.name for column in spec.table if column.missing is None] or [spec.table[0].name]
    return len(there) != spec.channels or all(name in there for name in needed)


def _kind_and_options(path: Path, bundle: Bundle) -> tuple[str, dict[str, Any]]:
    suffix = path.suffix.lower()
    spec = bundle.manifest.preprocess
    if not path.exists():
        raise SourceError(str(path), "a file, or a folder of pictures", "nothing there")
    if path.is_dir() or suffix in PICTURES:
        return "images", {"path": str(path)}
    if suffix in VIDEOS:
        return "video", {"path": str(path), "pace": "fast"}
    if suffix in {".npy", ".csv"} and isinstance(spec, WindowSpec):
        return suffix[1:], {"path": str(path), "rate": spec.rate, "pace": "fast"}
    if suffix in {".wav", ".wave"} and isinstance(spec, WindowSpec):
        return "wav", {"path": str(path), "pace": "fast"}
    if suffix == ".jsonl" and isinstance(spec, WindowSpec):
        return "jsonl", {"path": str(path)}
    if suffix == ".framelog":
        return "framelog", {"path": str(path), "pace": "fast"}
    raise UsageError(str(path), "a picture, video, .csv, .npy, .wav, .jsonl or .framelog, as the model takes",
                     suffix or "no suffix")


def answers(engine: Engine, path: Path, threshold: float | None = None, skipped: list[SourceError] | None = None,
            state: Path | None = None) -> Iterator[Answer]:
    """The result of each frame or window of a file. Raises SourceError for a file that cannot be read; of a folder, a
    picture that cannot be read is added to ``skipped`` where that is given. ``state``: the folder with who is enrolled."""
    source = source_for(path, engine.bundle)
    format = source.format()
    check_room(str(path), "frames", format.nbytes)
    frame = Frame(format)
    lane = engine.lane(frame.format, threshold)
    if state is not None:
        Introductions().refresh({str(path): lane}, state)
    engine.reset()  # a recurrent model knows nothing of the file before
    source.open()
    try:
        index = 0
        while _read(source, frame, skipped if path.is_dir() else None):
            before = lane.preprocess_ns.total + lane.invoke_ns.total + lane.decode_ns.total
            result = lane.infer(frame)
            after = lane.preprocess_ns.total + lane.invoke_ns.total + lane.decode_ns.total
            yield Answer(getattr(source, "file", path), index, frame, result, after - before)
            index += 1
        if index == 0:
            raise SourceError(str(path), "at least one frame or a whole window", "none")
    finally:
        source.close()


def _read(source: FrameSource, frame: Frame, skipped: list[SourceError] | None) -> bool:
    """The next frame that can be read; False at the end."""
    while True:
        try:
            return source.read_into(frame)
        except SourceError as error:
            if skipped is None:
                raise
            skipped.append(error)
