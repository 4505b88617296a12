"""The recovery ladder: what is tried when INT8 loses more than allowed, one rung at a time, the gain of each logged.

    other ranges            a choice of range that fits this network better
    16-bit activations      around the most sensitive layers, then around more of them
    float fallback          of the most sensitive layers, then of more of them

Cheap before dear: other ranges cost nothing on the device, 16 bits cost some time, float layers cost most. A rung is kept
where it gains; climbing ends when the loss is small enough, when the time is up, or at the top.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from quantize.grid import Quantized
from quantize.progress import Progress

__all__ = ["Choice", "Ladder", "Rung"]

_LEAST_GAIN = 0.05  # points; less is noise and not worth a dearer file
_SHARES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Choice:
    """How to quantise: the method for ranges, nodes with 16-bit activations, nodes left float."""

    ranges: str
    wide: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.ranges} ranges"]
        parts += [f"16-bit activations around {len(self.wide)} layers"] if self.wide else []
        parts += [f"{len(self.excluded)} layers in float"] if self.excluded else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Rung:
    """One try. ``loss`` in points (see ``Ladder``), ``gain`` over the best so far; ``kept``: it is the best now."""

    choice: Choice
    loss: float
    gain: float
    kept: bool
    seconds: float
    layers: tuple[str, ...] = ()


class Ladder:
    """Tries choices until the loss is at most ``allowed`` points or ``seconds`` are over."""

    def __init__(self, make: Callable[[Choice], Quantized], loss: Callable[[Quantized], float],
                 ranking: Callable[[Quantized], Sequence[str]], allowed: float, seconds: float, progress: Progress) -> None:
        """``make`` quantises, ``loss`` measures (points lost against float, less is better), ``ranking`` names layers, the
        most sensitive first."""
        self._make, self._loss, self._ranking = make, loss, ranking
        self._allowed, self._until, self._progress = allowed, time.monotonic() + seconds, progress
        self.rungs: list[Rung] = []
        self.ended = ""  # why no further rung was tried

    def climb(self, first: Choice, methods: Sequence[str], integers_only: bool) -> tuple[Choice, Quantized]:
        """The best choice and what it makes. ``integers_only``: the target takes neither 16 bits nor float."""
        best = self._try(first)
        for choice in self._rungs(first, methods, integers_only):
            if self._good() or time.monotonic() >= self._until:
                break
            tried = self._try(choice(self._best()))
            best = tried if self.rungs[-1].kept else best
        self._tell_end()
        return self._best(), best

    def _rungs(self, first: Choice, methods: Sequence[str], integers_only: bool) -> Iterator[Callable[[Choice], Choice]]:
        for method in methods:
            if method != first.ranges:
                yield lambda best, method=method: replace(best, ranges=method)  # type: ignore[misc]  # a default binds the loop's name
        if integers_only:
            self._progress.say("the target computes in 8-bit integers only: no 16-bit or float layers are tried")
            return
        layers = list(self._ranking(self._make(self._best())))
        for count in _SHARES:
            if count <= len(layers):
                yield lambda best, count=count: replace(best, wide=tuple(layers[:count]))  # type: ignore[misc]  # as above
        for count in _SHARES:
            if count <= len(layers):
                yield lambda best, count=count: replace(best, excluded=tuple(layers[:count]))  # type: ignore[misc]  # as above

    def _try(self, choice: Choice) -> Quantized:
        began = time.monotonic()
        quantized = self._make(choice)
        loss = self._loss(quantized)
        before = min((rung.loss for rung in self.rungs), default=None)
        gain = 0.0 if before is None else before - loss
        kept = before is None or gain >= _LEAST_GAIN or loss <= self._allowed < before
        rung = Rung(choice, loss, gain, kept, time.monotonic() - began, choice.excluded or choice.wide)
        self.rungs.append(rung)
        verdict = "" if before is None else f", {gain:+.2f} points: {'kept' if kept else 'not kept'}"
        self._progress.say(f"rung {len(self.rungs)}: {choice}: {loss:.2f} points lost{verdict} ({rung.seconds:.0f} s)")
        return quantized

    def _best(self) -> Choice:
        return [rung for rung in self.rungs if rung.kept][-1].choice

    def _good(self) -> bool:
        return min(rung.loss for rung in self.rungs) <= self._allowed

    def _tell_end(self) -> None:
        least = min(rung.loss for rung in self.rungs)
        why = "no rung is left"
        if least <= self._allowed:
            why = "enough"
        elif time.monotonic() >= self._until:
            why = "the time is up (--max-minutes)"
        self.ended = f"{least:.2f} points lost, {self._allowed:.2f} allowed: {why}"
        self._progress.say(self.ended)
