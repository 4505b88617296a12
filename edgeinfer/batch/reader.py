"""One input through the model: its rows, a line of JSON each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.batch.piece import Piece, Task
from edgeinfer.enrolment import Enrolled, introduce
from edgeinfer.errors import EdgeinferError, ModelError, RowError, SourceError
from edgeinfer.model.engine import Engine, Lane
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.memory import check_room
from edgeinfer.model.preprocess.spec import PreprocessSpec, WindowSpec
from edgeinfer.oneshot import source_for
from edgeinfer.payload import Encoder
from edgeinfer.sources import FrameSource

__all__ = ["Reader", "died", "error_row"]

_MOST_RESULT = 1 << 20  # bytes of one row's result
_PIECE_BYTES = 1 << 18
_PIECE_S = 1.0


class _Payload(msgspec.Struct):
    result: msgspec.Raw
    truncated: bool = False


class Reader:
    """Reads inputs and computes, with one engine and memory for the largest picture so far. One thread's.

    ``every``: of a video, a framelog or windows each so many frames is computed, from the first on. ``enrolled``: whom the model
    compares with, where it does.
    """

    def __init__(self, engine: Engine, threshold: float | None, every: int, enrolled: Enrolled | None = None) -> None:
        """Raises ManifestError where decoder and model contradict each other, or the threshold is less strict than the bundle's."""
        manifest = engine.bundle.manifest
        self._engine, self._threshold, self._every, self._enrolled = engine, threshold, every, enrolled
        self._model = f"{manifest.name}:{manifest.version}"
        self._encoder = Encoder("batch", "batch", self._model, manifest.task, "batch", max_bytes=_MOST_RESULT)
        self._payload = msgspec.json.Decoder(_Payload)
        self._alone = _alone(manifest.preprocess)
        self._failed = False
        self._source: FrameSource | None = None
        self._frame: Frame | None = None
        self._lane: Lane | None = None
        self._largest: FrameFormat | WindowFormat | None = None
        self._fitting(_own(manifest.preprocess), "the model's input")

    def pieces(self, task: Task) -> Iterator[Piece]:
        """All rows of the input behind ``task.skip``; the last piece is ``done``. What goes wrong is its last row, but where rows
        of a file stand alone: a bad one is an error of its own, and those behind it go on."""
        rows: list[bytes] = []
        latencies: list[int] = []
        made, due, nbytes, self._failed = task.skip, time.monotonic() + _PIECE_S, 0, False
        try:
            for row, latency in self._rows(task):
                made += 1
                nbytes += len(row)
                rows.append(row)
                if latency is not None:
                    latencies.append(latency)
                if nbytes >= _PIECE_BYTES or time.monotonic() >= due:
                    yield Piece(task.number, tuple(rows), tuple(latencies), share=getattr(self._source, "share", 0.0))
                    rows.clear()
                    latencies.clear()
                    due, nbytes = time.monotonic() + _PIECE_S, 0
        except Exception as error:  # noqa: BLE001  whatever a plug-in raises is this input's error, and the others go on
            rows.append(error_row(task, made * self._every, self._model, error))
            self._failed = True
        yield Piece(task.number, tuple(rows), tuple(latencies), done=True, failed=self._failed)

    def _rows(self, task: Task) -> Iterator[tuple[bytes, int | None]]:
        """Each with its latency; None of one that could not be used."""
        path = Path(os.fsdecode(task.path))
        self._source = source = source_for(path, self._engine.bundle)
        frame, lane = self._fitting(source.format(), str(path))
        self._engine.reset()  # a recurrent model knows nothing of the input before
        source.open()
        try:
            index = -1
            for index, wrong in enumerate(self._frames(source, frame)):
                number, between = divmod(index, self._every)
                known = number < task.skip
                if wrong is not None and not between:
                    self._failed = True
                    if not known:
                        yield error_row(task, index, self._model, wrong), None
                elif not between and (not known or self._engine.stateful):
                    row, latency = self._row(lane, frame, task.shown, index)
                    if not known:
                        yield row, latency
            if index < 0:
                raise SourceError(str(path), "at least one frame or a whole window", "none")
        finally:
            source.close()

    def _frames(self, source: FrameSource, frame: Frame) -> Iterator[RowError | None]:
        """Each frame read into ``frame``, or what is wrong with the row that stands in its place."""
        while True:
            try:
                if not source.read_into(frame):
                    return
            except RowError as error:
                if not self._alone:
                    raise
                yield error
            else:
                yield None

    def _fitting(self, format: FrameFormat | WindowFormat, where: str) -> tuple[Frame, Lane]:
        """Memory for frames of this format, and a lane: those of the inputs before, where they serve."""
        if self._frame is None or self._lane is None or not _covers(self._largest, format):
            self._frame = self._lane = None  # the old memory goes before the new comes
            check_room(where, "frames", format.nbytes)
            self._frame, self._lane, self._largest = Frame(format), self._new_lane(format), format
        elif self._engine.stateful:  # a lane counts frames up to the next reset
            self._lane = self._new_lane(self._largest or format)
        if isinstance(format, FrameFormat):
            self._frame.reshape(format)
        return self._frame, self._lane

    def _new_lane(self, format: FrameFormat | WindowFormat) -> Lane:
        lane = self._engine.lane(format, self._threshold)
        if self._enrolled is not None:
            introduce(self._enrolled, lane.decoder)
        return lane

    def _row(self, lane: Lane, frame: Frame, shown: str, index: int) -> tuple[bytes, int]:
        before = _spent(lane)
        result = lane.infer(frame)
        latency = _spent(lane) - before
        payload = self._payload.decode(self._encoder.encode(result, 0, 0, latency, ""))
        row: dict[str, Any] = {"input": shown, "index": index, "model": self._model, "latency_ms": round(latency / 1e6, 3),
                               "result": payload.result}
        if payload.truncated:
            row["truncated"] = True
        return msgspec.json.encode(row), latency


def _own(spec: PreprocessSpec) -> FrameFormat | WindowFormat:
    """Frames as the model takes them: the least that comes."""
    if isinstance(spec, WindowSpec):
        return WindowFormat(spec.length, spec.channels)
    return FrameFormat("BGR", spec.height, spec.width)


def _alone(spec: PreprocessSpec) -> bool:
    """Whether each row of a file is a frame of its own, so that a bad one leaves no hole in another."""
    return isinstance(spec, WindowSpec) and (spec.text is not None or (spec.length, spec.hop) == (1, 1))


def _covers(largest: FrameFormat | WindowFormat | None, format: FrameFormat | WindowFormat) -> bool:
    if isinstance(format, FrameFormat) and isinstance(largest, FrameFormat):
        same = largest.pixel_format == format.pixel_format
        return same and largest.height * largest.width >= format.height * format.width
    return largest == format


def _spent(lane: Lane) -> int:
    return lane.preprocess_ns.total + lane.invoke_ns.total + lane.decode_ns.total


def error_row(task: Task, index: int, model: str, error: Exception) -> bytes:
    """The row of an input that failed. It names the file as the user did, wherever it was read from."""
    path = os.fsdecode(task.path)

    def said(text: str) -> str:
        return text.replace(path, task.shown).encode("utf-8", "backslashreplace").decode()

    if isinstance(error, EdgeinferError):
        fault = error.faults[0]
        what = {"where": said(fault.where), "expected": said(fault.expected), "got": said(fault.got)}
        if fault.hint:
            what["hint"] = said(fault.hint)
    else:
        what = {"where": task.shown, "expected": "an answer", "got": said(" ".join(str(error).split())[:500] or "an exception")}
    return msgspec.json.encode({"input": task.shown, "index": index, "model": model,
                                "error": {"kind": type(error).__name__, **what}})


def died(task: Task, index: int, model: str, how: str) -> bytes:
    """The row of an input at which the process that computed it died, twice."""
    hint = f"try it alone: edgeinfer infer MODEL '{task.shown}'"
    return error_row(task, index, model, ModelError(task.shown, "an answer", f"{how}, twice", hint))
