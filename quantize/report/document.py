"""What a report says, as one tree of values: the page is drawn from it, and ``report.json`` is it.

Every section may be absent; the page then leaves it out. All numbers are finite. No time stamps: the same run gives the same
report, byte for byte.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgeinfer.errors import DataError
from quantize.compare import Parity, TensorComparison
from quantize.metrics.metric import Figure

__all__ = [
    "Accuracy",
    "Calibration",
    "Cause",
    "Document",
    "File",
    "Finding",
    "Histogram",
    "Island",
    "Ladder",
    "Latency",
    "Machine",
    "Operator",
    "Provenance",
    "Run",
    "Rung",
    "Sample",
    "TargetOperators",
    "Verdict",
    "from_json",
    "to_json",
]

Outcome = Literal["passed", "missed", "measured", "unlabelled"]
Severity = Literal["good", "note", "warning", "bad"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``outcome``: the bar was passed or missed; "measured": none was set; "unlabelled": none was set and nothing has
    labels. ``sentence``: why, with the figures. ``reasons``: further bars, a sentence each."""

    outcome: Outcome
    sentence: str
    reasons: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One model through the samples. ``drops``: what it lost against float, paired, by metric; empty for float itself.
    ``runs_on``: the runtime, as "LiteRT 2.3.0, XNNPACK, 2 threads"."""

    title: str
    figures: tuple[Figure, ...]
    drops: tuple[Figure, ...] = ()
    runs_on: str = ""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """``runs``: float first. ``samples``: how many, ``what`` they are ("pictures"). Without labels the float run has nothing
    to be measured by, and the others are measured against it."""

    samples: int
    labelled: bool
    runs: tuple[Run, ...]
    what: str = "samples"
    source: str = ""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample on which INT8 differs much from float. ``answers``: in words, by title of the run, float first. ``image``: a
    small JPEG (``thumbnail``; base64 in JSON), or ``signal``: the window as at most some hundred numbers."""

    name: str
    answers: dict[str, str]
    sqnr_db: float
    truth: str = ""
    image: bytes = b""
    signal: tuple[float, ...] = ()


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one activation while calibrating: ``counts`` of equal bins from ``low`` to ``high``; the range that was
    chosen, and the share 0..1 that lies outside it."""

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    chosen_low: float
    chosen_high: float
    clipped: float = 0.0
    method: str = ""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. ``did``: what was changed; ``figure``: the ladder's measure after it; ``gain``: over the best so far, in
    the figure's unit, positive is better; ``kept``: whether it stays; ``why``: a sentence."""

    did: str
    figure: Figure
    gain: float
    seconds: float
    kept: bool
    why: str = ""


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts in order, the plain one first. ``bar``: what the figure has to reach; None where no bar was set.
    ``ended``: why no further rung was tried."""

    rungs: tuple[Rung, ...]
    bar: float | None = None
    ended: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that costs accuracy. ``kind``: its stable name ("weight-imbalance"); ``sentence``: what it is, with figures;
    ``tensors``: where; ``advice``: what to do."""

    kind: str
    sentence: str
    severity: Severity = "warning"
    tensors: tuple[str, ...] = ()
    advice: str = ""


class Island(msgspec.Struct, frozen=True, kw_only=True):
    """An operator that computes in float in one of the files (``file``: its title; empty for all)."""

    node: str
    op: str
    reason: str
    file: str = ""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """An operator that leaves the INT8 path of a target: how many nodes of it, an example, and why."""

    op: str
    count: int
    reason: str
    node: str = ""


class TargetOperators(msgspec.Struct, frozen=True, kw_only=True):
    """How many nodes of the model a target computes in integers, and which not. ``note``: what else is to be known."""

    target: str
    integer: int
    other: int
    leaving: tuple[Operator, ...] = ()
    note: str = ""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of invoke, in milliseconds, over ``count`` runs."""

    p50: float
    p95: float
    p99: float
    mean: float
    max: float
    count: int


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A model file: float first. ``runs_on``: where the latency was measured."""

    title: str
    name: str
    bytes: int
    latency: Latency | None = None
    runs_on: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence about the calibration set, and what to do."""

    severity: Severity
    sentence: str
    hint: str = ""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The set that the ranges come from, and its verdict in a sentence. ``method``: how ranges were chosen."""

    source: str
    samples: int
    severity: Severity
    sentence: str
    findings: tuple[Finding, ...] = ()
    method: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was quantised. ``vnni``: whether the CPU has 8-bit dot products (VNNI, or Arm's), without which x86 needs
    reduced weights; None where that is not known."""

    cpu: str
    architecture: str = ""
    cores: int = 0
    flags: tuple[str, ...] = ()
    vnni: bool | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to do it again. ``versions``: by package; ``hashes``: SHA-256 by file; ``recipe``: its YAML;
    ``assumed``: sentences on what nobody said."""

    command: str = ""
    recipe: str = ""
    versions: dict[str, str] = {}
    hashes: dict[str, str] = {}
    machine: Machine | None = None
    seed: int | None = None
    assumed: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The report. ``model``: the float model's name. ``worst``: worst first. ``layers``: in order of computation.
    ``islands``: None where nobody looked, empty where every operator computes in integers."""

    model: str
    verdict: Verdict
    target: str = ""
    accuracy: Accuracy | None = None
    worst: tuple[Sample, ...] = ()
    layers: tuple[TensorComparison, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    ladder: Ladder | None = None
    diagnosis: tuple[Cause, ...] = ()
    islands: tuple[Island, ...] | None = None
    operators: tuple[TargetOperators, ...] = ()
    parity: Parity | None = None
    files: tuple[File, ...] = ()
    calibration: Calibration | None = None
    provenance: Provenance | None = None
    v: Literal[1] = 1


def to_json(document: Document) -> bytes:
    """``report.json``: UTF-8, indented, ``v`` first. Every field is there. Bytes that file names hold and UTF-8 does not are
    written as U+FFFD."""
    fields = _encodable(msgspec.to_builtins(document))
    return msgspec.json.format(msgspec.json.encode({"v": fields.pop("v"), **fields}), indent=2) + b"\n"


def from_json(data: bytes, where: str = "report.json") -> Document:
    """The document that ``to_json`` wrote; fields that a later version added are passed over. Raises DataError."""
    try:
        return msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(where, "a report of version 1", str(error), "quantize writes it anew with each run") from error


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
